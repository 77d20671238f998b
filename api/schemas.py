"""What the HTTP face takes and gives, where that is not a domain model as it stands."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from resources.content.model import Document, SearchHit
from resources.events.model import EventMetadata, NewEvent, RecordedEvent, StreamId, new_event_id

# PostgreSQL's text has no NUL. Payloads of events are checked by the store; what ends up in a column is checked here.
Storable = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Tag = Annotated[str, Field(max_length=200)]
ShortText = Annotated[str, Field(min_length=1, max_length=200)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EventMetadataIn(_Strict):
    """Why and through whom the event happened. The correlation id is that of the request."""

    causation_id: ShortText | None = None
    user_id: ShortText | None = None
    session_id: ShortText | None = None
    source: ShortText | None = None
    tags: dict[Tag, Tag] = Field(default_factory=dict, max_length=50)


class EventIn(_Strict):
    """An event to append. The same `event_id` twice is stored once."""

    type: str = Field(min_length=1, max_length=128, description="A type of the catalog", examples=["run.started"])
    data: dict[str, Any] = Field(examples=[{"run_id": "6f1c", "job": "study_guide"}])
    stream: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}/[^\s/][^\s]{0,254}$",
        description="`type/id` of the stream; unset = a stream of the event's own",
        examples=["run/6f1c"],
    )
    event_id: UUID | None = Field(default=None, description="Makes repeating the request safe; unset = a new one")
    schema_version: int | None = Field(default=None, ge=1, description="Version of `data`; unset = the newest")
    expected_version: int | None = Field(
        default=None, ge=0, description="Refuse (409) unless the stream has exactly this version; 0 = no stream yet"
    )
    occurred_at: AwareDatetime | None = Field(default=None, description="Unset = now")
    metadata: EventMetadataIn = EventMetadataIn()

    def to_event(self, *, correlation_id: str | None) -> tuple[StreamId, NewEvent]:
        """The event in the domain's terms, with the stream that it goes to."""
        event_id = self.event_id or new_event_id()
        stream_type, _, stream_id = (self.stream or f"{self.type.partition('.')[0]}/{event_id}").partition("/")
        metadata = EventMetadata(correlation_id=correlation_id, **self.metadata.model_dump())
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


class DocumentPage(BaseModel):
    """Documents in order of id. `next_after` is None on the last page."""

    documents: list[Document]
    next_after: str | None


class DocumentAccepted(BaseModel):
    """The answer to an upload: the document as the catalogue has it, and whether there is anything new about it."""

    document: Document
    position: int | None = Field(description="Position of its `document.received`; None when nothing is new")
    outcome: Literal["received", "unchanged"]


class SearchOut(BaseModel):
    """Passages by meaning, best first."""

    query: str
    hits: list[SearchHit]
    milliseconds: float


class StatisticsOut(BaseModel):
    """How much a tenant has."""

    documents: int
    documents_by_status: dict[str, int]
    chunks: int
    concepts: int
    edges: int


class CheckOut(BaseModel):
    """One dependency: whether it answers, and how fast."""

    status: Literal["healthy", "unhealthy"]
    needed: bool = Field(description="Whether the platform is unhealthy without it")
    latency_ms: float
    message: str | None = None


class HealthOut(BaseModel):
    """Whether this process lives."""

    status: Literal["healthy"] = "healthy"
    version: str


class HealthDetailOut(BaseModel):
    """Whether everything that the platform stands on lives. `degraded` = something that can be missed is down."""

    status: Literal["healthy", "degraded", "unhealthy"]
    version: str
    timestamp: datetime
    uptime_seconds: float
    checks: dict[str, CheckOut]


class StepOut(BaseModel):
    """One step of a run. `seconds` is None while it runs."""

    model_config = ConfigDict(from_attributes=True)

    key: str
    status: str = Field(examples=["in_progress", "success", "failure", "skipped"])
    started_at: datetime | None
    seconds: float | None
    attempts: int
    error: str | None


class RunOut(BaseModel):
    """A run of Dagster. `error` is the first thing that went wrong."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    job: str
    status: str = Field(examples=["queued", "starting", "started", "success", "failure", "canceling", "canceled"])
    finished: bool
    correlation_id: str | None
    partition: str | None = Field(description="The document that the run is about, if it is about one")
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    error: str | None
    tags: dict[str, str]
    asset_keys: list[str]
    steps: list[StepOut]
