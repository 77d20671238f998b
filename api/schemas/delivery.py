"""Who works events off: subscriptions, projections, replays and rules of where events go."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from api.schemas.common import ShortText, Strict
from resources.events.routing.model import Condition, Forward, Publish, StartWorkflow

_STREAM = r"^[A-Za-z][A-Za-z0-9_-]{0,63}/[^\s/][^\s]{0,254}$"


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


class RetryIn(Strict):
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


class ReplayIn(Strict):
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
    next_cursor: str | None = None


class RouteIn(Strict):
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


class DryRunIn(Strict):
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
