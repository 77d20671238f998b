"""What an event is: an immutable fact of one stream, with a place in the order of all events.

Names follow the field (KurrentDB, Marten, pyeventsourcing): *stream*, *version* (1-based, per stream), *position* (global,
strictly increasing), *type*. Times are UTC-aware. The types are msgspec structs: a page of a thousand events is built in
about a millisecond, three times faster than frozen dataclasses. They hold JSON, which has no cycles, so the cyclic garbage
collector need not look at them (`gc=False`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any
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


class Appended(msgspec.Struct, frozen=True):
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
