"""The port of quotas: how much there is left, counted where it is used.

Requests are counted by buckets at the door, concurrent runs by whoever lets runs begin (those beyond wait), money by the
tenant's budget of the platform, bytes by the table of documents itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime

    from resources.tenants.quotas.model import Consumption


class QuotaStore(Protocol):
    """Safe to share between threads and processes. Every verb raises UnavailableError when the store cannot be reached."""

    def take_run(self, tenant: str, *, now: datetime) -> None:
        """One more run of the day. Exact, whoever else takes one; raises LimitExceededError (`runs_quota_exceeded`)."""

    def give_back_run(self, tenant: str, *, now: datetime) -> None:
        """The run that was taken was not started."""

    def check_room(self, tenant: str, more_bytes: int) -> None:
        """Whether so many bytes would fit now: to refuse them before they are written. The count itself is the table's.

        Raises LimitExceededError (`storage_quota_exceeded`).
        """

    def consumption(self, tenant: str, *, now: datetime) -> Consumption:
        """What the tenant uses."""
