"""Asks agents how they are, and forgets those that were not heard of for a day."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from resources.errors import PlatformError, UnavailableError
from resources.registry.model import FORGOTTEN_AFTER
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from resources.registry.model import Agent
    from resources.registry.store import AgentRegistry

log = get_logger(__name__)

SECONDS = 30.0
_AT_ONCE = 8


class Monitor:
    """`probe` gives the milliseconds that an agent took to answer, or raises a PlatformError."""

    def __init__(self, registry: AgentRegistry, probe: Callable[[Agent], float]) -> None:
        self._registry = registry
        self._probe = probe

    def run(self, stop: threading.Event) -> None:
        """A round every half minute, until `stop` is set."""
        while not stop.is_set():
            try:
                self.look(now=datetime.now(UTC))
            except UnavailableError as error:
                log.warning("registry.monitor_waits", error=str(error))
            stop.wait(SECONDS)

    def look(self, *, now: datetime) -> None:
        """One round. Raises UnavailableError when the registry cannot be reached."""
        forgotten = self._registry.forget(before=now - FORGOTTEN_AFTER)
        if forgotten:
            log.info("registry.forgotten", agents=forgotten)
        agents = self._registry.monitored(now=now)
        if not agents:
            return
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="registry") as pool:
            for agent, milliseconds in zip(agents, pool.map(self._ask, agents), strict=True):
                found = self._registry.checked(agent.id, milliseconds, tenant=agent.tenant)
                if found is not None and found.health.down != agent.health.down:
                    told = {"tenant": agent.tenant, "agent": agent.registration.name, "down": found.health.down}
                    log.warning("registry.agent_changed", **told)

    def _ask(self, agent: Agent) -> float | None:
        try:
            return self._probe(agent)
        except PlatformError:
            return None
