"""The port of the books."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from resources.ai.ledger.model import Alert, CallRecord, Captured, Dimension, Keepsake, Opened, Opening, Totals


class CallBooks(Protocol):
    """Calls, reservations and the memo: they change together, or not at all.

    `open` reserves the worst case on every budget that applies, from the root to the leaves, or on none of them: however many
    processes open at once, what is spent and reserved never exceeds a hard limit. Verbs raise UnavailableError when the store
    cannot be reached.
    """

    def open(self, opening: Opening) -> Opened: ...

    def settle(
        self, record: CallRecord, *, keep: Keepsake | None = None, captured: Captured | None = None
    ) -> Sequence[Alert]:
        """Release the reservation, charge `record.cost`, write the row and its event, keep the answer. Safe to repeat."""

    def renew(self, call_ids: Collection[UUID], *, lease: float) -> None:
        """These calls are still being made: their leases end in `lease` seconds."""

    def settle_abandoned(self, *, limit: int = 100) -> int:
        """Write calls whose lease is over as lost, charged with what was reserved; returns how many there were."""

    def calls(
        self,
        *,
        tenant: str,
        run_id: str | None = None,
        asset: str | None = None,
        partition: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 1000,
    ) -> Sequence[CallRecord]:
        """The newest calls first. `since` is inclusive, `until` is not."""

    def find(
        self, call_ids: Collection[UUID] = (), *, run_ids: Collection[str] = (), tenant: str, limit: int = 1000
    ) -> Sequence[CallRecord]:
        """The calls with these ids and those of these runs, the newest first."""

    def totals(
        self,
        by: Dimension,
        *,
        tenant: str,
        run_id: str | None = None,
        asset: str | None = None,
        workflow: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Mapping[str | None, Totals]:
        """Sums over calls, exact, for each value of a dimension; what has none is under None. Days are in UTC."""
