"""The HTTP face under load: authenticated, tenant-checked, rate-limited requests with many tokens, on a real database.

    python -m tests.benchmarks.http [--quick] [--json FILE]

Needs `wrk`. Beside it, in the same run, a bare ASGI application (what the server can do at most) and a plain FastAPI one without
our layers. Server, database and load share the machine, so two workers on two cores have no core for themselves.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from pydantic import SecretStr

from resources.settings import AuthSettings, DatabaseSettings, GraphSettings, Settings
from tests.benchmarks.harness import ROOT, Number, Report, run, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.tenants.identity import Identity

TENANTS, USERS = 20, 10
CONNECTIONS = (1, 32, 100)
_NO_GRAPH = "bolt://127.0.0.1:9"
_LUA = """
local tokens, next = {}, 0
for line in io.lines("%(tokens)s") do tokens[#tokens + 1] = line end
request = function()
  next = next %% #tokens + 1
  return wrk.format("%(method)s", nil, {["Authorization"] = "Bearer " .. tokens[next],
    ["Content-Type"] = "application/json"}, %(body)s)
end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('RESULT {"requests": %%d, "seconds": %%f, "p50": %%f, "p95": %%f, "p99": %%f, "errors": %%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
    latency:percentile(99) / 1e3, e.connect + e.read + e.write + e.status + e.timeout))
