"""What the platform needs of a machine, checked one by one: each finding says what is wrong and how to mend it.

A check asks for the thing itself where it can (it runs the servers' programs, embeds a sentence, logs in to a database) and
never changes anything.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from api import running
from resources.errors import PlatformError
from resources.servers import arcadedb, ports, postgres
from resources.servers.process import dies_with_parent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from resources.settings import Settings

Status = Literal["ok", "warning", "failed"]

DISTRIBUTION = "ai-workflow-engine"
OLDEST_GLIBC = (2, 28)
OLDEST_POSTGRES = 150000
_GIB = 1 << 30
_SKEW = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, what was found, and what to do about it when it is not well."""

    name: str
    status: Status
    detail: str
    fix: str | None = None


def examine(settings: Settings) -> Iterator[Finding]:
    """All findings, as they are made. A check that breaks is a finding, too."""
    checks: tuple[Callable[[Settings], Finding], ...] = (
        _python,
        _machine,
        _packages,
        _memory,
        _disk,
        _open_files,
        _loopback,
        _clock,
        _process_control,
        _last_run,
        _database,
        _graph,
        _model,
    )
    for check in checks:
        name = check.__name__.strip("_").replace("_", " ")
        try:
            yield check(settings)
        except (PlatformError, OSError, ValueError, subprocess.SubprocessError) as error:
            yield Finding(name, "failed", str(error), "Read the message; if it does not help, report it as a bug.")


def _python(_: Settings) -> Finding:
    found = platform.python_version()
    if (3, 11) <= sys.version_info < (3, 14):
        return Finding("python", "ok", f"{found}, {sys.executable}")
    return Finding(
        "python",
        "failed",
        f"{found} is not supported",
        "Use Python 3.11, 3.12 or 3.13: set AIW_PYTHON and run deploy/install.sh.",
    )


def _machine(_: Settings) -> Finding:
    system, architecture = platform.system(), platform.machine()
    library, version = platform.libc_ver()
    detail = f"{system} {architecture}, {library or 'unknown C library'} {version}, {os.cpu_count()} CPUs"
    if system != "Linux" or architecture not in {"x86_64", "aarch64"}:
        return Finding(
            "machine",
            "failed",
            detail,
            "The embedded servers need Linux on x86_64 or aarch64; elsewhere set AIW_DATABASE__URL and AIW_GRAPH__URL.",
        )
    if library != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < OLDEST_GLIBC:
        return Finding(
            "machine",
            "failed",
            detail,
            "The embedded servers need glibc 2.28 or newer (Debian 10, RHEL 8, Ubuntu 20.04).",
        )
    return Finding("machine", "ok", detail)


def _packages(_: Settings) -> Finding:
    from packaging.requirements import Requirement

    wanted = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or []]
    wrong = []
    for requirement in wanted:
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name} {found} is not {requirement.specifier}")
    if wrong:
        return Finding("packages", "failed", "; ".join(wrong), "Run deploy/install.sh.")
    return Finding("packages", "ok", f"{len(wanted)} requirements are met")


def _memory(_: Settings) -> Finding:
    import psutil

    available = psutil.virtual_memory().available
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        available = min(available, int(text) - used)
    detail = f"{available / _GIB:.1f} GiB available"
    if available < _GIB:
        return Finding(
            "memory", "failed", detail, "The platform needs about 2 GiB. Close programs or raise the container's limit."
        )
    if available < 2 * _GIB:
        return Finding("memory", "warning", detail, "The platform needs about 2 GiB; large documents more.")
    return Finding("memory", "ok", detail)


def _disk(settings: Settings) -> Finding:
    folder = _nearest_folder(settings.data_dir)
    free = shutil.disk_usage(folder).free
    detail = f"{free / _GIB:.1f} GiB free for {str(settings.data_dir.absolute())!r}"
    if not os.access(folder, os.W_OK | os.X_OK):
        return Finding(
            "disk", "failed", f"{str(folder)!r} cannot be written to", "Set AIW_DATA_DIR to a folder of yours."
        )
    if free < _GIB // 2:
        return Finding("disk", "failed", detail, "Free at least 2 GiB, or set AIW_DATA_DIR to another disk.")
    if free < 2 * _GIB:
        return Finding("disk", "warning", detail, "Free at least 2 GiB, or set AIW_DATA_DIR to another disk.")
    return Finding("disk", "ok", detail)


def _open_files(_: Settings) -> Finding:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1024:  # noqa: PLR2004 - the usual limit, and enough
        return Finding("open files", "failed", f"at most {soft}", "Raise the limit: `ulimit -n 4096`.")
    return Finding("open files", "ok", f"at most {soft}")


def _loopback(settings: Settings) -> Finding:
    taken = [port for port in (settings.api.port, settings.dagster.port) if port and not ports.is_free(port)]
    state = running.read_state(settings.data_dir.absolute())
    if taken and not (state is not None and state.running):
        return Finding(
            "ports", "failed", f"taken: {taken}", "Set AIW_API__PORT and AIW_DAGSTER__PORT to others, or to 0."
        )
    return Finding("ports", "ok", f"a server can listen on {ports.LOOPBACK} (port {ports.free_port()} is free)")


