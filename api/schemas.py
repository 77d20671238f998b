"""What the HTTP face takes and gives, where that is not a domain model as it stands."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from resources.content.answering import CitedSentence
from resources.content.model import Document
from resources.content.retrieval.model import Filters, Mode
from resources.content.search import PassageHit, SimilarDocument
from resources.events.model import EventMetadata, NewEvent, RecordedEvent, StreamId, new_event_id
from resources.events.routing.model import Condition, Forward, Publish, StartWorkflow

# PostgreSQL's text has no NUL. Payloads of events are checked by the store; what ends up in a column is checked here.
Storable = Annotated[str, Field(pattern=r"^[^\x00]*$")]
Tag = Annotated[str, Field(max_length=200)]
_STREAM = r"^[A-Za-z][A-Za-z0-9_-]{0,63}/[^\s/][^\s]{0,254}$"
ShortText = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


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


class SearchIn(BaseModel):
    """`POST /search`."""

    model_config = ConfigDict(extra="forbid")

    query: str = Field(min_length=1, max_length=1000, description="What to look for, in your own words")
    mode: Mode = Field(
        default=Mode.HYBRID, description="By words, by meaning, by both, fused by rank, or along the graph as well"
    )
    filters: Filters = Filters()
    limit: int = Field(default=10, ge=1, le=100)
    cursor: str | None = Field(default=None, max_length=200, description="`next_cursor` of the page before")
    rerank: bool = Field(default=False, description="Order the first 50 by nearness and words held together")


class SearchOut(BaseModel):
    """One page of passages, best first. `score` is about places in lists: compare it within one answer alone."""

    query: str
    mode: Mode
    hits: list[PassageHit]
    total: int = Field(description="Passages on all pages: at most 100 found by words and 100 by meaning")
    facets: dict[str, dict[str, int]] = Field(description="Passages on all pages by type, language, difficulty and tag")
    next_cursor: str | None = Field(description="Continues after this page; null on the last one")
    milliseconds: float


class SimilarOut(BaseModel):
    """Documents that are about the same as this one, best first."""

    document_id: str
    documents: list[SimilarDocument]


class IndexStateOut(BaseModel):
    """How much can be found by meaning."""

    model_id: str = Field(description="The model in use")
    documents: int = Field(description="Documents with vectors of the model in use")
    chunks: int = Field(description="Passages with vectors of the model in use")
    others: list[str] = Field(description="Models of the other vectors there are")
    outdated: list[str] = Field(description="The first documents, by id, that have to be embedded anew")


class AskIn(BaseModel):
    """`POST /ask`."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(min_length=1, max_length=1000)
    filters: Filters = Field(default=Filters(), description="What the documents must be")
    mode: Mode = Field(
        default=Mode.HYBRID, description="How passages are found; `graph` follows what the question leads to"
    )
    passages: int = Field(default=8, ge=1, le=50, description="Passages to read at most")
    sentences: int = Field(default=3, ge=1, le=20, description="Sentences at most when no model answers")
    provider: str = Field(
        default="offline", min_length=1, max_length=100, description="Who answers; offline takes sentences by rule"
    )
    model: str = Field(default="offline/extractive-v1", min_length=1, max_length=200)
    wait: float = Field(default=30.0, gt=0, le=60, description="Seconds to wait for the answer")


class AskOut(BaseModel):
    """An answer with its citations, or that nothing was found. What is null is not known yet: the run goes on."""

    run_id: str
    status: Literal["running", "completed"]
    status_url: str
    found: bool | None = Field(default=None, description="Whether anything supports an answer")
    answer: str | None = Field(default=None, description="The sentences with the numbers of their sources")
    sentences: list[CitedSentence] = Field(default=[], description="Each sentence with where its support stands")
    dropped: int = Field(default=0, description="Sentences of a model that were left out, as nothing supports them")
    passages: int | None = Field(default=None, description="Passages that were read")
    simulated: bool | None = Field(default=None, description="Whether no AI model wrote the answer")
    notice: str | None = Field(default=None, description="What a reader must be told about that")
    model: str | None = None


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
    circuits: dict[str, Literal["closed", "open", "half_open"]] = Field(
        description="Circuit breakers before what this process calls; open = it is left alone for some seconds"
    )


class ReadyOut(BaseModel):
    """Whether requests should be sent here: everything answers that the platform cannot do without."""

    ready: bool
    checks: dict[str, bool]


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


class LagOut(BaseModel):
    """How far behind: events (at most) and the age of the oldest that waits."""

    model_config = ConfigDict(from_attributes=True)

    events: int
    seconds: float


class PartitionOut(BaseModel):
    """One share of a subscription's streams: everything up to `position` is done."""

    model_config = ConfigDict(from_attributes=True)

    partition: int
    position: int
    attempts: int = Field(description="Failures of the event that comes next")
    error: str | None
    not_before: datetime | None


class SubscriptionOut(BaseModel):
    """A subscription and where it stands."""

    name: str
    types: list[str] | None = Field(description="None = all")
    stream_type: str | None
    paused: bool
    position: int
    lag: LagOut
    dead_letters: int = Field(description="Letters that are neither delivered nor discarded")
    partitions: list[PartitionOut]


