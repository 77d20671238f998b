"""The whole platform as one tree of supervised processes: what `aiw up` runs.

    PostgreSQL  ArcadeDB            unless AIW_DATABASE__URL / AIW_GRAPH__URL name others
        └── migrations, schema of Dagster
            └── code server   API (one or several)   warm workers   event worker
                └── Dagster's UI   Dagster's daemon

The UI and the daemon share one code server, so that the code location is loaded once. Every child gets the complete
settings in its environment. A child that dies is restarted, on its port and its data; one that keeps dying ends the
platform, with its name and its log file.

One platform a data folder: a second one is refused. What the last one left behind, should it have been killed, is ended
first. Nothing here imports Dagster; its processes are programs like the others.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import psutil
from pydantic import BaseModel, SecretStr

from api import running
from api.listening import bind_all, has_told_its_port
from resources.errors import ConflictError, NotFoundError
from resources.servers import ports
from resources.servers.arcadedb import EmbeddedArcadeDB
from resources.servers.files import claim, make_private, write_private
from resources.servers.postgres import EmbeddedPostgres, ensure_schema
from resources.servers.process import Change, Command, CommandService, RestartPolicy, Supervisor
from resources.settings import GraphSettings, Settings
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from filelock import FileLock

    from resources.servers.process import Service

log = get_logger(__name__)

ROOT = Path(__file__).resolve().parents[1]
DAGSTER_SCHEMA = "dagster"
LOCATION = "aiw"
MARKER = "AIW_SUPERVISED_DATA_DIR"

_WORKSPACE = """\
# Written by `aiw up`: the UI and the daemon share this code server.
load_from:
  - grpc_server:
      host: {host}
      port: {port}
      location_name: {location}
