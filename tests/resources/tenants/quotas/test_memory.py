from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from resources.tenants.model import Limits
from resources.tenants.quotas.memory import MemoryQuotas
from tests.contracts.quotas import QuotaContract

if TYPE_CHECKING:
    from collections.abc import Callable


class TestMemoryQuotas(QuotaContract):
    @pytest.fixture
    def known(self) -> dict[str, Limits]:
        return {}

    @pytest.fixture
    def quotas(self, known: dict[str, Limits]) -> MemoryQuotas:
        return MemoryQuotas(lambda tenant: known.get(tenant, Limits()))

    @pytest.fixture
    def allow(self, known: dict[str, Limits], tenant: str) -> Callable[[Limits], None]:
        return lambda limits: known.update({tenant: limits})
