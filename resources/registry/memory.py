"""The registry in memory: for tests, and for trying things out."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from resources.errors import NotFoundError
from resources.registry.model import LOST_AFTER, Agent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from resources.registry.model import Beat, Registration


class MemoryAgentRegistry:
    """Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._agents: dict[tuple[str, UUID], Agent] = {}

    def register(self, registration: Registration, *, tenant: str, now: datetime) -> tuple[Agent, bool]:
        with self._lock:
            known = next((it for it in self._of(tenant) if it.registration.name == registration.name), None)
            if known is None:
                agent = Agent(tenant, uuid4(), registration, now, now)
            else:
                agent = replace(known, registration=registration, last_seen=now, reported="healthy", connections=0)
            self._agents[tenant, agent.id] = agent
            return agent, known is None

    def get(self, agent_id: UUID, *, tenant: str) -> Agent:
        with self._lock:
            found = self._agents.get((tenant, agent_id))
        if found is None:
            raise unknown(agent_id)
        return found

    def list(self, *, tenant: str, after: str = "", limit: int = 1000) -> Sequence[Agent]:
        with self._lock:
            return [agent for agent in self._of(tenant) if agent.registration.name > after][:limit]

    def able(self, capabilities: Sequence[str], *, tenant: str) -> Sequence[Agent]:
        with self._lock:
            return [it for it in self._of(tenant) if set(capabilities) <= set(it.registration.capabilities)]

    def heartbeat(self, agent_id: UUID, beat: Beat, *, tenant: str, now: datetime) -> Agent:
        with self._lock:
            agent = self._agents[tenant, agent_id] = self.get(agent_id, tenant=tenant).heard(beat, now)
            return agent

    def remove(self, agent_id: UUID, *, tenant: str, unless: Callable[[Agent], None] | None = None) -> None:
        with self._lock:
            agent = self.get(agent_id, tenant=tenant)
            if unless is not None:
                unless(agent)
            del self._agents[tenant, agent_id]

    def monitored(self, *, now: datetime) -> Sequence[Agent]:
        with self._lock:
            agents = list(self._agents.values())
        return [it for it in agents if it.registration.health_url is not None and now - it.last_seen <= LOST_AFTER]

    def checked(self, agent_id: UUID, milliseconds: float | None, *, tenant: str) -> Agent | None:
        with self._lock:
            agent = self._agents.get((tenant, agent_id))
            if agent is None:
                return None
            agent = self._agents[tenant, agent_id] = replace(agent, health=agent.health.after(milliseconds))
            return agent

    def forget(self, *, before: datetime) -> int:
        with self._lock:
            old = [key for key, agent in self._agents.items() if agent.last_seen < before]
            for key in old:
                del self._agents[key]
            return len(old)

    def _of(self, tenant: str) -> Sequence[Agent]:
        found = [agent for (owner, _), agent in self._agents.items() if owner == tenant]
        return sorted(found, key=lambda agent: agent.registration.name)


def unknown(agent_id: UUID) -> NotFoundError:
    """For an id that nobody has (any more)."""
    return NotFoundError(
        f"There is no agent {str(agent_id)!r}; register it with POST /api/v1/registry/agents.", code="agent_not_found"
    )
