"""ArcadeDB as a child process, from the `arcadedb-embedded` wheel (which brings its own Java): a graph server over Bolt.

It is a process of its own, not a library in ours, so that the API, the workers and Dagster share one server, and so that the
same code runs against Neo4j. Loopback only, ports from the kernel, a generated password that reaches the server through a
file (never on the command line, where `ps` shows it), every commit flushed to disk (`txWalFlush=2`).

Always name the database: for ArcadeDB `neo4j` is an alias of "whatever is the default", and without
`bolt.defaultDatabase` it may be any of them.
"""

from __future__ import annotations

import base64
import functools
import importlib.util
import json
import os
import signal
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import psutil

from resources.errors import UnavailableError, UpstreamError
from resources.servers import ports
from resources.servers.files import claim, make_private, password_of
from resources.servers.process import ChildProcess, Command
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from filelock import FileLock

log = get_logger(__name__)

DATABASE = "graph"
USER = "root"

_START_TIMEOUT = 120.0
_STOP_GRACE = 30.0
_PORT_TRIES = 4
_OPENED_PACKAGES = ("java.util.concurrent.atomic", "java.nio.channels.spi", "java.lang")


@dataclass(frozen=True, slots=True)
class BoltEndpoint:
    """How to reach a graph server. `http_url` is where indexes are made that its Cypher cannot make."""

    url: str
    user: str
    password: str = field(repr=False)
    database: str
    http_url: str


class EmbeddedArcadeDB:
    """An ArcadeDB server on the data in `data_dir`. One process at a time may own it.

    `bolt_port` and `http_port` are taken if they are free. Once started, the server keeps its ports.
    """

    name = "arcadedb"

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
        self.data_dir = Path(os.path.abspath(data_dir))  # noqa: PTH100 - resolve() would follow the user's symlinks
        self.log_file = Path(os.path.abspath(log_file)) if log_file else self.data_dir / "arcadedb.log"  # noqa: PTH100
        self._preferred = (bolt_port, http_port)
        self._heap = heap
        self._mode = mode
        self._ports: tuple[int, int] | None = None
        self._password = ""
        self._lock: FileLock | None = None
        self._process: ChildProcess | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def endpoint(self) -> BoltEndpoint:
        """Where the server is, with the password."""
        if self._ports is None:
            raise UnavailableError("The embedded ArcadeDB has not been started.", dependency="graph")
        bolt, http = self._ports
        return BoltEndpoint(
            url=f"bolt://{ports.LOOPBACK}:{bolt}",
            user=USER,
            password=self._password,
            database=DATABASE,
            http_url=f"http://{ports.LOOPBACK}:{http}",
        )

    def start(self) -> None:
        """Start the server and return when it answers over HTTP and Bolt and holds the database `graph`.

        Raises ConflictError when another process owns the folder, UnavailableError when the server does not come up.
        """
        make_private(self.data_dir)
        if self._lock is None:
            self._lock = claim(self.data_dir, name="ArcadeDB server")
        try:
            fresh = not (self.data_dir / "config" / "server-users.jsonl").exists()
            self._password = password_of(self.data_dir, fresh=fresh)
            self._end_leftovers()
            self._launch()
        except BaseException:
            if self._process is not None:
                self._process.kill()
            if self._ports is None:
                self._release()
            raise

    def wait(self) -> int:
        if self._process is None:
            raise UnavailableError("The embedded ArcadeDB has not been started.", dependency="graph")
        return self._process.wait()

    def stop(self) -> None:
        """Shut the server down and give the folder free."""
        if self._process is not None:
            self._process.stop()
        self._release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _launch(self) -> None:
        for attempt in range(1, _PORT_TRIES + 1):
            bolt, http = self._ports or self._choose_ports(first=attempt == 1)
            self._process = ChildProcess(self._command(bolt, http))
            self._process.start()
            try:
                self._process.wait_ready(functools.partial(self._answers, bolt, http), timeout=_START_TIMEOUT)
            except UnavailableError:
                taken = not (ports.is_free(bolt) and ports.is_free(http))
                if self._ports is not None or not taken or attempt == _PORT_TRIES:
                    raise
                log.info("arcadedb.port_taken", bolt=bolt, http=http)
                continue
            self._ports = (bolt, http)
            return

    def _choose_ports(self, *, first: bool) -> tuple[int, int]:
        wanted = [port if first and port and ports.is_free(port) else None for port in self._preferred]
        bolt, http = (port or spare for port, spare in zip(wanted, ports.free_ports(2), strict=True))
        return bolt, http

    def _command(self, bolt: int, http: int) -> Command:
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

    def _answers(self, bolt: int, http: int) -> bool:
        """Ready, on both ports, and ours: a stranger on the port would not take the password."""
        here = BoltEndpoint("", USER, self._password, DATABASE, f"http://{ports.LOOPBACK}:{http}")
        try:
            with urllib.request.urlopen(f"{here.http_url}/api/v1/ready", timeout=2) as answer:  # noqa: S310 - http, ours
                ready = answer.status == 204  # noqa: PLR2004 - "No Content" means ready
            return ready and ports.accepts_connections(bolt) and DATABASE in _databases(here)
        except (OSError, UpstreamError):
            return False

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
