"""`aiw up`, `aiw status`, `aiw stop`: the platform in the foreground, and how to look at it and end it from elsewhere."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.output import AsJson, print_json, progress_console, remark, show, table
from api.cli.session import session_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api.cli.session import Session
    from api.client import ApiClient
    from api.platform import Platform
    from api.running import State
    from resources.servers.process import Change
    from resources.settings import Settings

_STOP_TIMEOUT = 150.0

ServersOnly = Annotated[
    bool, typer.Option("--servers-only", help="Start PostgreSQL and ArcadeDB, migrate, and nothing else.")
]


ApiWorkers = Annotated[
    int | None,
    typer.Option("--api-workers", min=1, max=64, help="Processes that serve the API; unset = AIW_API__WORKERS."),
]


def up(context: typer.Context, servers_only: ServersOnly = False, api_workers: ApiWorkers = None) -> None:
    """Start the platform and keep it up, in the foreground. Ctrl-C stops it; data stays.

    PostgreSQL and ArcadeDB are started here unless AIW_DATABASE__URL and AIW_GRAPH__URL name others. A process that dies is
    restarted; one that keeps dying stops the platform and is named.
    """
    settings, failure = session_of(context).settings, None
    if api_workers is not None:
        settings = settings.model_copy(update={"api": settings.api.model_copy(update={"workers": api_workers})})
    with suppress(KeyboardInterrupt), _platform(settings, servers_only=servers_only) as platform:
        failure = platform.wait_failed()
    if failure is not None:
        remark(failure.detail)
        raise typer.Exit(1)


@contextmanager
def foreground(session: Session, *, keep: bool = False) -> Iterator[ApiClient]:
    """A client of the platform that runs here, else of one that runs for the length of the block.

    `keep` leaves the latter running after the block, until Ctrl-C. Raises UnavailableError when it broke down meanwhile.
    """
    from api.running import read_state
    from resources.errors import UnavailableError

    state = read_state(session.settings.data_dir.absolute())
    if session.api_url is not None or (state is not None and state.running and state.api_url is not None):
        yield session.client()
        return
    failure = None
    with _platform(session.settings) as platform:
        assert platform.state.api_url is not None
        yield session.client_of(platform.state.api_url)
        if keep:
            remark("the platform stays up. Ctrl-C stops it.")
        with suppress(KeyboardInterrupt):
            failure = platform.wait_failed(timeout=None if keep else 0)
    if failure is not None:
        raise UnavailableError(failure.detail, dependency=failure.service)


@contextmanager
def _platform(settings: Settings, *, servers_only: bool = False) -> Iterator[Platform]:
    """A platform for the length of the block, told about on the terminal. SIGTERM and a closed terminal end it as Ctrl-C does."""
    from api.platform import Platform

    _log_to(settings.log.level, settings.log.format)
    platform = Platform(settings, servers_only=servers_only, on_change=Progress())
    began = time.monotonic()
    with stoppable():
        try:
            state = platform.start()
        except KeyboardInterrupt:
            remark("stopped before it was up.")
            raise
        try:
            show(_addresses(state))
            remark(f"up after {time.monotonic() - began:.1f} s. Ctrl-C stops it.")
            yield platform
        finally:
            ignore_signals()
            platform.stop()
            remark("stopped; all data is kept.")


def status(context: typer.Context, as_json: AsJson = False) -> None:
    """Show what runs. Ends with 1 if nothing does."""
    from api.running import read_state

    data_dir = session_of(context).settings.data_dir.absolute()
    state = read_state(data_dir)
    if as_json:
        print_json(_summary(data_dir, state))
    elif state is None:
        remark(f"no platform runs on {str(data_dir)!r}. Start one with `aiw up`.")
    elif not state.running:
        remark(f"the platform on {str(data_dir)!r} was killed. `aiw up` starts it again, with all data.")
    else:
        show(_addresses(state))
        show(_services(state))
    if state is None or not state.running:
        raise typer.Exit(1)


def stop(context: typer.Context) -> None:
    """Stop the platform that runs on this data folder, and wait until it is gone. Data stays."""
    from api.running import read_state

    data_dir = session_of(context).settings.data_dir.absolute()
    state = read_state(data_dir)
    process = state.process.find() if state is not None else None
    if state is None or process is None:
        remark(f"no platform runs on {str(data_dir)!r}.")
        return
    process.send_signal(signal.SIGTERM)
    deadline = time.monotonic() + _STOP_TIMEOUT
    while state.running:  # also over when its parent, not we, has yet to collect it
        if time.monotonic() > deadline:
            remark(
                f"process {process.pid} has not ended after {_STOP_TIMEOUT:.0f} s. Its logs are in {data_dir / 'log'}."
            )
            raise typer.Exit(1)
        time.sleep(0.05)
    remark("stopped; all data is kept.")


class Progress:
    """Tells each start, death and restart in a line."""

    def __init__(self) -> None:
        self._console = progress_console()
        self._lock = threading.Lock()

    def __call__(self, change: Change) -> None:
        style, text = {
            "starting": ("dim", "starting"),
            "started": ("green", "ready"),
            "died": ("yellow", "died, restarting"),
            "restarted": ("green", "ready again"),
            "failed": ("red", "given up"),
            "stopped": ("dim", "stopped"),
        }[change.state]
        with self._lock:
            detail = f"  {change.detail}" if change.detail and change.state != "failed" else ""
            self._console.print(f"{change.service:<12} {text:<17}{detail}".rstrip(), style=style)


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM and a closed terminal end the block as Ctrl-C does; afterwards signals mean what they meant before."""
    watched = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    former = {one: signal.signal(one, signal.default_int_handler) for one in watched}
    try:
        yield
    finally:
        for one, handler in former.items():
            signal.signal(one, handler)


