"""The port of subscriptions: checkpoints, leases and dead letters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime
    from typing import Any
    from uuid import UUID

    from resources.events.model import RecordedEvent, StreamId
    from resources.events.subscriptions.model import (
        DeadLetter,
        Lag,
        Lease,
        LetterStatus,
        Subscription,
        SubscriptionStatus,
    )

    PoisonKey = tuple[str, str, StreamId]


class SubscriptionStore(Protocol):
    """One instance a worker: its leases end with it, also when it is killed. Every verb raises UnavailableError."""

    def define(self, subscription: Subscription) -> None:
        """Create, or change what may change. Raises ConflictError when `partitions` differ: streams would move."""

    def status(self, name: str) -> SubscriptionStatus:
        """Where it stands. Raises NotFoundError."""

    def list(self) -> Sequence[SubscriptionStatus]:
        """All subscriptions by name."""

    def lag(self, name: str, *, now: datetime) -> Lag:
        """How far behind it is. Raises NotFoundError."""

    def pause(self, name: str) -> None:
        """Deliver nothing more, once the event at hand is done. Raises NotFoundError."""

    def resume(self, name: str) -> None:
        """Go on. Raises NotFoundError."""

    def reset(self, name: str, *, position: int) -> None:
        """Deliver again what comes after `position`, or skip up to it. Raises NotFoundError."""

    def remove(self, name: str) -> None:
        """Forget the subscription, its checkpoints and dead letters."""

    def claim(self, name: str, *, head: int, now: datetime) -> Lease | None:
        """A partition that stands before `head`, is due, and that nobody works on; None when there is none or it is paused."""

    def release(self, lease: Lease) -> None:
        """Let another worker have the partition."""

    def advance(self, lease: Lease, position: int) -> Lease:
        """Note that all up to `position` is done. Raises ConflictError when the lease was lost."""

    def postpone(self, lease: Lease, *, error: str, not_before: datetime) -> Lease:
        """Note that the next event failed once more, and when to try again. Raises ConflictError when the lease was lost."""

    def bury(self, lease: Lease, event: RecordedEvent, *, error: str, poison: bool) -> Lease:
        """Make the event a dead letter and go past it, in one step. Raises ConflictError when the lease was lost."""

    def forward(self, name: str, event: RecordedEvent, *, reason: str, replay_id: UUID | None = None) -> None:
        """Hand one event to the subscription out of turn: it is delivered as a letter that is to be tried.

        Once for each event, unless a replay asks for it again. Raises NotFoundError.
        """

    def poisoned(self, name: str) -> Collection[PoisonKey]:
        """The streams and types of which too many events are open dead letters."""

    def dead_letters(
        self,
        name: str,
        *,
        status: LetterStatus | None = None,
        after: int = 0,
        limit: int = 100,
        tenant: str | None = None,
    ) -> Sequence[DeadLetter]:
        """Dead letters in order of their id."""

    def retry(self, letter_id: int, *, data: Mapping[str, Any] | None = None) -> None:
        """Ask for one more try, with other data if some is given. Raises NotFoundError, ConflictError when it is settled."""

    def discard(self, letter_id: int) -> None:
        """Give it up for good. Raises NotFoundError, ConflictError when it is settled."""

    def claim_letter(self, name: str) -> DeadLetter | None:
        """A letter to be tried again that no other worker tries now; of each stream the one of the earliest event."""

    def prune_letters(self, *, before: datetime) -> int:
        """Forget letters that were resolved or discarded before then, of all subscriptions; returns how many."""

    def settle(self, letter: DeadLetter, *, error: str | None) -> None:
        """Note how the try went; `error` None = well."""
