"""The HTTP face under load: authenticated, tenant-checked, rate-limited requests with many tokens, on a real database.

    python -m tests.benchmarks.http [--quick] [--json FILE]

Needs `wrk`. Beside it, in the same run, a bare ASGI application (what the server can do at most) and a plain FastAPI one without
our layers. Server, database and load share the machine, so two workers on two cores have no core for themselves: what a request
costs is told as well, as CPU time of the servers and of the database, and of the layers that it goes through (`layer_...`): the
server itself, the guards of all routes (correlation, headers, who it is, limits), a row that is read together with others, the
framework's route, and a thread with a transaction.

Each request has the next of many tokens, and asks for something of its own tenant; nothing is answered from a cache.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
from pydantic import SecretStr

from api.listening import bind_all
from resources.settings import AuthSettings, DatabaseSettings, GraphSettings, Settings
from resources.telemetry.logging import configure_logging
from tests.benchmarks.harness import ROOT, Number, Report, run, version_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from api.dependencies import Services

TENANTS, USERS, DOCUMENTS = 20, 10, 5
CONNECTIONS = (1, 32, 100)
_NO_GRAPH = "bolt://127.0.0.1:9"
_LUA = """
local requests, next = {}, 0
for line in io.lines("%(targets)s") do
  local token, path = line:match("(%%S+) (%%S+)")
  requests[#requests + 1] = wrk.format("%(method)s", path, {["Authorization"] = "Bearer " .. token,
    ["Content-Type"] = "application/json"}, %(body)s)
end
request = function()
  next = next %% #requests + 1
  return requests[next]
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
    """One thing to ask for. `{document}` and `{run}` stand for names of the tenant's own."""

    name: str
    path: str
    method: str = "GET"
    body: str | None = None


HOT = (
    Route("health", "/health"),
    Route("document", "/api/v1/documents/{document}"),
    Route("run_status", "/api/v1/workflows/{run}/status"),
)
APPEND = Route("events_append", "/api/v1/events", "POST", _EVENT)
ROUTES = (
    *HOT,
    Route("whoami", "/api/v1/auth/whoami"),
    Route("documents", "/api/v1/documents?limit=1"),
    Route("events_read", "/api/v1/events?limit=1"),
    APPEND,
)
PLAIN = {"whoami", "events_append"}
"""What the plain FastAPI application does, too. It has no database: its events go nowhere."""


@dataclass(frozen=True)
class Member:
    """Somebody who asks: a token, and names of things of the same tenant."""

    token: str
    documents: tuple[str, ...]
    run: str


@dataclass
class Platform:
    """Environment, members, folder and database server of one run."""

    environment: dict[str, str]
    members: list[Member]
    folder: Path
    database: psutil.Process


def work(report: Report, quick: bool) -> None:
    """Start everything, and measure."""
    configure_logging(level="error")
    if shutil.which("wrk") is None:
        raise SystemExit("http: `wrk` is needed to make the load (Debian: apt-get install wrk).")
    report.versions = version_of("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "joserfc", "psycopg")
    seconds, rounds = (1, 1) if quick else (3, 3)
    with ExitStack() as stack:
        platform = stack.enter_context(_platform())
        for _ in range(rounds):
            for workers in (1, 2):
                _ours(report, platform, workers=workers, seconds=seconds)
                _peer(report, platform, "bare", workers=workers, seconds=seconds)
                _peer(report, platform, "fastapi", workers=workers, seconds=seconds)
    _layers(report)
    _bars(report)


def _layers(report: Report) -> None:
    """CPU microseconds of a request by layer, each the difference of two routes; beside them what a plain application takes."""
    at = "w2_c100_server_cpu_us"
    bare = report.median(f"health_{at}", peer="bare")
    ours = {name: report.median(f"{name}_{at}") for name in ("health", "document", "whoami", "documents")}
    plain = report.median(f"whoami_{at}", peer="fastapi")
    report.add(
        {
            "layer_server_us": bare,
            "layer_guards_us": ours["health"] - bare,
            "layer_hot_row_us": ours["document"] - ours["health"],
            "layer_route_us": ours["whoami"] - ours["health"],
            "layer_thread_and_transaction_us": ours["documents"] - ours["whoami"],
        }
    )
    report.add({"layer_server_us": bare, "layer_route_us": plain - bare}, peer="fastapi")


def _ours(report: Report, platform: Platform, *, workers: int, seconds: int) -> None:
    command = [sys.executable, "-m", "api.server", "--fd", "{fd}"]
    with _serving(command, platform.environment, workers=workers) as server:
        # Each worker has seen each token; within the run it looks at each of them anew, every half a minute.
        _load(platform, server, HOT[0], connections=32, seconds=2)
        for route in ROUTES:
            for connections in CONNECTIONS:
                found = _load(platform, server, route, connections=connections, seconds=seconds)
                report.add(_named(f"{route.name}_w{workers}_c{connections}", found))


def _peer(report: Report, platform: Platform, name: str, *, workers: int, seconds: int) -> None:
    command = [sys.executable, "-m", "tests.benchmarks.http_peers", name, "{fd}"]
    with _serving(command, platform.environment, workers=workers) as server:
        for route in ROUTES:
            if route.name != "health" and (name == "bare" or route.name not in PLAIN):
                continue
            for connections in CONNECTIONS:
                found = _load(platform, server, route, connections=connections, seconds=seconds)
                report.add(_named(f"{route.name}_w{workers}_c{connections}", found), peer=name)


def _named(prefix: str, found: dict[str, float]) -> dict[str, Number]:
    rate = found["requests"] / found["seconds"]
    figures = {
        "rps": round(rate),
        "p50_ms": found["p50"],
        "p95_ms": found["p95"],
        "p99_ms": found["p99"],
        "server_cpu_us": found["server_cpu"] * 1e6 / max(1.0, found["requests"]),
        "database_cpu_us": found["database_cpu"] * 1e6 / max(1.0, found["requests"]),
    }
    share = found["errors"] / max(1.0, found["requests"])
    return {f"{prefix}_{name}": value for name, value in {**figures, "error_share": share}.items()}


def _load(platform: Platform, server: Serving, route: Route, *, connections: int, seconds: int) -> dict[str, float]:
    targets, script = platform.folder / "targets", platform.folder / "load.lua"
    targets.write_text(
        "".join(
            f"{member.token} {route.path.format(document=document, run=member.run)}\n"
            for document_number in range(DOCUMENTS)
            for member in platform.members
            for document in member.documents[document_number : document_number + 1]
        )
    )
    body = "nil" if route.body is None else f"'{route.body}'"
    script.write_text(_LUA % {"targets": targets, "method": route.method, "body": body})
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script), server.url]
    before = _cpu(server.processes), _cpu([platform.database])
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    after = _cpu(server.processes), _cpu([platform.database])
    line = next(line for line in answer.splitlines() if line.startswith("RESULT "))
    found: dict[str, float] = json.loads(line.removeprefix("RESULT "))
    return found | {"server_cpu": after[0] - before[0], "database_cpu": after[1] - before[1]}


