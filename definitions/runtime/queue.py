"""The queue of runs: what waits for a warm worker, and which pool executes what.

It is durable, so that neither the death of a pool nor of the launching process loses a run, and it knows three verbs that
matter: *enqueue* (by the launcher), *claim* (by a pool with a free worker) and *finish* (when the run has ended, whatever its
end). A claim is a lease: a pool that stops renewing is dead, and another one settles its runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

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


class RunQueue(Protocol):
    """Raises UnavailableError from any verb when the database is out of reach."""

    def enqueue(self, run_id: str, *, job: str, priority: int = 0) -> bool:
        """Add a run and wake the pools. False, and no change, if the run is in the queue already."""

    def claim(self, host: str, *, limit: int, lease: float = LEASE_SECONDS) -> list[Claim]:
        """Take up to `limit` waiting runs, by priority, then in order. No run is ever given to two hosts at a time."""

    def renew(self, host: str, *, lease: float = LEASE_SECONDS) -> list[Claim]:
        """Extend all leases of `host`. Returns its claims, each with whether somebody asked to cancel the run."""

    def finish(self, run_id: str, *, host: str) -> bool:
        """Drop a run that has ended. False if the claim is no longer this host's."""

    def release(self, run_id: str, *, host: str) -> bool:
        """Put a claimed run back to its old place. False if the claim is no longer this host's."""

    def withdraw(self, run_id: str) -> bool:
        """Drop a run that still waits. False if it does not: it is claimed, or not in the queue."""

    def request_cancel(self, run_id: str) -> bool:
        """Tell the pool that executes the run to interrupt it. False if none does."""

    def lost(self, host: str, *, dead: Sequence[str] = ()) -> list[Claim]:
        """Take over, as `host`, the claims whose lease has ended and all claims of the hosts in `dead`."""

    def hosts(self) -> list[str]:
        """The pools that hold claims."""

    def find(self, run_id: str) -> Place | None:
        """Where the run is, or None if it is not in the queue."""

    def waiting(self) -> int:
        """How many runs wait."""
