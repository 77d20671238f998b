"""What a store of price overrides promises. Subclass it and give `prices`."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from resources.ai.prices.model import PriceOverride

if TYPE_CHECKING:
    from resources.ai.prices.store import PriceStore

DAY = datetime(2026, 1, 1, tzinfo=UTC)


class PriceStoreContract:
    @pytest.fixture
    def prices(self) -> PriceStore:
        raise NotImplementedError

    def test_overrides_are_kept_with_their_version(self, prices: PriceStore, tenant: str) -> None:
        given = PriceOverride(
            "openai", "m", DAY, Decimal("1.5"), Decimal(6), Decimal("0.15"), Decimal(2), tenant=tenant, note="contract"
        )
        first, second = prices.add(given), prices.add(given)
        mine = [override for override in prices.list(tenant=tenant) if override.tenant == tenant]
        assert mine == [first, second]
        assert first.version is not None
        assert second.version is not None
        assert second.version > first.version

    def test_a_tenants_prices_are_its_own(self, prices: PriceStore, tenant: str) -> None:
        prices.add(PriceOverride("openai", "m", DAY, Decimal(1), Decimal(1), tenant=tenant))
        everybodys = prices.add(PriceOverride("openai", tenant, DAY, Decimal(1), Decimal(1)))
        others = prices.list(tenant=f"{tenant}-other")
        assert everybodys in others
        assert all(override.tenant is None for override in others)
        assert all(override.tenant is None for override in prices.list(tenant=None))
