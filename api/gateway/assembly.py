"""The federated graph as one tree of supervised processes: what `aiw gateway` runs beside the platform.

    one process for each subgraph ── register ──> registry ──> composition ──> supergraph, by URL
                 ▲                                                                   │ polled
                 └──────────────── Hive Gateway, one address for clients <───────────┘

A subgraph that dies is restarted on its port; until then its fields are errors, and the rest of each answer stands. One that does
not come up at the start takes nothing with it.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from api.gateway.registry import Subgraphs
from api.gateway.serving import PATH, SupergraphServer
from api.gateway.supergraph import Supergraph, composer
from api.platform import ROOT, as_environment, dagster_environment, serves_http
from resources.database.postgres import Database
from resources.errors import InvalidInputError, UnavailableError
from resources.registry.postgres import PostgresAgentRegistry
from resources.servers import ports
from resources.servers.files import make_private
from resources.servers.process import Change, Command, CommandService, Supervisor
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from resources.servers.node import Node
    from resources.servers.process import RestartPolicy
    from resources.settings import Settings

log = get_logger(__name__)

LOCKED: Final = ROOT / "deploy" / "gateway"
PACKAGES: Final = Path(sys.prefix) / "gateway"
"""Where the packages of the lock file are kept: they are too large for the repository."""

_PROGRAMS: Final = ("compose.mjs", "gateway.config.mjs")
_READY_WITHIN: Final = 240.0


@dataclass(frozen=True)
class Place:
    """What the gateway stands on: Node, and a folder with its programs and their packages."""

    node: Node
    folder: Path


def prepare(node: Node, *, timeout: float = 300.0) -> Place:
    """The gateway's packages, fetched if they are not here yet. Raises UnavailableError without npm's registry."""
    node.packages(LOCKED, PACKAGES, timeout=timeout)
    for name in _PROGRAMS:
        shutil.copyfile(LOCKED / name, PACKAGES / name)
    return Place(node, PACKAGES)


class Federation:
    """All of it. `settings` name the database and the graph of a platform; `jwks_url` is where its public keys are."""

    def __init__(
        self,
        settings: Settings,
        place: Place,
        *,
        jwks_url: str,
        names: Sequence[str],
        folder: Path,
        port: int = 0,
        policy: RestartPolicy | None = None,
        on_change: Callable[[Change], None] | None = None,
    ) -> None:
        if settings.database.url is None:
            raise InvalidInputError("The gateway needs the platform's database.", code="settings_incomplete")
        self._settings = settings
        self._place = place
        self._jwks_url = jwks_url
        self._names = tuple(names)
        self._folder = folder
        self._on_change = on_change
        self._supervisor = Supervisor(policy=policy, on_change=on_change)
        self._database = Database(settings.database.url.get_secret_value(), pool_size=2, application_name="aiw-gateway")
        self.subgraphs = Subgraphs(PostgresAgentRegistry(self._database))
        compose = composer(place.node, place.folder / "compose.mjs")
        self.supergraph = Supergraph(self.subgraphs, compose, file=folder / "supergraph.graphql")
        self._server = SupergraphServer(self.supergraph, self.subgraphs)
        self._stop = threading.Event()
        self._watch = threading.Thread(target=self.supergraph.run, args=(self._stop,), name="composition", daemon=True)
        self.services: dict[str, CommandService] = {}
        self.port = port or ports.free_port()

    @property
    def url(self) -> str:
        """Where clients send their operations."""
        return f"http://{ports.LOOPBACK}:{self.port}/graphql"

    @property
    def supergraph_url(self) -> str:
        """Where the supergraph is fetched from."""
        return f"{self._server.url}{PATH}"

    def start(self) -> None:
        """Return when the gateway is ready. Raises UnavailableError when there is no supergraph, or no gateway."""
        make_private(self._folder)
        try:
            self._start_subgraphs()
            self._compose()
            self._server.start()
            self._watch.start()
            self._supervisor.start(self._gateway())
        except BaseException:
            self.stop()
            raise

    def wait_failed(self, timeout: float | None = None) -> Change | None:
        """Block until a part was given up (returned), or for `timeout` seconds."""
        return self._supervisor.wait_failed(timeout)

    def stop(self) -> None:
        """Stop all processes, the gateway first."""
        self._supervisor.stop()
        self._stop.set()
        if self._watch.is_alive():
            self._watch.join()
        self._server.stop()
        self._database.close()

    def _start_subgraphs(self) -> None:
        taken = ports.free_ports(len(self._names))
        services = [self._subgraph(name, port) for name, port in zip(self._names, taken, strict=True)]
        with ThreadPoolExecutor(max(1, len(services)), thread_name_prefix="start") as pool:
            tuple(pool.map(self._start_or_tell, services))

    def _compose(self) -> None:
        state = self.supergraph.look()
        if state.text is None:
            reasons = "; ".join(state.errors) or "no subgraph is registered"
            raise UnavailableError(f"There is no supergraph: {reasons}.", dependency="supergraph")

    def _start_or_tell(self, service: CommandService) -> None:
        try:
            self._supervisor.start(service)
        except UnavailableError as error:
            log.error("subgraph.not_started", subgraph=service.name, reason=error.message)  # noqa: TRY400
            if self._on_change is not None:
                self._on_change(Change(service.name, "failed", error.message))

    def _subgraph(self, name: str, port: int) -> CommandService:
        return self._service(
            f"subgraph-{name}",
            (sys.executable, "-m", "api.gateway.subgraph", name, "--port", str(port)),
            environment=self._environment(),
            ready=functools.partial(serves_http, f"http://{ports.LOOPBACK}:{port}/live"),
        )

    def _environment(self) -> Mapping[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIW_")},
            **as_environment(self._settings),
            **dagster_environment(self._settings),
            "PYTHONUNBUFFERED": "1",
        }

    def _gateway(self) -> CommandService:
        auth = self._settings.auth
        own = {
            "NODE_ENV": "production",
            "AIW_GATEWAY_AUTH": auth.mode,
            "AIW_GATEWAY_ISSUER": auth.issuer,
            "AIW_GATEWAY_AUDIENCE": auth.audience,
            "AIW_GATEWAY_JWKS": self._jwks_url,
            "AIW_GATEWAY_SUPERGRAPH": self.supergraph_url,
            "AIW_GATEWAY_PORT": str(self.port),
            "AIW_GATEWAY_DEPTH": str(self._settings.graphql.depth),
        }
        if auth.algorithm == "HS256" and auth.secret is not None:
            own["AIW_GATEWAY_SECRET"] = auth.secret.get_secret_value()
        inherited = {name: it for name, it in self._place.node.environment.items() if not name.startswith("AIW_")}
        program = self._place.folder / "node_modules" / "@graphql-hive" / "gateway" / "dist" / "bin.js"
        return self._service(
            "gateway",
            (str(self._place.node.program), str(program), "supergraph", "-c", "gateway.config.mjs"),
            environment={**inherited, **own},
            ready=functools.partial(serves_http, f"http://{ports.LOOPBACK}:{self.port}/readiness"),
            directory=self._place.folder,
        )

    def _service(
        self,
        name: str,
        argv: tuple[str, ...],
        *,
        environment: Mapping[str, str],
        ready: Callable[[], bool],
        directory: Path = ROOT,
    ) -> CommandService:
        command = Command(
            name=name,
            argv=argv,
            log_file=self._folder / "log" / f"{name}.log",
            directory=directory,
            environment=environment,
            grace=15.0,
        )
        self.services[name] = CommandService(command, ready=ready, timeout=_READY_WITHIN)
        return self.services[name]


@contextmanager
def running(federation: Federation) -> Iterator[Federation]:
    """The federation for the length of a block."""
    federation.start()
    try:
        yield federation
    finally:
        federation.stop()
