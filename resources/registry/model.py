"""Agents that run elsewhere and tell that they live: where they are, what they can do, and how they are.

They send a heartbeat every minute. One that misses it is degraded, one that misses three is lost and no longer offered; after a
day it is forgotten. An agent that names a `health_url` is asked there besides, every half minute: it is down after three
failures in a row, and up again after two successes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID  # noqa: TC003  # pydantic reads the annotations

if TYPE_CHECKING:
    from collections.abc import Iterable

HEARTBEAT = timedelta(seconds=60)
LATE_AFTER = HEARTBEAT * 1.5
LOST_AFTER = HEARTBEAT * 3
FORGOTTEN_AFTER = timedelta(days=1)
_FAILURES_UNTIL_DOWN = 3
_SUCCESSES_UNTIL_UP = 2
_NEW = 0.3
"""What the last answer counts in the mean response time."""

Reported = Literal["healthy", "degraded", "draining", "unhealthy"]
Status = Literal["healthy", "degraded", "draining", "unhealthy", "lost"]


@dataclass(frozen=True, slots=True)
class Health:
    """What asking has shown. `streak` counts successes in a row, or failures as a negative number."""

    response_ms: float | None = None
    checks: int = 0
    failed: int = 0
    streak: int = 0
    down: bool = False

    @property
    def availability(self) -> float | None:
        """The share of checks that succeeded; None before the first."""
        return None if self.checks == 0 else 1 - self.failed / self.checks

    def after(self, milliseconds: float | None) -> Health:
        """After one more check; None = it failed."""
        good = milliseconds is not None
        streak = max(0, self.streak) + 1 if good else min(0, self.streak) - 1
        down = streak < _SUCCESSES_UNTIL_UP if self.down else streak <= -_FAILURES_UNTIL_DOWN
        return Health(self._mean(milliseconds), self.checks + 1, self.failed + (not good), streak, down)

    def _mean(self, milliseconds: float | None) -> float | None:
        if milliseconds is None or self.response_ms is None:
            return self.response_ms if milliseconds is None else milliseconds
        return (1 - _NEW) * self.response_ms + _NEW * milliseconds


@dataclass(frozen=True, slots=True)
class Registration:
    """What an agent says of itself. `name` is its own within the tenant; a higher `weight` gets more of the work."""

    name: str
    endpoint: str
    capabilities: tuple[str, ...]
    weight: float = 1.0
    health_url: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat tells. What is None stays as it was."""

    status: Reported = "healthy"
    connections: int | None = None
    response_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Agent:
    """A registered agent."""

    tenant: str
    id: UUID
    registration: Registration
    registered_at: datetime
    last_seen: datetime
    reported: Reported = "healthy"
    connections: int = 0
    health: Health = field(default_factory=Health)

    @property
    def weight(self) -> float:
        """Its share of the work."""
        return self.registration.weight

    @property
    def response_ms(self) -> float | None:
        """How fast it answers."""
        return self.health.response_ms

    def status(self, now: datetime) -> Status:
        """How it is: what it says of itself, unless it is silent or does not answer."""
        silent = now - self.last_seen
        if silent > LOST_AFTER:
            return "lost"
        if self.health.down:
            return "unhealthy"
        return "degraded" if self.reported == "healthy" and silent > LATE_AFTER else self.reported

    def heard(self, beat: Beat, now: datetime) -> Agent:
        """After a heartbeat."""
        told = self.health.response_ms if beat.response_ms is None else beat.response_ms
        return replace(
            self,
            last_seen=now,
            reported=beat.status,
            connections=self.connections if beat.connections is None else beat.connections,
            health=replace(self.health, response_ms=told),
        )


def able(agents: Iterable[Agent], capabilities: Iterable[str], *, now: datetime) -> list[Agent]:
    """Those who can do all of it and take work, the healthy ones first."""
    wanted = frozenset(capabilities)
    rank = {"healthy": 0, "degraded": 1}
    found = [agent for agent in agents if wanted <= set(agent.registration.capabilities) and agent.status(now) in rank]
    return sorted(found, key=lambda agent: (rank[agent.status(now)], agent.registration.name))