"""


class Platform:
    """All processes of the platform, for one data folder.

    `servers_only` starts PostgreSQL and ArcadeDB, migrates, and nothing else. `on_change` hears of every start, death and
    restart, from several threads.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        servers_only: bool = False,
        on_change: Callable[[Change], None] | None = None,
        policy: RestartPolicy | None = None,
    ) -> None:
        self.data_dir = Path(os.path.abspath(settings.data_dir))  # noqa: PTH100 - resolve() would follow symlinks
        self.settings = settings.model_copy(update={"data_dir": self.data_dir})
        self._servers_only = servers_only
        self._on_change = on_change
        self._supervisor = Supervisor(policy=policy, on_change=self._changed)
        self._services: dict[str, Service] = {}
        self._state: running.State | None = None
        self._state_lock = threading.Lock()
        self._owner: FileLock | None = None
        self._ports: dict[str, int] = {}
        self._listeners: tuple[socket.socket, ...] = ()

    @property
    def state(self) -> running.State:
        """Addresses and processes. Raises ConflictError before `start`."""
        if self._state is None:
            raise ConflictError("The platform has not been started.", code="platform_not_started")
        return self._state

    def start(self) -> running.State:
        """Start everything and return when all of it is ready.

        Raises ConflictError when a platform already runs on this folder, UnavailableError when a part does not come up;
        what had been started is stopped then.
        """
        make_private(self.data_dir)
        make_private(self.data_dir / "run")
        self._owner = claim(self.data_dir, name="platform")
        try:
            self._ensure_master_key()
            self._end_leftovers()
            mark = running.ProcessMark.of(os.getpid())
            assert mark is not None
            self._state = running.State(process=mark, data_dir=str(self.data_dir), auth_mode=self.settings.auth.mode)
            self._ports = running.read_ports(self.data_dir)
            self._write_state()
            self._start_servers()
            self._prepare_database()
            if not self._servers_only:
                self._start_processes()
            self.state.ready = True
            self._write_state()
            running.write_ports(self.data_dir, self._ports)
        except BaseException:
            self.stop()
            raise
        return self.state

    def wait_failed(self, timeout: float | None = None) -> Change | None:
        """Block until a part was given up (returned), or for `timeout` seconds."""
        return self._supervisor.wait_failed(timeout)

    def stop(self) -> None:
        """Stop everything in reverse order. Data stays. Safe to call twice."""
        self._supervisor.stop()
        for listener in self._listeners:
            listener.close()
        if self._owner is not None:
            running.state_file(self.data_dir).unlink(missing_ok=True)
            self._owner.release()
            self._owner = None

    def environment(self) -> dict[str, str]:
        """The environment of the children: the caller's, the complete settings, and what Dagster needs."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.upper().startswith("AIW_") and name not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")
        }
        return {
            **inherited,
            **as_environment(self.settings),
            **dagster_environment(self.settings),
            # What a run plans to materialise and check is written in one batch, not event by event.
            "DAGSTER_EVENT_BATCH_SIZE": "100",
            # Sensors on the ends of runs look at five runs a tick otherwise, and fall behind.
            "DAGSTER_RUN_STATUS_SENSOR_FETCH_LIMIT": "500",
            "DAGSTER_RUN_STATUS_SENSOR_PROCESS_LIMIT": "500",
            "PYTHONUNBUFFERED": "1",
            MARKER: str(self.data_dir),
        }

    def _ensure_master_key(self) -> None:
        """What seals secrets: of the settings, else one of this data folder's own. In production it must be given."""
        from resources.tenants.vault import new_master_key

        auth = self.settings.auth
        if auth.master_key is not None or self.settings.environment == "production":
            return
        file = self.data_dir / "master.key"
        if not file.exists():
            write_private(file, new_master_key())
        auth = auth.model_copy(update={"master_key": SecretStr(file.read_text().strip())})
        self.settings = self.settings.model_copy(update={"auth": auth})

    def _start_servers(self) -> None:
        starts: list[Callable[[], None]] = []
        postgres = arcadedb = None
        if self.settings.database.url is None:
            postgres = EmbeddedPostgres(
                self.data_dir / "postgres", log_file=self._log_file("postgres"), port=self._ports.get("postgres")
            )
            starts.append(functools.partial(self._start_service, postgres))
        if self.settings.graph.url is None:
            arcadedb = EmbeddedArcadeDB(
                self.data_dir / "arcadedb",
                log_file=self._log_file("arcadedb"),
                bolt_port=self._ports.get("bolt"),
                http_port=self._ports.get("http"),
            )
            starts.append(functools.partial(self._start_service, arcadedb))
        self._in_parallel(starts)
        database, graph = self.settings.database, self.settings.graph
        if postgres is not None:
            self._ports["postgres"] = postgres.port
            database = database.model_copy(update={"url": SecretStr(postgres.url)})
        if arcadedb is not None:
            here = arcadedb.endpoint
            self._ports |= {"bolt": _port_of(here.url), "http": _port_of(here.http_url)}
            graph = GraphSettings(
                url=SecretStr(here.url),
                user=here.user,
                password=SecretStr(here.password),
                database=here.database,
                http_url=here.http_url,
            )
        self.settings = self.settings.model_copy(update={"database": database, "graph": graph})
        with self._state_lock:
            self.state.embedded = [one.name for one in (postgres, arcadedb) if one is not None]
            self.state.database_url = database.url.get_secret_value() if database.url else None
            self.state.graph = {key: value for key, value in _revealed(graph).items() if isinstance(value, str)}
        self._write_state()

    def _prepare_database(self) -> None:
        from resources.database.migrations import migrate
        from resources.database.postgres import Database

        url = self.settings.database.url
        assert url is not None
        database = Database(url.get_secret_value(), connect_timeout=self.settings.database.connect_timeout)
        try:
            migrate(database)
        finally:
            database.close()
        ensure_schema(url.get_secret_value(), DAGSTER_SCHEMA)

    def _prepare_graph(self) -> None:
        from resources.knowledge.neo4j import BoltGraphStore

        graph = self.settings.graph
        assert graph.url is not None
        store = BoltGraphStore(
            graph.url.get_secret_value(),
            user=graph.user,
            password=graph.password.get_secret_value(),
            database=graph.database,
            http_url=graph.http_url,
        )
        with closing(store):
            store.prepare()

    def _start_processes(self) -> None:
        home = self.data_dir / "dagster"
        make_private(home)
        instance = ROOT / "deploy" / "dagster.yaml"
        if not instance.is_file():
            raise NotFoundError(f"{str(instance)!r} is missing. Restore it from the repository.")
        shutil.copyfile(instance, home / "dagster.yaml")
        code, ui, api = (
            self._port("code_server", 0),
            self._port("ui", self.settings.dagster.port),
            self._port("api", self.settings.api.port),
        )
        workspace = home / "workspace.yaml"
        write_private(workspace, _WORKSPACE.format(host=ports.LOOPBACK, port=code, location=LOCATION))
        with self._state_lock:
            self.state.api_url = f"http://{ports.LOOPBACK}:{api}"
            self.state.ui_url = f"{self.state.api_url}{running.UI_PATH}"
        webserver = f"http://{ports.LOOPBACK}:{ui}{running.UI_PATH}"
        dagster = self.settings.dagster
        dagster = dagster.model_copy(update={"url": dagster.url or webserver})
        self.settings = self.settings.model_copy(update={"dagster": dagster})
        here = ("-h", ports.LOOPBACK, "-p")
        self._prepare_graph()
        self._start_programs(
            self._program(
                "code-server",
                *("dagster", "code-server", "start", "-m", "definitions.code_location", *here, str(code)),
                *("-d", str(ROOT), "--location-name", LOCATION, "--use-python-environment-entry-point"),
                ready=functools.partial(serves_grpc, code),
            ),
            self._program("pool", "definitions.runtime.pool", ready=_at_once),
            *self._api(api),
            self._program("events", "api.event_worker", ready=_at_once),
        )
        self._start_programs(
            self._program(
                "webserver",
                *("dagster_webserver", *here, str(ui), "-w", str(workspace), "--path-prefix", running.UI_PATH),
                ready=functools.partial(serves_http, f"{webserver}/server_info"),
            ),
            self._program("daemon", "definitions.runtime.daemon", "-w", str(workspace), ready=_at_once),
        )

    def _api(self, port: int) -> list[CommandService]:
        """The processes that serve the API. Several of them count what they let through together."""
        api, remote = self.settings.api, self.settings.auth.mode == "required"
        shutil.rmtree(self.data_dir / "metrics", ignore_errors=True)  # of a former run: its counters are over
        self._listeners = bind_all(api.host, port, api.workers, remote=remote)
        if api.workers > 1:
            limits = self.settings.limits.model_copy(update={"store": "postgres"})
            self.settings = self.settings.model_copy(update={"limits": limits})
        return [self._worker(number, listener) for number, listener in enumerate(self._listeners, 1)]

    def _worker(self, number: int, listener: socket.socket) -> CommandService:
        name = "api" if number == 1 else f"api-{number}"
        port_file = self.data_dir / "run" / f"{name}.port"
        worker = self._program(
            name,
            *("api.server", "--fd", str(listener.fileno()), "--port-file", str(port_file)),
            *("--metrics-folder", str(self.data_dir / "metrics")),
            ready=lambda: has_told_its_port(port_file, worker.pid),
            stop_signal=signal.SIGTERM,
            descriptors=(listener.fileno(),),
        )
        return worker

    def _start_programs(self, *services: Service) -> None:
        self._in_parallel([functools.partial(self._start_service, service) for service in services])

    def _program(
        self,
        name: str,
        *arguments: str,
        ready: Callable[[], bool],
        stop_signal: signal.Signals = signal.SIGINT,
        descriptors: tuple[int, ...] = (),
    ) -> CommandService:
        """A Python module of the project or of Dagster. Dagster's own programs clean up on SIGINT, not on SIGTERM."""
        command = Command(
            name=name,
            argv=(sys.executable, "-m", *arguments),
            log_file=self._log_file(name),
            directory=ROOT,
            environment=self.environment(),
            stop_signal=stop_signal,
            grace=20.0,
            descriptors=descriptors,
        )
        return CommandService(command, ready=ready, timeout=120.0)

    def _port(self, name: str, wanted: int) -> int:
        """The port that the settings want, else that of the last run, else a new one."""
        if wanted and not ports.is_free(wanted):
            raise ConflictError(
                f"Port {wanted}, which the settings want for {name!r}, is taken by another program.", code="port_taken"
            )
        self._ports[name] = wanted or ports.free_port(self._ports.get(name))
        return self._ports[name]

    def _log_file(self, name: str) -> Path:
        return self.data_dir / "log" / f"{name}.log"

    def _start_service(self, service: Service) -> None:
        self._services[service.name] = service
        self._supervisor.start(service)

    def _in_parallel(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Run all tasks at once; raises what the first one to fail raised, after the others were stopped."""
        if not tasks:
            return
        with ThreadPoolExecutor(max_workers=len(tasks), thread_name_prefix="start") as pool:
            started = [pool.submit(task) for task in tasks]
            try:
                for one in as_completed(started):
                    one.result()
            except BaseException:
                self._supervisor.stop()
                raise

    def _changed(self, change: Change) -> None:
        service = self._services.get(change.service)
        if service is not None and self._state is not None:
            with self._state_lock:
                former = self._state.services.get(change.service)
                restarts = (former.restarts if former else 0) + (change.state == "restarted")
                pid = service.pid
                self._state.services[change.service] = running.ServiceState(
                    name=change.service,
                    log_file=str(service.log_file),
                    state=change.state,
                    process=running.ProcessMark.of(pid) if pid else None,
                    restarts=restarts,
                )
            self._write_state()
        if self._on_change is not None:
            self._on_change(change)

    def _write_state(self) -> None:
        with self._state_lock:
            if self._owner is not None and self._state is not None:
                running.write_state(self.data_dir, self._state)

    def _end_leftovers(self) -> None:
        """End the processes of a platform on this folder that was killed. The caller holds the folder's lock."""
        former = running.read_state(self.data_dir)
        left = _marked_processes(self.data_dir)
        if former is None and not left:
            return
        names = ", ".join(sorted({process.name() for process in left if process.is_running()})) or "none"
        self._announce_recovery(f"the last platform here was not stopped; processes left over: {names}")
        for stop in (psutil.Process.terminate, psutil.Process.kill):
            for process in left:
                with suppress(psutil.NoSuchProcess):
                    stop(process)
            _, left = psutil.wait_procs(left, timeout=10)
        running.state_file(self.data_dir).unlink(missing_ok=True)

    def _announce_recovery(self, detail: str) -> None:
        log.warning("platform.recovering", detail=detail)
        if self._on_change is not None:
            self._on_change(Change("platform", "starting", detail))


@contextmanager
def running_platform(
    settings: Settings, *, servers_only: bool = False, on_change: Callable[[Change], None] | None = None
) -> Iterator[Platform]:
    """A platform for the length of a block."""
    platform = Platform(settings, servers_only=servers_only, on_change=on_change)
    platform.start()
    try:
        yield platform
    finally:
        platform.stop()


def dagster_url(url: str) -> str:
    """The platform's database as Dagster's storage takes it: through psycopg2, in a schema of its own.

    SQLAlchemy 2.1 reads `postgresql://` as psycopg 3, with which Dagster's event log fails: hence the explicit driver.
    """
    parts = urlsplit(url)
    options = "options=" + quote(f"-csearch_path={DAGSTER_SCHEMA}", safe="")
    query = "&".join(part for part in (parts.query, options) if part)
    return parts._replace(scheme="postgresql+psycopg2", query=query).geturl()


def dagster_environment(settings: Settings) -> dict[str, str]:
    """Where Dagster keeps what is told of runs."""
    url = settings.database.url
    return {
        "DAGSTER_HOME": str(settings.data_dir.absolute() / "dagster"),
        "DAGSTER_POSTGRES_URL": dagster_url(url.get_secret_value()) if url else "",
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }


def as_environment(settings: BaseModel, *, prefix: str = "AIW_") -> dict[str, str]:
    """Settings as the environment variables that they are read from. None is left out."""
    found: dict[str, str] = {}
    for name, value in _revealed(settings).items():
        if isinstance(value, BaseModel):
            found |= as_environment(value, prefix=f"{prefix}{name.upper()}__")
        elif value is not None:
            found[f"{prefix}{name.upper()}"] = str(value)
    return found


def serves_http(url: str) -> bool:
    """Whether `url` answers with success."""
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:  # noqa: S310 - http, ours
            return bool(answer.status < 400)  # noqa: PLR2004 - the first status that is a failure
    except OSError:
        return False


def serves_grpc(port: int) -> bool:
    """Whether the code server on `port` says that it serves, through gRPC's standard health check."""
    if not ports.accepts_connections(port):
        return False
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    with grpc.insecure_channel(f"{ports.LOOPBACK}:{port}") as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service="DagsterApi"), timeout=3
            )
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _at_once() -> bool:
    """For programs without an address: they are watched from the moment they run."""
    return True


def _marked_processes(data_dir: Path) -> list[psutil.Process]:
    """Processes that a platform on `data_dir` started, directly or not, without this one and its ancestors."""
    me = psutil.Process()
    ours = {me.pid, *(parent.pid for parent in me.parents())}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid not in ours and process.environ().get(MARKER) == str(data_dir):
                found.append(process)
    return found


def _revealed(model: BaseModel) -> Mapping[str, Any]:
    return {name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in model}


def _port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port
