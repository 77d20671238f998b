"""ArcadeDB as a child process, from the `arcadedb-embedded` wheel (which brings its own Java): a graph server over Bolt.

It is a process of its own, not a library in ours, so that the API, the workers and Dagster share one server, and so that the
same code runs against Neo4j. Loopback only, ports from the kernel, a generated password that reaches the server through a
file (never on the command line, where `ps` shows it), every commit flushed to disk (`txWalFlush=2`).

Always name the database: for ArcadeDB `neo4j` is an alias of "whatever is the default", and without
`bolt.defaultDatabase` it may be any of them.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import signal
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import psutil

from resources.errors import UnavailableError, UpstreamError
from resources.servers import ports
from resources.servers.embedded import EmbeddedServer
from resources.servers.files import password_of
from resources.servers.process import Command
from resources.telemetry.logging import get_logger

log = get_logger(__name__)

DATABASE = "graph"
USER = "root"

_STOP_GRACE = 30.0
_OPENED_PACKAGES = ("java.util.concurrent.atomic", "java.nio.channels.spi", "java.lang")


@dataclass(frozen=True, slots=True)
class BoltEndpoint:
    """How to reach a graph server. `http_url` is where indexes are made that its Cypher cannot make."""

    url: str
    user: str
    password: str = field(repr=False)
    database: str
    http_url: str


class EmbeddedArcadeDB(EmbeddedServer):
    """An ArcadeDB server on the data in `data_dir`, with the database `graph`. It prefers `bolt_port` and `http_port`."""

    name = "arcadedb"
    title = "ArcadeDB"
    dependency = "graph"
    start_timeout = 120.0

    def __init__(
        self,
        data_dir: Path,
        *,
        log_file: Path | None = None,
        bolt_port: int | None = None,
        http_port: int | None = None,
        heap: str = "512m",
        mode: Literal["development", "production"] = "production",
    ) -> None:
        super().__init__(data_dir, log_file=log_file, preferred=(bolt_port, http_port))
        self._heap = heap
        self._mode = mode
        self._password = ""

    @property
    def endpoint(self) -> BoltEndpoint:
        """Where the server is, with the password. Raises UnavailableError before it has been started."""
        bolt, http = self._known_ports()
        return BoltEndpoint(
            url=f"bolt://{ports.LOOPBACK}:{bolt}",
            user=USER,
            password=self._password,
            database=DATABASE,
            http_url=f"http://{ports.LOOPBACK}:{http}",
        )

    def _prepare(self) -> None:
        fresh = not (self.data_dir / "config" / "server-users.jsonl").exists()
        self._password = password_of(self.data_dir, fresh=fresh)
        self._end_leftovers()

    def _command(self, *chosen: int) -> Command:
        bolt, http = chosen
        package = package_folder()
        properties = {
            "java.awt.headless": "true",
            "java.net.preferIPv4Stack": "true",
            "arcadedb.server.rootPath": str(self.data_dir),
            "arcadedb.server.databaseDirectory": str(self.data_dir / "databases"),
            "arcadedb.server.logsDirectory": str(self.data_dir / "log"),
            "arcadedb.server.rootPasswordPath": str(self.data_dir / "password"),
            "arcadedb.server.mode": self._mode,
            "arcadedb.server.defaultDatabases": f"{DATABASE}[{USER}]",
            "arcadedb.server.httpIncomingHost": ports.LOOPBACK,
            "arcadedb.server.httpIncomingPort": str(http),
            "arcadedb.server.plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin",
            "arcadedb.bolt.host": ports.LOOPBACK,
            "arcadedb.bolt.port": str(bolt),
            "arcadedb.bolt.defaultDatabase": DATABASE,
            "arcadedb.txWalFlush": "2",
        }
        return Command(
            name=self.name,
            argv=(
                str(package / "jre" / "bin" / "java"),
                f"-Xmx{self._heap}",
                "-XX:+UseSerialGC",
                # The quick compiler alone: a third of the CPU seconds and half the latency while the server is young.
                "-XX:TieredStopAtLevel=1",
                "-XX:+ExitOnOutOfMemoryError",
                "-XX:-UsePerfData",
                "--add-modules=jdk.incubator.vector",
                "--enable-native-access=ALL-UNNAMED",
                *(f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENED_PACKAGES),
                *(f"-D{name}={value}" for name, value in properties.items()),
                "-cp",
                str(package / "jars" / "*"),
                "com.arcadedb.server.ArcadeDBServer",
            ),
            log_file=self.log_file,
            directory=self.data_dir,
            environment=_environment(),
            stop_signal=signal.SIGTERM,
            grace=_STOP_GRACE,
        )

    def _answers(self, *chosen: int) -> bool:
        """Ready, on both ports, and ours: a stranger on the port would not take the password."""
        bolt, http = chosen
        here = BoltEndpoint("", USER, self._password, DATABASE, f"http://{ports.LOOPBACK}:{http}")
        try:
            with urllib.request.urlopen(f"{here.http_url}/api/v1/ready", timeout=2) as answer:  # noqa: S310 - http, ours
                ready = answer.status == 204  # noqa: PLR2004 - "No Content" means ready
            return ready and ports.accepts_connections(bolt) and DATABASE in _databases(here)
        except (OSError, UpstreamError):
            return False

    def _complete(self, *chosen: int) -> None:
        """Nothing: the server has made its database itself (`defaultDatabases`)."""

    def _end_leftovers(self) -> None:
        """End a server that a killed supervisor left on this data. The caller holds the folder's lock."""
        marker = f"-Darcadedb.server.rootPath={self.data_dir}"
        found = [process for process in psutil.process_iter(["cmdline"]) if marker in (process.info["cmdline"] or [])]
        if not found:
            return
        log.warning("arcadedb.leftover_stopped", folder=str(self.data_dir), pids=[process.pid for process in found])
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.terminate()
        _, alive = psutil.wait_procs(found, timeout=15)
        for process in alive:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=10)


