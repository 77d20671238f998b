"""Which subgraphs there are, where they are, and how they are.

They stand in the registry of agents, under a tenant that nobody can be of: only a process that reaches the database itself can
put one before other people's requests. With its address a subgraph registers its schema, so that a supergraph can be composed
while it is down; one that is silent stays in the supergraph, and its fields are errors until it is back.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from resources.errors import NotFoundError, UnavailableError
from resources.registry.model import HEARTBEAT, Beat, Registration, Reported
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.registry.model import Status
    from resources.registry.store import AgentRegistry

log = get_logger(__name__)

_TENANT: Final = "_platform"
_CAPABILITY: Final = "graphql-subgraph"
_EVERY: Final = HEARTBEAT.total_seconds() / 3


@dataclass(frozen=True)
class Subgraph:
    """One subgraph, as it registered. `url` is its GraphQL endpoint."""

    name: str
    url: str
    sdl: str
    status: Status = "healthy"


class Subgraphs:
    """All registered subgraphs. Raises UnavailableError when the registry cannot be reached."""

    def __init__(self, agents: AgentRegistry) -> None:
        self._agents = agents

    def register(self, subgraph: Subgraph, *, now: datetime) -> None:
        """Also when it is known: what it says now counts."""
        registration = Registration(subgraph.name, subgraph.url, (_CAPABILITY,), metadata={"sdl": subgraph.sdl})
        self._agents.register(registration, tenant=_TENANT, now=now)

    def all(self, *, now: datetime) -> Sequence[Subgraph]:
        """By name, also those that are silent."""
        return [
            Subgraph(
                it.registration.name, it.registration.endpoint, str(it.registration.metadata["sdl"]), it.status(now)
            )
            for it in self._agents.able((_CAPABILITY,), tenant=_TENANT)
        ]

    def beat(self, name: str, status: Reported, *, now: datetime) -> None:
        """It lives. Raises NotFoundError for one that is not registered (any more)."""
        for agent in self._agents.able((_CAPABILITY,), tenant=_TENANT):
            if agent.registration.name == name:
                self._agents.heartbeat(agent.id, Beat(status=status), tenant=_TENANT, now=now)
                return
        raise NotFoundError(f"There is no subgraph {name!r}.", code="subgraph_not_found")

    def remove(self, name: str) -> None:
        """Take it out of the graph. Does nothing when it is not in it."""
        for agent in self._agents.able((_CAPABILITY,), tenant=_TENANT):
            if agent.registration.name == name:
                self._agents.remove(agent.id, tenant=_TENANT)


class Heart:
    """Keeps one subgraph registered while it serves, and tells when it ends."""

    def __init__(self, subgraphs: Subgraphs, subgraph: Subgraph) -> None:
        self._subgraphs = subgraphs
        self._subgraph = subgraph
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heart", daemon=True)

    def start(self) -> None:
        """Register, and send a heartbeat three times as often as one is asked for."""
        self._subgraphs.register(self._subgraph, now=datetime.now(UTC))
        self._thread.start()

    def stop(self) -> None:
        """Tell that it ends, if that can still be told."""
        self._stop.set()
        self._thread.join()
        self._tell("draining")

    def _run(self) -> None:
        while not self._stop.wait(_EVERY):
            self._tell("healthy")

    def _tell(self, status: Reported) -> None:
        try:
            self._subgraphs.beat(self._subgraph.name, status, now=datetime.now(UTC))
        except NotFoundError:
            self._subgraphs.register(self._subgraph, now=datetime.now(UTC))
        except UnavailableError as error:
            log.warning("subgraph.not_heard", subgraph=self._subgraph.name, error=str(error))
