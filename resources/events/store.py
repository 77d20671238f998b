"""The event store's port: the only queue between web and Dagster, the audit log, and the source of every read model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from resources.events.model import DEFAULT_TENANT, Expected

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from resources.events.model import Appended, NewEvent, RecordedEvent, StreamId


class EventStore(Protocol):
    """Append-only, ordered, idempotent by event id.

    The promise: an append is atomic and durable when it returns; versions of a stream have no gaps; positions strictly
    increase, and no reader ever sees position n+1 before a still-uncommitted n; an event is never changed or removed.
    """

    def append(
        self,
        stream: StreamId,
        events: Sequence[NewEvent],
        *,
        expected_version: int | Expected = Expected.ANY,
        tenant: str = DEFAULT_TENANT,
    ) -> Appended:
        """Store `events` at the end of `stream`. Raises ConcurrencyError, InvalidInputError or UnavailableError."""

    def read_stream(
        self,
        stream: StreamId,
        *,
        after_version: int = 0,
        limit: int | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> Sequence[RecordedEvent]:
        """The stream's events with a version above `after_version`, in order; empty when there is no such stream."""

    def read_all(
        self,
        *,
        after_position: int = 0,
        types: Collection[str] | None = None,
        limit: int = 1000,
        tenant: str | None = DEFAULT_TENANT,
    ) -> Sequence[RecordedEvent]:
        """Events of all streams with a position above `after_position`, in order of position.

        `tenant=None` reads all tenants' events: for the platform's own workers, never on behalf of a caller.
        """

    def head(self, *, tenant: str = DEFAULT_TENANT) -> int:
        """The position of the newest event that readers may see; 0 when there is none."""