end
"""
_EVENT = '{"type": "run.started", "data": {"run_id": "6f1c2d", "job": "study_guide", "trigger": "benchmark"}}'


@dataclass(frozen=True)
class Route:
    """One thing to ask for."""

    name: str
    path: str
    method: str = "GET"
    body: str | None = None


ROUTES = (
    Route("health", "/health"),
    Route("whoami", "/api/v1/auth/whoami"),
    Route("documents", "/api/v1/documents?limit=1"),
    Route("events_read", "/api/v1/events?limit=1"),
    Route("events_append", "/api/v1/events", "POST", _EVENT),
)


@dataclass
class Platform:
    """Environment, tokens and folder of one run."""

    environment: dict[str, str]
    tokens: Path
    folder: Path


def work(report: Report, quick: bool) -> None:
    """Start everything, and measure."""
    if shutil.which("wrk") is None:
        raise SystemExit("http: `wrk` is needed to make the load (Debian: apt-get install wrk).")
    report.versions = version_of("fastapi", "starlette", "uvicorn", "joserfc", "psycopg")
    seconds, rounds = (2, 1) if quick else (5, 3)
    with ExitStack() as stack:
        platform = stack.enter_context(_platform())
        for _ in range(rounds):
            for workers in (1, 2):
                _ours(report, platform, workers=workers, seconds=seconds)
                _peer(report, platform, "bare", workers=workers, seconds=seconds)
                _peer(report, platform, "fastapi", workers=workers, seconds=seconds)
    _bars(report)


def _ours(report: Report, platform: Platform, *, workers: int, seconds: int) -> None:
    command = [sys.executable, "-m", "api.server", "--fd", "{fd}"]
    with _serving(command, platform.environment, workers=workers) as url:
        for route in ROUTES:
            for connections in CONNECTIONS:
                found = _load(platform, url, route, connections=connections, seconds=seconds)
                report.add(_named(f"{route.name}_w{workers}_c{connections}", found))


def _peer(report: Report, platform: Platform, name: str, *, workers: int, seconds: int) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.http_peers", name, "{fd}"]
    with _serving(command, platform.environment, workers=workers) as url:
        for route in ROUTES if name == "fastapi" else ROUTES[:1]:
            if route.name in {"documents", "events_read"}:
                continue  # without a database there is nothing to compare them with
            for connections in CONNECTIONS:
                found = _load(platform, url, route, connections=connections, seconds=seconds)
                report.add(_named(f"{route.name}_w{workers}_c{connections}", found), peer=name)


def _named(prefix: str, found: dict[str, float]) -> dict[str, Number]:
    rate = found["requests"] / found["seconds"]
    figures = {"rps": round(rate), "p50_ms": found["p50"], "p95_ms": found["p95"], "p99_ms": found["p99"]}
    share = found["errors"] / max(1.0, found["requests"])
    return {f"{prefix}_{name}": value for name, value in {**figures, "error_share": share}.items()}


def _load(platform: Platform, url: str, route: Route, *, connections: int, seconds: int) -> dict[str, float]:
    body = "nil" if route.body is None else f"'{route.body}'"
    script = platform.folder / "load.lua"
    script.write_text(_LUA % {"tokens": platform.tokens, "method": route.method, "body": body})
    command = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "--timeout",
        "10s",
        "-s",
        str(script),
        url + route.path,
    ]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    line = next(line for line in answer.splitlines() if line.startswith("RESULT "))
    found: dict[str, float] = json.loads(line.removeprefix("RESULT "))
    return found


@contextmanager
def _serving(command: list[str], environment: dict[str, str], *, workers: int) -> Iterator[str]:
    """So many processes on one socket."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(2048)
        descriptor = listener.fileno()
        filled = [part.format(fd=descriptor) for part in command]
        processes = [
            subprocess.Popen(
                filled,
                cwd=ROOT,
                env=environment,
                pass_fds=[descriptor],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for _ in range(workers)
        ]
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            _wait_ready(url, workers)
            yield url
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                process.wait(30)


def _wait_ready(url: str, workers: int) -> None:
    deadline, good = time.monotonic() + 180, 0
    while good < 20 * workers:  # enough for each worker to have been asked
        if time.monotonic() > deadline:
            raise SystemExit(f"http: {url} was not up after three minutes")
        try:
            good += httpx.get(f"{url}/health", trust_env=False, timeout=5).is_success
        except httpx.TransportError:
            time.sleep(0.1)
    time.sleep(3)  # what is loaded in the background is loaded


@contextmanager
def _platform() -> Iterator[Platform]:
    """A database of its own with tenants, users and a token for each."""
    from api.composition import build_services
    from api.platform import as_environment
    from resources.database.migrations import migrate
    from resources.database.postgres import Database
    from resources.servers.postgres import EmbeddedPostgres
    from resources.tenants.vault import new_master_key

    with tempfile.TemporaryDirectory(prefix="aiw-bench-") as name:
        folder = Path(name)
        server = EmbeddedPostgres(folder / "postgres", settings={"shared_buffers": "256MB"})
        server.start()
        try:
            settings = Settings(
                _env_file=None,
                data_dir=folder,
                database=DatabaseSettings(url=SecretStr(server.url)),
                graph=GraphSettings(url=SecretStr(_NO_GRAPH)),
                auth=AuthSettings(mode="required", master_key=SecretStr(new_master_key()), access_seconds=86_400),
            )
            # Limits are checked at each request, and never reached.
            limits = {
                f"{who}_{what}": 10**9 for who in ("principal", "tenant", "address") for what in ("per_minute", "burst")
            }
            settings = settings.model_copy(update={"limits": settings.limits.model_copy(update=limits)})
            database = Database(server.url)
            migrate(database)
            database.close()
            services = build_services(settings)
            tokens = folder / "tokens"
            tokens.write_text("\n".join(_tokens(services.identity)))
            services.close()
            kept = {name: value for name, value in os.environ.items() if not name.startswith("AIW_")}
            level = {"AIW_LOG__LEVEL": "warning"}
            yield Platform(kept | as_environment(settings) | level, tokens, folder)
        finally:
            server.stop()


def _tokens(identity: Identity) -> list[str]:
    from resources.tenants.permissions import Role

    found = []
    for number in range(TENANTS):
        tenant = f"tenant-{number}"
        identity.administration.create_tenant(tenant, actor=None)
        for index in range(USERS):
            user = identity.administration.create_user(f"user-{index}", tenant=tenant, role=Role.MEMBER, actor=None)
            found.append(identity.authentication.open_session(user, method="password").access_token)
    return found


def _bars(report: Report) -> None:
    for name in ("health", "whoami"):
        report.bar(
            f"{name}, two workers, requests a second",
            report.median(f"{name}_w2_c100_rps"),
            15_000,
            better="more",
            why="the framework's routing and answers cost most of it; see the bare application beside it",
        )
    share = report.median("whoami_w2_c100_rps") / report.median("whoami_w2_c100_rps", peer="fastapi")
    report.bar("share of a plain FastAPI application, everything on", share, 0.6, better="more", why="our layers")
    appended = max(report.median(f"events_append_w2_c{connections}_rps") for connections in CONNECTIONS)
    report.bar("durable events over HTTP, a second", appended, 5_000, better="more", why="one thread a request")
    for route in ROUTES:
        report.bar(
            f"{route.name} p95 at 100 connections, ms",
            report.median(f"{route.name}_w2_c100_p95_ms"),
            120,
            better="less",
            why="two cores for load, server and database",
        )
        report.bar(
            f"{route.name} share of errors", report.median(f"{route.name}_w2_c100_error_share"), 0.0001, better="less"
        )


if __name__ == "__main__":
    run("http", work)