def ignore_signals() -> None:
    """An impatient second Ctrl-C must not interrupt a server that writes its last pages."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)


def _log_to(level: str, format: Any) -> None:
    from resources.telemetry.logging import configure_logging

    # Progress is told in lines of its own; the log adds what is unusual.
    configure_logging(level="warning" if level == "info" else level, format=format, service="up")


def _addresses(state: State) -> Any:
    rows = [
        ("Dagster UI", state.ui_url),
        ("API", state.api_url),
        ("API documentation", f"{state.api_url}/docs" if state.api_url else None),
        ("PostgreSQL", _without_password(state.database_url)),
        ("Graph (Bolt)", state.graph.get("url") if state.graph else None),
        ("Data, logs", state.data_dir),
    ]
    return table(("", "address"), [row for row in rows if row[1]])


def _services(state: State) -> Any:
    rows = []
    for service in state.services.values():
        process = service.process.find() if service.process else None
        memory = f"{process.memory_info().rss / 2**20:.0f} MB" if process else None
        rows.append(
            (service.name, service.state, process.pid if process else None, memory, service.restarts, service.log_file)
        )
    return table(("process", "state", "pid", "memory", "restarts", "log"), rows)


def _summary(data_dir: Path, state: State | None) -> dict[str, Any]:
    if state is None:
        return {"running": False, "data_dir": str(data_dir)}
    return {
        "running": state.running,
        "ready": state.running and state.ready,
        "pid": state.process.pid,
        "data_dir": state.data_dir,
        "started_at": state.started_at,
        "api_url": state.api_url,
        "ui_url": state.ui_url,
        "database_url": _without_password(state.database_url),
        "graph_url": state.graph.get("url") if state.graph else None,
        "embedded": state.embedded,
        "services": [
            {
                "name": service.name,
                "state": service.state if service.process and service.process.find() else "gone",
                "pid": service.process.pid if service.process else None,
                "restarts": service.restarts,
                "log_file": service.log_file,
            }
            for service in state.services.values()
        ],
    }


def _without_password(url: str | None) -> str | None:
    from urllib.parse import urlsplit

    if url is None:
        return None
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return parts._replace(netloc=f"{parts.username or ''}@{parts.hostname or ''}{port}", query="").geturl()
