"""What an event is: an immutable fact of one stream, with a place in the order of all events.

Names follow the field (KurrentDB, Marten, pyeventsourcing): *stream*, *version* (1-based, per stream), *position* (global,
strictly increasing), *type*. Times are UTC-aware. The types are msgspec structs: a page of a thousand events is built in
about a millisecond, three times faster than frozen dataclasses. They hold JSON, which has no cycles, so the cyclic garbage
collector need not look at them (`gc=False`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Self
from uuid import UUID

import msgspec
import uuid_utils.compat as uuid_utils

DEFAULT_TENANT = "default"


def new_event_id() -> UUID:
    """A UUIDv7 (RFC 9562 §5.7): unique, and roughly in order of time."""
    return uuid_utils.uuid7()


def _now() -> datetime:
    return datetime.now(UTC)


class StreamId(msgspec.Struct, frozen=True, gc=False):
    """One aggregate's stream: `StreamId("document", "requests-1f3a9c20")`."""

    type: str
    id: str

    def __str__(self) -> str:
        return f"{self.type}/{self.id}"


class Expected(Enum):
    """What the writer believes about the stream, besides an exact version."""

    ANY = "any"
    NO_STREAM = "no stream"
    EXISTS = "exists"


class EventMetadata(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Why and through whom an event happened. `None` means unknown."""

    correlation_id: str | None = None
    causation_id: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    source: str | None = None
    tags: Mapping[str, str] = msgspec.field(default_factory=dict)


class NewEvent(msgspec.Struct, frozen=True):
    """An event that is not stored yet. Appending the same `event_id` twice stores it once.

    `schema_version` None means the catalog's newest; older data is brought up to date before it is stored.
    """

    type: str
    data: Mapping[str, Any]
    event_id: UUID = msgspec.field(default_factory=new_event_id)
    schema_version: int | None = None
    metadata: EventMetadata = msgspec.field(default_factory=EventMetadata)
    occurred_at: datetime = msgspec.field(default_factory=_now)


class RecordedEvent(msgspec.Struct, frozen=True, gc=False):
    """A stored event: a fact, for ever. `replay_id` is set when this is not its first delivery but a replay's."""

    position: int
    event_id: UUID
    tenant: str
    stream: StreamId
    version: int
    type: str
    schema_version: int
    data: Mapping[str, Any]
    metadata: EventMetadata
    occurred_at: datetime
    recorded_at: datetime
    checksum: str
    replay_id: str | None = None


class StreamAppend(msgspec.Struct, frozen=True):
    """What to add to one stream, as a part of an append to several."""

    stream: StreamId
    events: tuple[NewEvent, ...]
    expected_version: int | Expected = Expected.ANY


class Appended:
    """The answer to an append: the events as stored (or found, when they had been stored before).

    `version` is the stream's after the append, `position` that of the last event. Most writers ask for no more, so the events
    are built when somebody looks at them.
    """

    __slots__ = ("_build", "_events", "position", "version")

    def __init__(self, build: Callable[[], tuple[RecordedEvent, ...]], *, version: int, position: int) -> None:
        """`build` returns the events, in order."""
        self.version = version
        self.position = position
        self._build = build
        self._events: tuple[RecordedEvent, ...] | None = None

    @classmethod
    def of(cls, events: tuple[RecordedEvent, ...]) -> Self:
        """An answer of events that are at hand."""
        return cls(lambda: events, version=events[-1].version, position=events[-1].position)

    @property
    def events(self) -> tuple[RecordedEvent, ...]:
        """The events, in order."""
        if self._events is None:
            self._events = self._build()
        return self._events

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Appended) and self.events == other.events

    __hash__ = None  # type: ignore[assignment]  # as the mappings in its events

    def __repr__(self) -> str:
        return f"Appended({self.events!r})"
