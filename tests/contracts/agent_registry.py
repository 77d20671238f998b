"""What every registry of agents promises. Subclass and give the registry."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from resources.errors import NotFoundError
from resources.registry.model import FORGOTTEN_AFTER, LATE_AFTER, LOST_AFTER, Beat, Registration

if TYPE_CHECKING:
    from resources.registry.store import AgentRegistry

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def named(name: str, *capabilities: str, **fields: Any) -> Registration:
    return Registration(name, "https://agents.example/x", capabilities or ("research",), **fields)


class AgentRegistryContract:
    @pytest.fixture
    def registry(self) -> AgentRegistry:
        raise NotImplementedError

    def test_a_registered_agent_is_found(self, registry: AgentRegistry, tenant: str) -> None:
        agent, created = registry.register(
            named("ada", "a", "b", weight=2.5, metadata={"v": "1"}, health_url="https://agents.example/h"),
            tenant=tenant,
            now=NOW,
        )
        assert created
        assert registry.get(agent.id, tenant=tenant) == agent
        assert agent.status(NOW) == "healthy"

    def test_who_registers_again_keeps_its_id_and_its_history(self, registry: AgentRegistry, tenant: str) -> None:
        first, _ = registry.register(named("ada"), tenant=tenant, now=NOW)
        registry.checked(first.id, 12.0, tenant=tenant)
        again, created = registry.register(named("ada", "other"), tenant=tenant, now=NOW + timedelta(hours=1))
        assert not created
        assert (again.id, again.registered_at, again.health.checks) == (first.id, NOW, 1)
        assert again.registration.capabilities == ("other",)

    def test_agents_are_listed_by_name_in_pages(self, registry: AgentRegistry, tenant: str) -> None:
        for name in ("cy", "ada", "bo"):
            registry.register(named(name), tenant=tenant, now=NOW)
        assert [it.registration.name for it in registry.list(tenant=tenant, limit=2)] == ["ada", "bo"]
        assert [it.registration.name for it in registry.list(tenant=tenant, after="bo")] == ["cy"]

    def test_who_is_able_can_do_all_of_it(self, registry: AgentRegistry, tenant: str) -> None:
        registry.register(named("both", "a", "b"), tenant=tenant, now=NOW)
        registry.register(named("one", "a"), tenant=tenant, now=NOW)
        assert [it.registration.name for it in registry.able(["a", "b"], tenant=tenant)] == ["both"]
        assert len(registry.able(["a"], tenant=tenant)) == 2
        assert registry.able(["c"], tenant=tenant) == []

    def test_a_heartbeat_tells_how_it_is(self, registry: AgentRegistry, tenant: str) -> None:
        agent, _ = registry.register(named("ada"), tenant=tenant, now=NOW)
        later = NOW + timedelta(minutes=1)
        beat = registry.heartbeat(agent.id, Beat("draining", 7, 42.0), tenant=tenant, now=later)
        assert (beat.last_seen, beat.status(later), beat.connections, beat.health.response_ms) == (
            later,
            "draining",
            7,
            42,
        )
        assert registry.heartbeat(agent.id, Beat(), tenant=tenant, now=later).connections == 7
        assert registry.get(agent.id, tenant=tenant).status(later) == "healthy"

    def test_checks_add_up(self, registry: AgentRegistry, tenant: str) -> None:
        agent, _ = registry.register(named("ada"), tenant=tenant, now=NOW)
        for answer in (None, None, None):
            registry.checked(agent.id, answer, tenant=tenant)
        down = registry.get(agent.id, tenant=tenant)
        assert (down.status(NOW), down.health.availability) == ("unhealthy", 0.0)
        registry.checked(agent.id, 10.0, tenant=tenant)
        up = registry.checked(agent.id, 20.0, tenant=tenant)
        assert up is not None
        assert (up.status(NOW), up.health.availability) == ("healthy", 0.4)
        assert registry.checked(uuid.uuid4(), 1.0, tenant=tenant) is None

    def test_the_monitor_asks_those_who_want_it_and_are_not_lost(self, registry: AgentRegistry, tenant: str) -> None:
        asked, _ = registry.register(named("a", health_url="https://agents.example/h"), tenant=tenant, now=NOW)
        registry.register(named("b"), tenant=tenant, now=NOW)
        registry.register(
            named("c", health_url="https://agents.example/h"),
            tenant=tenant,
            now=NOW - LOST_AFTER - timedelta(seconds=1),
        )
        assert [it.id for it in registry.monitored(now=NOW) if it.tenant == tenant] == [asked.id]

    def test_who_was_not_seen_for_long_is_forgotten(self, registry: AgentRegistry, tenant: str) -> None:
        old = datetime(2001, 1, 1, tzinfo=UTC)
        gone, _ = registry.register(named("gone"), tenant=tenant, now=old)
        kept, _ = registry.register(named("kept"), tenant=tenant, now=NOW)
        assert registry.forget(before=old + FORGOTTEN_AFTER) == 1
        assert [it.id for it in registry.list(tenant=tenant)] == [kept.id]
        with pytest.raises(NotFoundError, match=str(gone.id)):
            registry.heartbeat(gone.id, Beat(), tenant=tenant, now=NOW)

    def test_a_tenant_knows_its_own_agents_only(self, registry: AgentRegistry, tenant: str) -> None:
        agent, _ = registry.register(named("ada"), tenant=tenant, now=NOW)
        other = f"{tenant}-other"
        assert registry.list(tenant=other) == []
        assert registry.able(["research"], tenant=other) == []
        with pytest.raises(NotFoundError):
            registry.get(agent.id, tenant=other)
        with pytest.raises(NotFoundError):
            registry.remove(agent.id, tenant=other)
        registry.remove(agent.id, tenant=tenant)
        assert registry.list(tenant=tenant) == []

    def test_silence_is_noticed(self, registry: AgentRegistry, tenant: str) -> None:
        agent, _ = registry.register(named("ada"), tenant=tenant, now=NOW)
        second = timedelta(seconds=1)
        assert agent.status(NOW + LATE_AFTER) == "healthy"
        assert agent.status(NOW + LATE_AFTER + second) == "degraded"
        assert agent.status(NOW + LOST_AFTER + second) == "lost"
