"""What the registry of agents takes and gives over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from resources.registry.model import Agent, Reported, Status

Capability = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.:-]{0,99}$")]
Text = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AgentIn(_Strict):
    """What an agent says of itself."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$", description="Its own within the tenant")
    endpoint: str = Field(
        pattern=r"^(https?|wss?|grpcs?)://[^\s/\x00]+[^\s\x00]*$",
        max_length=500,
        examples=["https://agents.example.com/research"],
    )
    capabilities: list[Capability] = Field(min_length=1, max_length=100, examples=[["research", "summarise"]])
    weight: float = Field(default=1.0, gt=0, le=1000, description="How much of the work it should get")
    health_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/\x00]+[^\s\x00]*$",
        max_length=500,
        description="Asked every half minute; unset = heartbeats alone tell how it is",
    )
    metadata: dict[Annotated[str, Field(max_length=100, pattern=r"^[^\x00]*$")], Text] = Field(
        default_factory=dict, max_length=50
    )


class BeatIn(_Strict):
    """How the agent is. What is left out stays as it was."""

    status: Reported = "healthy"
    connections: int | None = Field(default=None, ge=0, lt=2**31, description="What it is working on")
    response_ms: float | None = Field(default=None, ge=0, le=1e9, description="Its own mean time to answer")


class AgentOut(BaseModel):
    """A registered agent. `status` is what it says of itself, unless it is silent or does not answer."""

    id: UUID
    name: str
    endpoint: str
    capabilities: list[str]
    status: Status
    weight: float
    connections: int
    response_ms: float | None
    availability: float | None = Field(description="Share of checks that it answered; null before the first")
    health_url: str | None
    metadata: dict[str, Any]
    registered_at: datetime
    last_seen: datetime

    @classmethod
    def of(cls, agent: Agent, now: datetime) -> Self:
        registration = agent.registration
        return cls(
            id=agent.id,
            name=registration.name,
            endpoint=registration.endpoint,
            capabilities=list(registration.capabilities),
            status=agent.status(now),
            weight=registration.weight,
            connections=agent.connections,
            response_ms=agent.health.response_ms,
            availability=agent.health.availability,
            health_url=registration.health_url,
            metadata=registration.metadata,
            registered_at=agent.registered_at,
            last_seen=agent.last_seen,
        )


class AgentPage(BaseModel):
    """Agents by name. `next_after` is null on the last page; the counts are of this page."""

    agents: list[AgentOut]
    total_count: int
    active_count: int
    next_after: str | None


class DiscoveredOut(BaseModel):
    """Those who can do all of it and take work, the healthy first; `chosen` is whose turn it is."""

    agents: list[AgentOut]
    total_count: int
    chosen: AgentOut | None


class BeatOut(BaseModel):
    """When the agent was seen, and within how many seconds it should tell again."""

    message: str
    last_seen: datetime
    status: Status
    next_within_seconds: float
