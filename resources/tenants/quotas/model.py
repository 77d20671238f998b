"""What a tenant uses of what it may."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from resources.errors import LimitExceededError

RUNS = "runs_quota_exceeded"
STORAGE = "storage_quota_exceeded"
SOCKETS = "too_many_sockets"


@dataclass(frozen=True, slots=True)
class Consumption:
    """`runs_today` is by the day in UTC; `sockets` counts those of processes that live."""

    runs_today: int = 0
    documents: int = 0
    storage_bytes: int = 0
    sockets: int = 0


def runs_exceeded(tenant: str, most: int, *, now: datetime) -> LimitExceededError:
    """No more runs today. `retry_after` is until midnight in UTC."""
    midnight = datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
    return LimitExceededError(
        f"The tenant {tenant!r} has started all of its {most} runs of today. Go on after midnight (UTC), or have an admin of "
        f"the platform raise the quota: `aiw tenants quota {tenant} --runs-per-day N`.",
        code=RUNS,
        retry_after=(midnight - now).total_seconds(),
        quota="runs_per_day",
        limit=most,
    )


def storage_exceeded(tenant: str, most: int) -> LimitExceededError:
    """No more documents. Waiting does not help."""
    return LimitExceededError(
        f"The documents of the tenant {tenant!r} would take more than its {most} bytes. Have an admin of the platform raise "
        f"the quota: `aiw tenants quota {tenant} --storage-bytes N`.",
        code=STORAGE,
        quota="storage_bytes",
        limit=most,
    )


def sockets_exceeded(tenant: str, most: int) -> LimitExceededError:
    """No more connections for now."""
    return LimitExceededError(
        f"The tenant {tenant!r} has its {most} connections open already. Close one, or have an admin of the platform raise the "
        f"quota: `aiw tenants quota {tenant} --sockets N`.",
        code=SOCKETS,
        retry_after=5.0,
        quota="sockets",
        limit=most,
    )
