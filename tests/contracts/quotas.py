"""What every implementation of the store of quotas promises."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from resources.errors import LimitExceededError
from resources.tenants.model import Limits
from resources.tenants.quotas.model import RUNS, STORAGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.tenants.quotas.store import QuotaStore

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class QuotaContract:
    """Subclasses give `quotas`, and `allow`, which lets the test's tenant have so much."""

    def test_without_a_limit_all_is_counted(
        self, quotas: QuotaStore, allow: Callable[[Limits], None], tenant: str
    ) -> None:
        allow(Limits())
        for _ in range(3):
            quotas.take_run(tenant, now=NOON)
        quotas.check_room(tenant, 10**15)
        assert quotas.consumption(tenant, now=NOON).runs_today == 3

    def test_runs_of_the_day_are_exact_whoever_takes_them(
        self, quotas: QuotaStore, allow: Callable[[Limits], None], tenant: str
    ) -> None:
        allow(Limits(runs_per_day=5))

        def take(_: int) -> LimitExceededError | None:
            try:
                quotas.take_run(tenant, now=NOON)
            except LimitExceededError as error:
                return error
            return None

        with ThreadPoolExecutor(6) as pool:
            refused = [error for error in pool.map(take, range(20)) if error is not None]
        assert len(refused) == 15
        assert {(error.code, error.retry_after) for error in refused} == {(RUNS, 12 * 3600)}
        assert quotas.consumption(tenant, now=NOON).runs_today == 5

    def test_another_day_and_another_tenant_have_their_own(
        self, quotas: QuotaStore, allow: Callable[[Limits], None], tenant: str
    ) -> None:
        allow(Limits(runs_per_day=1))
        quotas.take_run(tenant, now=NOON)
        quotas.take_run(tenant, now=NOON + timedelta(days=1))
        assert quotas.consumption(f"{tenant}-other", now=NOON).runs_today == 0
        with pytest.raises(LimitExceededError):
            quotas.take_run(tenant, now=NOON)

    def test_what_was_given_back_can_be_taken(
        self, quotas: QuotaStore, allow: Callable[[Limits], None], tenant: str
    ) -> None:
        allow(Limits(runs_per_day=1))
        quotas.take_run(tenant, now=NOON)
        quotas.give_back_run(tenant, now=NOON)
        quotas.take_run(tenant, now=NOON)

    def test_nothing_is_nothing(self, quotas: QuotaStore, allow: Callable[[Limits], None], tenant: str) -> None:
        allow(Limits(runs_per_day=0, storage_bytes=0))
        with pytest.raises(LimitExceededError):
            quotas.take_run(tenant, now=NOON)
        with pytest.raises(LimitExceededError) as refused:
            quotas.check_room(tenant, 1)
        assert (refused.value.code, refused.value.retry_after) == (STORAGE, None)
        quotas.check_room(tenant, 0)