def create_database(endpoint: BoltEndpoint, database: str) -> BoltEndpoint:
    """Create a database if it does not exist (Cypher cannot) and return its endpoint."""
    if database not in _databases(endpoint):
        _call(endpoint, "/api/v1/server", {"command": f"create database {database}"})
    return replace(endpoint, database=database)


def package_folder() -> Path:
    """Folder of the wheel, with `jre/` and `jars/` in it. Raises UnavailableError when the wheel is not installed."""
    spec = importlib.util.find_spec("arcadedb_embedded")
    if spec is None or spec.origin is None:
        raise UnavailableError(
            "The package arcadedb-embedded is not installed. Run deploy/install.sh, or set AIW_GRAPH__URL.",
            dependency="graph",
        )
    return Path(spec.origin).parent


def _databases(endpoint: BoltEndpoint) -> list[str]:
    return list(_call(endpoint, "/api/v1/databases", None).get("result", []))


def _call(endpoint: BoltEndpoint, path: str, body: dict[str, str] | None) -> dict[str, list[str]]:
    """Call the server's HTTP interface: GET without a body, POST with one."""
    token = base64.b64encode(f"{endpoint.user}:{endpoint.password}".encode()).decode()
    request = urllib.request.Request(  # noqa: S310 - http, ours
        endpoint.http_url + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Basic {token}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - http, ours
            loaded: dict[str, list[str]] = json.load(answer)
            return loaded
    except urllib.error.HTTPError as error:
        detail = error.read().decode(errors="replace")
        raise UpstreamError(f"ArcadeDB refused {path!r} ({error.code}): {detail}") from error


def _environment() -> dict[str, str]:
    """A plain environment: JAVA_TOOL_OPTIONS and the like of the caller must not reach the server."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC"}