class DeadLetterOut(BaseModel):
    """An event that a subscription gave up on, or that was handed to it out of turn."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    subscription: str
    position: int
    event_id: UUID
    stream: str
    type: str
    attempts: int
    error: str
    poison: bool
    status: Literal["failed", "retrying", "resolved", "discarded"]
    edited: dict[str, Any] | None = Field(description="What is delivered instead of the event's own data")
    replay_id: UUID | None
    failed_at: datetime
    updated_at: datetime


class DeadLetterPage(BaseModel):
    """Dead letters in order of id. `next_after` is None on the last page."""

    dead_letters: list[DeadLetterOut]
    next_after: int | None


class RetryIn(_Strict):
    """How to try a dead letter again."""

    data: dict[str, Any] | None = Field(
        default=None, description="Deliver this instead of the event's data; the stored event stays as it is"
    )


class RebuildOut(BaseModel):
    """How far the rows that are built beside those in use are."""

    model_config = ConfigDict(from_attributes=True)

    version: int
    position: int
    events: int
    started_at: datetime


class ProjectionOut(BaseModel):
    """A read model and where it stands."""

    name: str
    description: str
    types: list[str]
    version: int
    state: Literal["building", "active", "rebuilding", "failed", "stopped"]
    position: int
    events: int
    lag: LagOut
    error: str | None
    rebuilding: RebuildOut | None
    updated_at: datetime


class ProjectionRow(BaseModel):
    """One row of a read model."""

    key: str
    data: dict[str, Any]


class ProjectionRows(BaseModel):
    """Rows in order of key. `next_after` is None on the last page."""

    rows: list[ProjectionRow]
    next_after: str | None


class ReplayIn(_Strict):
    """What to replay, to whom."""

    targets: list[ShortText] = Field(
        min_length=1,
        max_length=50,
        description="`projection:NAME` or `subscription:NAME`",
        examples=[["projection:ai_usage"]],
    )
    id: UUID | None = Field(default=None, description="Makes repeating the request safe; unset = a new one")
    after: int = Field(default=0, ge=0, description="Only events with a position above this one")
    up_to: int | None = Field(default=None, ge=0, description="Only events up to this position; unset = the newest")
    types: list[ShortText] | None = Field(
        default=None, min_length=1, description="Only these types, or patterns of types"
    )
    stream: str | None = Field(default=None, pattern=_STREAM, description="Only this stream, `type/id`")
    correlation_id: ShortText | None = Field(default=None, description="Only this story")
    rate: float | None = Field(
        default=None, gt=0, le=1_000_000, description="Events a second at most; unset = no limit"
    )
    effects: bool = Field(default=False, description="Also to targets that act on the world: subscriptions")
    dry_run: bool = Field(default=False, description="Tell what would be done, and do nothing")


class ReplayPlanOut(BaseModel):
    """What a replay would do."""

    model_config = ConfigDict(from_attributes=True)

    events: int
    by_type: dict[str, int]
    targets: list[str]
    left_out: list[str] = Field(description="Targets that act on the world, which is only done when asked for")
    seconds: float | None = Field(description="At the rate that was asked for")


class ReplayOut(BaseModel):
    """A replay and how far it is: everything selected up to `position` is delivered."""

    id: UUID
    state: Literal["running", "completed", "cancelled", "failed"]
    targets: list[str]
    position: int
    up_to: int
    events: int
    share: float = Field(ge=0, le=1, description="Of the way from the first position to the last")
    error: str | None
    started_at: datetime
    updated_at: datetime


class ReplayPage(BaseModel):
    """Replays, newest first."""

    replays: list[ReplayOut]


class RouteIn(_Strict):
    """A routing rule: which events go where."""

    types: list[str] = Field(min_length=1, max_length=100, examples=[["document.*"]])
    stream_types: list[ShortText] = Field(default_factory=list, max_length=100)
    conditions: list[Condition] = Field(default_factory=list, max_length=50)
    action: StartWorkflow | Forward | Publish = Field(discriminator="kind")
    enabled: bool = True


class RouteOut(BaseModel):
    """One version of a routing rule. `lag`: events that have not been held against the rules yet."""

    name: str
    version: int
    enabled: bool
    types: list[str]
    stream_types: list[str]
    conditions: list[Condition]
    action: StartWorkflow | Forward | Publish
    changed_by: str | None
    changed_at: datetime
    lag: LagOut | None = None


class DryRunIn(_Strict):
    """Stored events to hold against the rules, or against one that is not stored yet."""

    after: int = Field(default=0, ge=0, description="Only events with a position above this one")
    limit: int = Field(default=100, ge=1, le=1000)
    names: list[ShortText] | None = Field(
        default=None, description="Only these rules, enabled or not; unset = all enabled"
    )
    rule: RouteIn | None = Field(default=None, description="Try this rule instead of the stored ones")


class RoutedOut(BaseModel):
    """One event meeting one rule."""

    position: int
    type: str
    stream: str
    rule: str
    matched: bool
    reason: str | None = Field(description="Why not")
    action: StartWorkflow | Forward | Publish | None = Field(description="What would be done, filled in")


class DryRunOut(BaseModel):
    """What would be done. Nothing was."""

    events: int
    matched: int
    next_after: int
    routed: list[RoutedOut]
