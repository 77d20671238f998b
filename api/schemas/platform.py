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


class SystemOut(BaseModel):
    """The machine that this process runs on, and the process itself. Shares are between 0 and 1."""

    cpu_load: float = Field(description="What runs or wants to, by processors, as the average of a minute")
    memory_used: float
    disk_used: float = Field(description="Of the disk that the data folder is on")
    disk_free_bytes: int
    process_memory_bytes: int


class HealthDetailOut(BaseModel):
    """Whether everything that the platform stands on lives. `degraded` = something that can be missed is down."""

    status: Literal["healthy", "degraded", "unhealthy"]
    version: str
    timestamp: datetime
    uptime_seconds: float
    checks: dict[str, CheckOut]
    system: SystemOut
    circuits: dict[str, Literal["closed", "open", "half_open"]] = Field(
        description="Circuit breakers before what this process calls; open = it is left alone for some seconds"
    )


class HttpTotalsOut(BaseModel):
    """Requests of the API. `errors` are answers of 500 and above; times are those until an answer had begun."""

    requests: int
    errors: int
    in_flight: int
    mean_ms: float | None
    p95_ms: float | None


class WorkflowTotalsOut(BaseModel):
    """Runs, and the nodes of them."""

    started: int
    completed: int
    failed: int
    cancelled: int
    waiting: int
    running: int
    nodes: int
    nodes_failed: int
    retries: int


class AiTotalsOut(BaseModel):
    """Calls of models. `remembered` were answered from the memo; `unpriced` ones have a cost that nobody knows."""

    requests: int
    failed: int
    remembered: int
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    unpriced: int
    budget_used: float | None = Field(description="Of the budget that is spent most: spent by limit")


class EventTotalsOut(BaseModel):
    """The event store. `largest_lag`: events that the read model furthest behind has not taken in."""

    appended: int
    dead_letters: int
    largest_lag: int


class OutgoingTotalsOut(BaseModel):
    """Calls of other systems by the API. `refused` were not sent, as the circuit was open."""

    calls: int
    failed: int
    refused: int
    open_circuits: int


class MetricsSummaryOut(BaseModel):
    """The platform in numbers, since the counters began. What comes from a source that is down is 0 or absent."""

    timestamp: datetime
    uptime_seconds: float | None
    sources: dict[str, bool] = Field(description="Whether the figures of each could be read")
    http: HttpTotalsOut
    sockets: int
    workflows: WorkflowTotalsOut
    ai: AiTotalsOut
    events: EventTotalsOut
    outgoing: OutgoingTotalsOut


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
