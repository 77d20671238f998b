"""What the faces of backfills take and give."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api.schemas import Storable


class BackfillIn(BaseModel):
    """Over which events, or which partitions, and how fast."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workflow: str = Field(pattern=r"^[A-Za-z0-9_]{1,200}$", description="A workflow; for partitions also another job")
    events: list[str] = Field(default_factory=list, max_length=100, description="Types of events, or patterns")
    after: int = Field(default=0, ge=0, lt=2**63, description="Only events with a position above this one")
    up_to: int | None = Field(default=None, ge=0, lt=2**63, description="Only events up to this position")
    since: AwareDatetime | None = Field(default=None, description="Only events recorded then or later")
    until: AwareDatetime | None = Field(default=None, description="Only events recorded before")
    inputs: dict[str, Any] = Field(
        default_factory=dict, description="Expressions over `event`; unset = as the workflow's trigger says"
    )
    partitions: list[Storable] = Field(default_factory=list, max_length=10_000)
    rate: float = Field(default=5.0, gt=0, le=1000, description="Runs to start a second")
    again: bool = Field(default=False, description="Start also what the same events have started before")
    dry_run: bool = False


class PlannedRunOut(BaseModel):
    """One run of a backfill. In a plan, `run_id` is that of the run which there is already."""

    model_config = ConfigDict(from_attributes=True)

    reason: str
    key: str
    inputs: dict[str, Any]
    partition: str | None
    run_id: str | None
    error: str | None = None


class BackfillPlanOut(BaseModel):
    """What a backfill would start. `runs` are the first of them."""

    workflow: str
    total: int
    existing: int
    to_start: int
    seconds: float
    runs: list[PlannedRunOut]


class BackfillOut(BaseModel):
    """Where a backfill stands."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    workflow: str
    state: Literal["running", "completed", "cancelled"]
    rate: float
    total: int
    started: int
    failed: int
    error: str | None
    created_by: str | None
    created_at: datetime
    ended_at: datetime | None
