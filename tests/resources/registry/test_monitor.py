from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from resources.errors import UnavailableError
from resources.registry.memory import MemoryAgentRegistry
from resources.registry.model import FORGOTTEN_AFTER, Registration
from resources.registry.monitor import Monitor

if TYPE_CHECKING:
    from resources.registry.model import Agent

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def probe(agent: Agent) -> float:
    if agent.registration.name == "ill":
        raise UnavailableError("It does not answer.", dependency="agent")
    return 7.0


def test_a_round_notes_who_answers_and_forgets_who_is_long_gone() -> None:
    registry = MemoryAgentRegistry()
    for name in ("well", "ill"):
        registration = Registration(name, "https://x.example", ("a",), health_url=f"https://x.example/{name}")
        registry.register(registration, tenant="t", now=NOW)
    gone = NOW - FORGOTTEN_AFTER - timedelta(seconds=1)
    registry.register(Registration("gone", "https://x.example", ("a",)), tenant="t", now=gone)
    monitor = Monitor(registry, probe)
    for _ in range(3):
        monitor.look(now=NOW)
    found = {agent.registration.name: agent.status(NOW) for agent in registry.list(tenant="t")}
    assert found == {"ill": "unhealthy", "well": "healthy"}


def test_it_ends_when_it_is_told_to() -> None:
    stop = threading.Event()

    class Once(MemoryAgentRegistry):
        def forget(self, *, before: datetime) -> int:
            stop.set()
            return super().forget(before=before)

    Monitor(Once(), probe).run(stop)
    assert stop.is_set()
