"""Quotas in memory: the reference of the contract. `limits` gives those of a tenant."""

from __future__ import annotations

import threading
from collections import Counter
from datetime import UTC
from typing import TYPE_CHECKING

from resources.tenants.quotas.model import Consumption, runs_exceeded, storage_exceeded

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date, datetime

    from resources.tenants.model import Limits


class MemoryQuotas:
    """Safe to share between threads."""

    def __init__(self, limits: Callable[[str], Limits]) -> None:
        self._limits = limits
        self._runs: Counter[tuple[str, date]] = Counter()
        self._lock = threading.Lock()

    def take_run(self, tenant: str, *, now: datetime) -> None:
        most = self._limits(tenant).runs_per_day
        with self._lock:
            if most is not None and self._runs[tenant, _day(now)] >= most:
                raise runs_exceeded(tenant, most, now=now)
            self._runs[tenant, _day(now)] += 1

    def give_back_run(self, tenant: str, *, now: datetime) -> None:
        with self._lock:
            self._runs[tenant, _day(now)] -= 1

    def check_room(self, tenant: str, more_bytes: int) -> None:
        most = self._limits(tenant).storage_bytes
        if most is not None and more_bytes > most:
            raise storage_exceeded(tenant, most)

    def consumption(self, tenant: str, *, now: datetime) -> Consumption:
        return Consumption(runs_today=self._runs[tenant, _day(now)])


def _day(now: datetime) -> date:
    return now.astimezone(UTC).date()
