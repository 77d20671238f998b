"""How the platform is: counts, health, and what Dagster runs."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


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
