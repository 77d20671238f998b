"""The queue of runs: what waits for a warm worker, and which pool executes what (`postgres.py` keeps it).

It is durable, so that neither the death of a pool nor of the launching process loses a run, and it knows three verbs that
matter: *enqueue* (by the launcher), *claim* (by a pool with a free worker) and *finish* (when the run has ended, whatever its
end). A claim is a lease: a pool that stops renewing is dead, and another one settles its runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

LEASE_SECONDS = 15.0
RENEW_SECONDS = 3.0

# A run whose claims were lost this often before its first event is failed instead of tried again.
MAX_CLAIMS = 3


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that one pool may execute until its lease ends. `number` counts how often the run was claimed."""

    run_id: str
    job: str
    number: int
    host: str
    cancelled: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run is in the queue. `host` is None while it waits; `overdue` is seconds since its lease ended, 0 if it runs."""

    host: str | None
    ahead: int
    overdue: float


@dataclass(frozen=True, slots=True)
class ClaimedKey:
    """A key that starts one run. The run of a launcher's claim has an id, also before it exists; a sensor's has none here."""

    tenant: str
    key: str
    owner: str
    run_id: str | None
    request: Mapping[str, Any] | None
    launched: bool