def _cpu(roots: list[psutil.Process]) -> float:
    """Seconds of processor time that these processes and their children have had."""
    total = 0.0
    for root in roots:
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += sum(process.cpu_times()[:4])
    return total


@dataclass(frozen=True)
class Serving:
    """Where the load goes, and who has to bear it."""

    url: str
    processes: list[psutil.Process]


@contextmanager
def _serving(command: list[str], environment: dict[str, str], *, workers: int) -> Iterator[Serving]:
    """So many processes on one port, each with a socket of its own, as `aiw up` starts them."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(closing(one)) for one in bind_all("127.0.0.1", 0, workers)]
        processes = [
            subprocess.Popen(
                [part.format(fd=listener.fileno()) for part in command],
                cwd=ROOT,
                env=environment,
                pass_fds=[listener.fileno()],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for listener in listeners
        ]
        url = f"http://127.0.0.1:{listeners[0].getsockname()[1]}"
        try:
            _wait_ready(url, workers)
            yield Serving(url, [psutil.Process(process.pid) for process in processes])
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
            members = _members(services)
            services.close()
            kept = {name: value for name, value in os.environ.items() if not name.startswith("AIW_")}
            level = {"AIW_LOG__LEVEL": "warning"}
            assert server.pid is not None
            yield Platform(kept | as_environment(settings) | level, members, folder, psutil.Process(server.pid))
        finally:
            server.stop()


def _members(services: Services) -> list[Member]:
    """Tenants with a handful of documents and a run that has ended, and their people, each with a token."""
    from resources.content.model import DocumentSource, MediaType
    from resources.events.catalog import NodeCompleted
    from resources.events.projections.projector import Projector
    from resources.events.projections.workflows import WorkflowExecutionHistory
    from resources.events.workflow import WorkflowAggregate
    from resources.tenants.permissions import Role

    identity, found = services.identity, []
    for number in range(TENANTS):
        tenant = f"tenant-{number}"
        identity.administration.create_tenant(tenant, actor=None)
        documents = []
        for index in range(DOCUMENTS):
            source = DocumentSource(uri=f"bench:{index}", name=f"{index}.md", media_type=MediaType.MARKDOWN)
            receipt = services.intake.receive(source, f"# {index}\n\nOf {tenant}.\n".encode(), tenant=tenant)
            documents.append(receipt.document.id)
        run = WorkflowAggregate(f"run-{number}")
        run.create("benchmark", input_data={"number": number})
        run.start()
        for node in ("fetch", "analyse", "store"):
            run.node(NodeCompleted(workflow_id=run.id, node_id=node, node_type="echo", duration_ms=3))
        run.complete({"answer": number}, duration_ms=12)
        services.aggregates.save(run, tenant=tenant)
        for index in range(USERS):
            user = identity.administration.create_user(f"user-{index}", tenant=tenant, role=Role.MEMBER, actor=None)
            token = identity.authentication.open_session(user, method="password").access_token
            found.append(Member(token, tuple(documents), run.id))
    Projector(services.events, services.projections).update(WorkflowExecutionHistory())
    return found


def _bars(report: Report) -> None:
    for route in HOT:
        report.bar(
            f"{route.name}, two workers, requests a second",
            max(report.median(f"{route.name}_w2_c{connections}_rps") for connections in (32, 100)),
            15_000,
            better="more",
            why="load, servers and database share two cores: see the CPU time of a request, and the bare application",
        )
    share = report.median("whoami_w2_c100_rps") / report.median("whoami_w2_c100_rps", peer="fastapi")
    report.bar("other routes, share of a plain FastAPI application", share, 0.6, better="more", why="our layers")
    appended = max(report.median(f"events_append_w2_c{connections}_rps") for connections in CONNECTIONS)
    report.bar("durable events over HTTP, a second", appended, 5_000, better="more", why="load and database, as above")
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
