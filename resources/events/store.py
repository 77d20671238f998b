"""The event store's port: the only queue between web and Dagster, the audit log, and the source of every read model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from resources.events.model import DEFAULT_TENANT, Expected

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from resources.events.model import Appended, NewEvent, RecordedEvent, StreamAppend, StreamId


class EventStore(Protocol):
    """Append-only, ordered, idempotent by event id.

    The promise: an append is atomic and durable when it returns; versions of a stream have no gaps; positions strictly
    increase, and no reader ever sees position n+1 before a still-uncommitted n; an event is never changed or removed.
    Events are read in the newest version of their schema. Every verb raises UnavailableError when the store cannot be
    reached; an append that ended so may or may not have happened: repeat it with the same event ids.
    """

    def append(
        self,
        stream: StreamId,
        events: Sequence[NewEvent],
        *,
        expected_version: int | Expected = Expected.ANY,
        tenant: str = DEFAULT_TENANT,
        durable: bool = True,
    ) -> Appended:
        """Store `events` at the end of `stream`.

        Raises ConcurrencyError when the stream is not as expected, InvalidInputError with every problem listed, and
        ConflictError (`event_id_reused`) when an id is taken by another fact. With `durable=False` the answer comes
        before the disk has it: a crash of the server within the next moments may undo it, though never out of order.
        """

    def append_all(
        self, appends: Sequence[StreamAppend], *, tenant: str = DEFAULT_TENANT, durable: bool = True
    ) -> tuple[Appended, ...]:
        """Append to several streams: all or nothing. Raises as `append` does."""

    def restore(self, events: Sequence[RecordedEvent], *, tenant: str = DEFAULT_TENANT) -> int:
        """Write events that another store recorded: ids, versions, times of occurrence and old schemas stay as they are.

        All or nothing, in the order given; returns how many were new (all, or none when it was done before). Raises
        InvalidInputError when a checksum differs or a version is missing, ConcurrencyError, ConflictError.
        """

    def read_stream(
        self,
        stream: StreamId,
        *,
        after_version: int = 0,
        up_to_version: int | None = None,
        up_to_position: int | None = None,
        up_to_time: datetime | None = None,
        backwards: bool = False,
        limit: int | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> Sequence[RecordedEvent]:
        """The stream's events with a version above `after_version`, in order; empty when there is no such stream.

        The upper bounds are inclusive: a version, a global position, or the time of recording. `backwards` starts with
        the newest within the bounds.
        """

    def read_all(
        self,
        *,
        after_position: int = 0,
        up_to_position: int | None = None,
        types: Collection[str] | None = None,
        stream_type: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = 1000,
        tenant: str | None = DEFAULT_TENANT,
        upcast: bool = True,
    ) -> Sequence[RecordedEvent]:
        """Events of all streams with a position above `after_position`, in order of position.

        Filters are joined by *and*; `tags` must all be there. `tenant=None` reads the events of every tenant and is for the
        platform's own work alone. `upcast=False` gives the data as it was written, which is what the checksum is of.
        """

    def read_correlation(
        self, correlation_id: str, *, after_position: int = 0, limit: int = 1000, tenant: str = DEFAULT_TENANT
    ) -> Sequence[RecordedEvent]:
        """A whole story: the events that carry this correlation id, in order of position."""

    def find(self, event_ids: Collection[UUID], *, tenant: str | None = DEFAULT_TENANT) -> Sequence[RecordedEvent]:
        """Those of the events that exist, in order of position."""

    def head(self, *, tenant: str | None = DEFAULT_TENANT) -> int:
        """The position of the newest event that readers may see; 0 when there is none."""

    def watch(self, notice: Callable[[], None]) -> Callable[[], None]:
        """Call `notice`, from any thread, soon after an append, until the returned function is called.

        A hint, not a promise: it may come late, without reason, or (when a connection was lost) not at all. Whoever
        waits for it also looks by itself once in a while.
        """
