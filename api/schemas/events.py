"""Events as they are taken and given, alone, in pages and counted."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api.schemas.common import ShortText, Strict, Tag
from resources.events.model import EventMetadata, NewEvent, RecordedEvent, StreamId, new_event_id

_STREAM = r"^[A-Za-z][A-Za-z0-9_-]{0,63}/[^\s/][^\s]{0,254}$"


class EventMetadataIn(Strict):
    """Why and through whom the event happened. The correlation id is that of the request."""

    causation_id: ShortText | None = None
    user_id: ShortText | None = None
    session_id: ShortText | None = None
    source: ShortText | None = None
    tags: dict[Tag, Tag] = Field(default_factory=dict, max_length=50)


class EventIn(Strict):
    """An event to append. The same `event_id` twice is stored once."""

    type: str = Field(min_length=1, max_length=128, description="A type of the catalog", examples=["run.started"])
    data: dict[str, Any] = Field(examples=[{"run_id": "6f1c", "job": "study_guide"}])
    stream: str | None = Field(
        default=None,
        pattern=_STREAM,
        description="`type/id` of the stream; unset = a stream of the event's own",
        examples=["run/6f1c"],
    )
    event_id: UUID | None = Field(default=None, description="Makes repeating the request safe; unset = a new one")
    schema_version: int | None = Field(default=None, ge=1, description="Version of `data`; unset = the newest")
    expected_version: int | None = Field(
        default=None, ge=0, description="Refuse (409) unless the stream has exactly this version; 0 = no stream yet"
    )
    occurred_at: AwareDatetime | None = Field(default=None, description="Unset = now")
    metadata: EventMetadataIn = Field(default_factory=EventMetadataIn)  # a default would be copied in depth each time

    def to_event(self, *, correlation_id: str | None) -> tuple[StreamId, NewEvent]:
        """The event in the domain's terms, with the stream that it goes to."""
        event_id = self.event_id or new_event_id()
        stream_type, _, stream_id = (self.stream or f"{self.type.partition('.')[0]}/{event_id}").partition("/")
        said = self.metadata
        metadata = EventMetadata(
            correlation_id=correlation_id,
            causation_id=said.causation_id,
            user_id=said.user_id,
            session_id=said.session_id,
            source=said.source,
            tags=said.tags,
        )
        when = {} if self.occurred_at is None else {"occurred_at": self.occurred_at}
        event = NewEvent(
            type=self.type,
            data=self.data,
            event_id=event_id,
            schema_version=self.schema_version,
            metadata=metadata,
            **when,
        )
        return StreamId(stream_type, stream_id), event


class DataIn(Strict):
    """Data of whatever form, as the first API took it."""

    data: Any = Field(examples=["water is hot", {"temperature": 96}])


class DataStoredOut(BaseModel):
    """What became of the data. It is stored in any case, as an event of the type `data.received`."""

    message: str
    event_id: UUID
    status: Literal["queued", "stored_not_queued", "stored_only"] = Field(
        description="queued = a rule works with it; stored_not_queued = the rules cannot be read now: a sensor looks at it later;"
        " stored_only = there is no rule for it"
    )


class EventOut(BaseModel):
    """A stored event."""

    position: int = Field(description="Place in the order of all events; the cursor of every reader")
    event_id: UUID
    stream: str
    version: int
    type: str
    schema_version: int
    data: dict[str, Any]
    metadata: dict[str, Any]
    occurred_at: datetime
    recorded_at: datetime

    @classmethod
    def of(cls, event: RecordedEvent) -> EventOut:
        metadata = event.metadata
        return cls(
            position=event.position,
            event_id=event.event_id,
            stream=str(event.stream),
            version=event.version,
            type=event.type,
            schema_version=event.schema_version,
            data=dict(event.data),
            metadata={
                "correlation_id": metadata.correlation_id,
                "causation_id": metadata.causation_id,
                "user_id": metadata.user_id,
                "session_id": metadata.session_id,
                "source": metadata.source,
                "tags": dict(metadata.tags),
            },
            occurred_at=event.occurred_at,
            recorded_at=event.recorded_at,
        )


class BatchItem(BaseModel):
    """What became of one event of a batch: either the stored event or the problem."""

    status: int
    event: EventOut | None = None
    problem: dict[str, Any] | None = None


class BatchOut(BaseModel):
    """What became of each event of a batch, in the order of the batch."""

    accepted: int
    refused: int
    results: list[BatchItem]


class EventPage(BaseModel):
    """Events in order of position. Ask again with `after` = `next_after` for those that follow."""

    events: list[EventOut]
    next_after: int
    head: int = Field(description="Position of the newest event")


class StreamPage(BaseModel):
    """Events of one stream. Ask again with `after_version` (backwards: `up_to_version`) = `next` until that is None."""

    stream: str
    version: int = Field(description="The stream's newest version")
    events: list[EventOut]
    next: int | None


class AggregateOut(BaseModel):
    """An aggregate's state, as the events of its stream tell it."""

    stream: str
    version: int
    state: dict[str, Any]


class TypeCountOut(BaseModel):
    """How often a type of event was recorded, and when last."""

    model_config = ConfigDict(from_attributes=True)

    type: str
    events: int
    last_position: int
    last_recorded_at: datetime


class EventStatisticsOut(BaseModel):
    """What the event store holds. `bytes` counts the whole table with its indexes."""

    model_config = ConfigDict(from_attributes=True)

    events: int
    streams: int
    bytes: int
    types: list[TypeCountOut]