def _clock(_: Settings) -> Finding:
    now = datetime.now(UTC)
    newest = datetime.fromtimestamp(Path(__file__).stat().st_mtime, UTC)
    if now < newest:
        return Finding(
            "clock",
            "failed",
            f"{now:%Y-%m-%d %H:%M} UTC is before the program was installed",
            "Set the clock (systemd-timesyncd, chrony).",
        )
    return Finding("clock", "ok", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _process_control(_: Settings) -> Finding:
    import signal

    if dies_with_parent(signal.SIGTERM):
        return Finding("process control", "ok", "children end with their supervisor, even if it is killed")
    return Finding(
        "process control",
        "warning",
        "setpriv is missing: a killed supervisor leaves processes until the next start",
        "Install util-linux.",
    )


def _last_run(settings: Settings) -> Finding:
    state = running.read_state(settings.data_dir.absolute())
    if state is None:
        return Finding("last run", "ok", "no platform runs on this data folder")
    if state.running:
        return Finding("last run", "ok", f"a platform runs, process {state.process.pid}")
    return Finding(
        "last run", "warning", "the last platform here was killed", "`aiw up` recovers; acknowledged data is safe."
    )


def _database(settings: Settings) -> Finding:
    if settings.database.url is None:
        return _embedded_postgres()
    url = settings.database.url.get_secret_value()
    facts = postgres.inspect(url, timeout=settings.database.connect_timeout)
    detail = f"PostgreSQL {facts.version // 10000}.{facts.version % 10000} at {_host_of(url)}"
    if facts.version < OLDEST_POSTGRES:
        return Finding(
            "database", "failed", detail, "Use PostgreSQL 15 or newer; 18 is what the platform is tested with."
        )
    if facts.vector is None:
        return Finding(
            "database",
            "failed",
            f"{detail}, without pgvector",
            "Install pgvector (Debian: postgresql-18-pgvector) on that server.",
        )
    if not facts.may_create:
        return Finding(
            "database", "failed", f"{detail}: the user may not create schemas", "GRANT CREATE ON DATABASE to it."
        )
    skew = abs((facts.now - datetime.now(UTC)).total_seconds())
    if skew > _SKEW:
        return Finding("database", "warning", f"{detail}; its clock is {skew:.0f} s off", "Synchronise both clocks.")
    return Finding("database", "ok", f"{detail}, pgvector {facts.vector}")


def _embedded_postgres() -> Finding:
    identity = postgres.choose_identity()
    version = _first_line([str(postgres.programs() / "postgres"), "--version"])
    how = {"direct": "as this user", "namespace": "in a user namespace", "system_user": "as a system user"}[identity]
    return Finding("database", "ok", f"embedded {version}, runs {how}")


def _graph(settings: Settings) -> Finding:
    if settings.graph.url is None:
        java = arcadedb.package_folder() / "jre" / "bin" / "java"
        return Finding(
            "graph",
            "ok",
            f"embedded ArcadeDB {metadata.version('arcadedb-embedded')}, {_first_line([str(java), '-version'])}",
        )
    from resources.knowledge.neo4j import BoltGraphStore

    url = settings.graph.url.get_secret_value()
    graph = BoltGraphStore(
        url,
        user=settings.graph.user,
        password=settings.graph.password.get_secret_value(),
        database=settings.graph.database,
    )
    try:
        seconds = graph.ping()
    except PlatformError as error:
        advice = "Check that it runs, and AIW_GRAPH__URL, AIW_GRAPH__USER, AIW_GRAPH__PASSWORD and AIW_GRAPH__DATABASE."
        return Finding("graph", "failed", f"{_host_of(url)}: {error.message}", advice)
    finally:
        graph.close()
    return Finding("graph", "ok", f"{_host_of(url)} answers in {seconds * 1000:.0f} ms")


def _model(_: Settings) -> Finding:
    from resources.ai.minilm import MiniLmEmbedder

    vector = MiniLmEmbedder().embed(["The model is whole and runs here."])
    return Finding("embedding model", "ok", f"checksum is right, {vector.shape[1]} dimensions")


def _first_line(command: list[str]) -> str:
    finished = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    output = (finished.stdout or finished.stderr).strip()
    if finished.returncode != 0:
        raise OSError(
            f"{command[0]!r} does not run here ({finished.returncode}): {output}. Run deploy/install.sh again."
        )
    return output.splitlines()[0]


def _host_of(url: str) -> str:
    """Host and port of an address, without its password."""
    parts = urlsplit(url)
    default = 5432 if parts.scheme.startswith("postgres") else 7687
    return f"{parts.hostname or ports.LOOPBACK}:{parts.port or default}"


def _nearest_folder(path: Path) -> Path:
    path = path.absolute()
    while not path.is_dir():
        path = path.parent
    return path
