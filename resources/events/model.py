"""What an event is: an immutable fact of one stream, with a place in the order of all events.

Names follow the field (KurrentDB, Marten, pyeventsourcing): *stream*, *version* (1-based, per stream), *position* (global,
strictly increasing), *type*. Times are UTC-aware.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

import uuid_utils.compat as uuid_utils

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

DEFAULT_TENANT = "default"


def new_event_id() -> UUID:
    """A UUIDv7 (RFC 9562 §5.7): unique, and roughly in order of time."""
    return uuid_utils.uuid7()


@dataclass(frozen=True, slots=True)
class StreamId:
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


@dataclass(frozen=True, slots=True)
class EventMetadata:
    """Why and through whom an event happened. `None` means unknown."""

    correlation_id: str | None = None
    causation_id: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    source: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that is not stored yet. Appending the same `event_id` twice stores it once."""

    type: str
    data: Mapping[str, Any]
    event_id: UUID = field(default_factory=new_event_id)
    schema_version: int = 1
    metadata: EventMetadata = field(default_factory=EventMetadata)
    occurred_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """A stored event: a fact, for ever."""

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


@dataclass(frozen=True, slots=True)
class Appended:
    """The answer to an append: the events as stored (or found, when they had been stored before)."""

    events: tuple[RecordedEvent, ...]

    @property
    def version(self) -> int:
        """The stream's version after the append."""
        return self.events[-1].version

    @property
    def position(self) -> int:
        """The global position of the last event."""
        return self.events[-1].position
