"""From the trigger to the end of a run: `make bench-workflows`.

A chain of trivial nodes, started through the API, by an event, through Dagster's GraphQL and by the sensor that sweeps; beside
stock Dagster (in-process and default executor, over GraphQL) and beside Prefect, DBOS and LangGraph with its Postgres
checkpointer, each on a PostgreSQL of the same kind, in the same call, in turn. The peers run in a warm process that is called
directly: no HTTP, no queue, no process of their own; ours pays for all of that, and for a step in Dagster's UI and a durable
result of each node.

Milliseconds are from the moment of the trigger to the end of the run as the run itself notes it; CPU is of all processes of the
platform and of PostgreSQL. `node_200_ms` is what one node adds: (200 nodes - 5 nodes) / 195 of each round, whose chains were run
within seconds of each other; the median of the rounds counts. The same for 50.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import statistics
import sys
import tempfile
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import httpx
import psutil
import psycopg

from api.platform import running_platform
from resources.servers.postgres import EmbeddedPostgres
from resources.settings import Settings
from resources.telemetry.logging import configure_logging
from tests.benchmarks import harness
from tests.benchmarks.harness import PEERS, Report, Worker, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from api.platform import Platform

SIZES = (5, 50, 200)
LONGEST = 100
PEER_NAMES = ("langgraph", "dbos", "prefect")
PAST_RUNS = 100_000

API_BAR, PUBLISH_BAR, SWEEP_BAR, CRASH_BAR, RETRY_BAR = 150.0, 400.0, 1000.0, 1000.0, 5000.0
NODE_BAR, SMALL_NODE_BAR, VALIDATION_BAR = 1.0, 3.0, 0.5

LAUNCH = """mutation($launch: ExecutionParams!) { launchRun(executionParams: $launch)
    { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
      ... on RunConfigValidationInvalid { errors { message } } } }"""
SELECTOR = {"repositoryLocationName": "aiw", "repositoryName": "__repository__"}


def main(report: Report, quick: bool) -> None:
    """Measure ours beside the peers."""
    configure_logging(level="error")
    report.versions |= harness.version_of("dagster", "psycopg", "pydantic")
    with tempfile.TemporaryDirectory(prefix="aiw bench ") as folder, contextlib.ExitStack() as stack:
        data = Path(folder)
        settings = Settings(_env_file=None, data_dir=data / "platform")
        platform = stack.enter_context(running_platform(settings))
        server = stack.enter_context(EmbeddedPostgres(data / "peers"))
        peers = {name: stack.enter_context(_peer(name, server)) for name in PEER_NAMES}
        stock = stack.enter_context(Worker([sys.executable, PEERS / "stock" / "run.py", _create(server, "stock")]))
        bench = stack.enter_context(Bench(platform, report))
        bench.prepare()
        _beside_peers(bench, peers, stock, quick=quick)
        bench.publish(rounds=3 if quick else 10)
        bench.events(rounds=3 if quick else 20)
        bench.graphql(rounds=3 if quick else 10)
        bench.sweep(rounds=3 if quick else 10)
        bench.sustained(runs=40 if quick else 300)
        bench.crash(rounds=1 if quick else 3)
        bench.validate()
        bench.memory()
        if not quick:
            bench.fill(PAST_RUNS)
            for _ in range(3):
                bench.chain(5, rounds=10, key="grown")
    _judge(report, quick=quick)


def _beside_peers(bench: Bench, peers: dict[str, Worker], stock: Worker, *, quick: bool) -> None:
    report = bench.report
    for number in range(2 if quick else 6):
        taken: dict[str | None, dict[int, dict[str, float]]] = {name: {} for name in (None, *peers)}
        for nodes in SIZES if number % 2 else reversed(SIZES):
            times = (3 if nodes > 5 else 5) if quick else (6 if nodes > 5 else 15)
            taken[None][nodes] = bench.chain(nodes, rounds=times)
            for name, worker in peers.items():
                answer = worker.ask("run", nodes=nodes, rounds=2 if name == "prefect" else times)
                report.add({f"chain_{nodes}_{key}": value for key, value in answer.items()}, peer=name)
                taken[name][nodes] = answer
        for side, figures in taken.items():
            report.add(_node_figures(figures), peer=side)
    for kind, nodes, times in (("in_process", 5, 3), ("in_process", 50, 2), ("default", 5, 1)):
        if quick and (kind, nodes) != ("in_process", 5):
            continue
        answer = stock.ask("run", kind=kind, nodes=nodes, rounds=1 if quick else times)
        report.add({f"chain_{nodes}_{key}": value for key, value in answer.items()}, peer=f"stock_{kind}")


class Bench:
    """Our side: everything goes through the faces that people use, and is timed by what the run itself notes."""

    def __init__(self, platform: Platform, report: Report) -> None:
        self.report = report
        self._state = platform.state
        assert self._state.api_url is not None
        assert self._state.ui_url is not None
        assert self._state.database_url is not None
        self._http = httpx.Client(base_url=self._state.api_url, timeout=120, trust_env=False)
        self._ui = httpx.Client(base_url=self._state.ui_url, timeout=120, trust_env=False)
        self._database = psycopg.connect(self._state.database_url, autocommit=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()
        self._ui.close()
        self._http.close()

    def prepare(self) -> None:
        """Publish the chains, wait until Dagster has them all, and run each until a worker has everything warm."""
        for nodes in SIZES:
            self._publish(_chain(f"chain_{nodes}", nodes))
        for nodes in SIZES:
            self._shown(f"chain_{nodes}")
            for _ in range(4):
                self._run(f"chain_{nodes}")

    def chain(self, nodes: int, *, rounds: int, key: str | None = None) -> dict[str, float]:
        """By API: POST, and the answer that the run has ended. Returns the median, and the CPU."""
        taken, spent = [], self._cpu()
        for _ in range(rounds):
            began = time.perf_counter()
            self._run(f"chain_{nodes}")
            taken.append((time.perf_counter() - began) * 1000)
        name = f"{key or 'chain'}_{nodes}"
        cpu = (self._cpu() - spent) * 1000 / rounds
        self.report.add({**_quantiles(name, taken), f"{name}_cpu_ms": cpu})
        return {"p50_ms": statistics.median(taken), "cpu_ms": cpu}

    def publish(self, *, rounds: int) -> None:
        """From the POST of a new spec to the end of its first run, without any reload."""
        taken = []
        for number in range(rounds):
            name = f"fresh_{number}_{uuid.uuid4().hex[:6]}"
            began = time.perf_counter()
            self._publish(_chain(name, 8))
            self._run(name)
            taken.append((time.perf_counter() - began) * 1000)
        self.report.add(_quantiles("publish_to_finished", taken))

    def events(self, *, rounds: int) -> None:
        """From the POST of an event to the end of the run that it starts."""
        self._publish(_chain("by_event", 5) | {"triggers": [_trigger("go")]})
        taken = []
        for _ in range(rounds):
            began = time.time()
            self._post_event("go")
            taken.append((self._ended("by_event", since=began) - began) * 1000)
        self.report.add(_quantiles("event_to_finished", taken))

    def sweep(self, *, rounds: int) -> None:
        """From an event that the API never saw to the run that the sensor creates for it, and to its end."""
        from resources.database.postgres import Database
        from resources.events.model import NewEvent, StreamId
        from resources.events.postgres import PostgresEventStore

        self._publish(
            _chain("by_sweep", 5)
            | {
                "triggers": [
                    {
                        "type": "event",
                        "event": "system.performance_measured",
                        "when": "{{ event.data.name == 'swept' }}",
                    }
                ]
            }
        )
        assert self._state.database_url is not None
        database = Database(self._state.database_url)
        events = PostgresEventStore(database)
        found, ended = [], []
        for _ in range(rounds):
            fact = NewEvent(type="system.performance_measured", data={"name": "swept", "value": 1.0})
            began = time.time()
            events.append(StreamId("system", "bench"), [fact])
            ended.append((self._ended("by_sweep", since=began) - began) * 1000)
            found.append((self._created("by_sweep") - began) * 1000)
        events.close()
        database.close()
        self.report.add({**_quantiles("sweep_to_created", found), **_quantiles("sweep_to_finished", ended)})

    def graphql(self, *, rounds: int) -> None:
        """From the POST of Dagster's own `launchRun` to the end of the run, for a job that the UI shows."""
        self._shown("chain_5")
        taken = []
        for _ in range(rounds):
            began = time.time()
            launch = {"selector": {**SELECTOR, "jobName": "chain_5"}, "runConfigData": {"inputs": {}}}
            answer = self._ask(LAUNCH, launch=launch)["launchRun"]
            if answer["__typename"] != "LaunchRunSuccess":
                raise RuntimeError(str(answer))
            taken.append((self._run_end(answer["run"]["runId"]) - began) * 1000)
        self.report.add(_quantiles("graphql_to_finished", taken))

    def sustained(self, *, runs: int) -> None:
        """As many as come in at once, until the last has ended."""
        began = time.time()
        with ThreadPoolExecutor(8) as pool:
            started = list(pool.map(lambda _: self._start("chain_5"), range(runs)))
        submitted = time.time() - began
        last = max(self._run_end(run_id) for run_id in started)
        self.report.add({"submitted_runs_s": runs / submitted, "sustained_runs_s": runs / (last - began)})

    def crash(self, *, rounds: int) -> None:
        """From the kill of the worker to the run's failure, and to the start of the run that takes its place."""
        self._publish(
            {
                "name": "sleeper",
                "config": {"retries": 1},
                "nodes": {"sleep": {"type": "delay", "config": {"seconds": 60}}},
            }
        )
        for _ in range(rounds):
            run_id = self._start("sleeper")
            pid = self._worker_of(run_id)
            killed = time.time()
            os.kill(pid, signal.SIGKILL)
            failed = (self._run_end(run_id) - killed) * 1000
            retry = self._child_start(run_id)
            self.report.add({"crash_to_failed_ms": failed, "crash_to_retry_ms": (retry - killed) * 1000})
            child = self._query(
                "SELECT run_id FROM dagster.run_tags WHERE key = 'dagster/parent_run_id' AND value = %s", run_id
            )
            self._http.post(f"/api/v1/runs/{child}/cancel")

    def validate(self) -> None:
        """A thousand nodes, checked through the API without being published."""
        spec = _chain("huge", 1000)
        taken = []
        for _ in range(5):
            began = time.perf_counter()
            answer = self._http.post("/api/v1/workflows", params={"dry_run": True}, json=spec)
            answer.raise_for_status()
            taken.append(time.perf_counter() - began)
        self.report.add({"validate_1000_s": statistics.median(taken)})

    def memory(self) -> None:
        """What a warm worker holds for itself (unique set size)."""
        pool = self._process("pool")
        workers = [child for child in pool.children(recursive=True) if not child.children()]
        held = [worker.memory_full_info().uss / 2**20 for worker in workers]
        self.report.add({"worker_uss_mb": statistics.median(held)})

    def fill(self, runs: int) -> None:
        """Put so many past runs beside the real ones: copies of one, with its events."""
        columns = _columns(self._database, "runs"), _columns(self._database, "event_logs")
        run_columns, event_columns = (", ".join(names) for names in columns)
        run_values = ", ".join({"run_id": "r.run_id || '-' || n"}.get(name, f"r.{name}") for name in columns[0])
        event_values = ", ".join({"run_id": "e.run_id || '-' || n"}.get(name, f"e.{name}") for name in columns[1])
        with self._database.cursor() as cursor:
            cursor.execute(
                "SELECT run_id FROM dagster.runs WHERE pipeline_name = 'chain_5' AND status = 'SUCCESS' LIMIT 1"
            )
            (run_id,) = cursor.fetchone() or (None,)
            # Ids below all others: they are of the past, and no sensor takes them for news.
            cursor.execute(
                f"INSERT INTO dagster.runs (id, {run_columns}) SELECT -n, {run_values} "
                "FROM dagster.runs r, generate_series(1, %s) n WHERE r.run_id = %s",
                (runs, run_id),
            )
            cursor.execute(
                f"INSERT INTO dagster.event_logs (id, {event_columns}) SELECT -row_number() OVER (), {event_values} "
                "FROM dagster.event_logs e, generate_series(1, %s) n WHERE e.run_id = %s",
                (runs // 10, run_id),
            )
            cursor.execute("ANALYZE dagster.runs, dagster.event_logs")

    # ------------------------------------------------------------------ faces

    def _publish(self, spec: dict[str, Any]) -> None:
        answer = self._http.post("/api/v1/workflows", json=spec)
        if answer.is_error:
            raise RuntimeError(answer.text)

    def _run(self, name: str) -> None:
        answer = self._http.post(f"/api/v1/workflows/{name}/run", params={"wait": 60}, json={"inputs": {}})
        told = answer.json()
        if answer.is_error or told.get("status") not in {"completed", "Completed"}:
            raise RuntimeError(answer.text)

    def _start(self, name: str) -> str:
        answer = self._http.post(f"/api/v1/workflows/{name}/run", json={"inputs": {}})
        answer.raise_for_status()
        return str(answer.json()["run_id"])

    def _post_event(self, name: str) -> None:
        body = {"type": "system.performance_measured", "data": {"name": name, "value": 1.0}, "stream": "system/bench"}
        answer = self._http.post("/api/v1/events", json=body)
        if answer.is_error:
            raise RuntimeError(answer.text)

    def _ask(self, query: str, **variables: Any) -> dict[str, Any]:
        answer = self._ui.post("graphql", json={"query": query, "variables": variables})
        told = answer.json()
        if "data" not in told:
            raise RuntimeError(answer.text)
        data: dict[str, Any] = told["data"]
        return data

    def _shown(self, name: str) -> None:
        """Wait until Dagster has a job of the published workflow: the platform reloads by itself after a publish."""
        wanted = """{ repositoriesOrError { ... on RepositoryConnection { nodes { pipelines { name } } } } }"""
        for _ in range(1800):
            nodes = self._ask(wanted)["repositoriesOrError"].get("nodes", [])  # none while it reloads
            if any(job["name"] == name for node in nodes for job in node["pipelines"]):
                return
            time.sleep(0.1)
        raise RuntimeError("The published workflow does not appear in the UI.")

    # ------------------------------------------------------------------ what the run notes

    def _query(self, query: str, *parameters: Any) -> Any:
        row = self._database.execute(query, parameters).fetchone()
        return None if row is None else row[0]

    def _until(self, ask: Callable[[], Any]) -> Any:
        for _ in range(60_000):
            value = ask()
            if value is not None:
                return value
            time.sleep(0.002)
        raise RuntimeError("Nothing came of it within two minutes.")

    def _run_end(self, run_id: str) -> float:
        return float(self._until(lambda: self._query("SELECT end_time FROM dagster.runs WHERE run_id = %s", run_id)))

    def _ended(self, job: str, *, since: float) -> float:
        query = "SELECT max(end_time) FROM dagster.runs WHERE pipeline_name = %s AND end_time > %s"
        return float(self._until(lambda: self._query(query, job, since)))

    def _created(self, job: str) -> float:
        at: datetime = self._query(
            "SELECT max(create_timestamp) AT TIME ZONE 'UTC' FROM dagster.runs WHERE pipeline_name = %s", job
        )
        return at.timestamp()

    def _worker_of(self, run_id: str) -> int:
        query = (
            "SELECT substring(event from 'warm worker ([0-9]+)') FROM dagster.event_logs "
            "WHERE run_id = %s AND event LIKE '%%warm worker %%'"
        )
        self._until(
            lambda: self._query(
                "SELECT 1 FROM dagster.event_logs WHERE run_id = %s AND dagster_event_type = 'STEP_START'", run_id
            )
        )
        return int(self._until(lambda: self._query(query, run_id)))

    def _child_start(self, run_id: str) -> float:
        query = (
            "SELECT r.start_time FROM dagster.runs r JOIN dagster.run_tags t USING (run_id) "
            "WHERE t.key = 'dagster/parent_run_id' AND t.value = %s"
        )
        return float(self._until(lambda: self._query(query, run_id)))

    # ------------------------------------------------------------------ processes

    def _process(self, name: str) -> psutil.Process:
        mark = self._state.services[name].process
        assert mark is not None
        return psutil.Process(mark.pid)

    def _cpu(self) -> float:
        """CPU seconds of all processes of the platform so far."""
        return sum(
            harness.tree_cpu(service.process.pid) for service in self._state.services.values() if service.process
        )


def _chain(name: str, nodes: int) -> dict[str, Any]:
    """Each node adds one to the one before it. A way of more than 100 nodes is not allowed: the next hundred begins anew,
    and runs after the first as one node runs at a time.
    """
    values = {
        number: 1 if number % LONGEST == 0 else f"{{{{ nodes.n{number - 1}.output + 1 }}}}" for number in range(nodes)
    }
    return {
        "name": name,
        "nodes": {f"n{number}": {"type": "transform", "config": {"value": value}} for number, value in values.items()},
        "config": {"max_parallel": 1},
    }


def _trigger(name: str) -> dict[str, str]:
    return {
        "type": "event",
        "event": "system.performance_measured",
        "when": f"{{{{ event.data.name == '{name}' }}}}",
    }


def _quantiles(name: str, taken: list[float]) -> dict[str, float]:
    ordered = sorted(taken)
    return {
        f"{name}_p50_ms": statistics.median(ordered),
        f"{name}_p95_ms": ordered[min(len(ordered) - 1, round(0.95 * len(ordered)))],
    }


def _node_figures(figures: dict[int, dict[str, float]]) -> dict[str, float]:
    """What one node adds, by what chains of each size took in one round."""
    return {
        f"node_{nodes}_{name}": (figures[nodes][key] - figures[5][key]) / (nodes - 5)
        for nodes in SIZES
        if nodes > 5
        for name, key in (("ms", "p50_ms"), ("cpu_ms", "cpu_ms"))
    }


def _columns(database: psycopg.Connection[Any], table: str) -> list[str]:
    """All but those that the database makes."""
    rows = database.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'dagster' AND table_name = %s AND "
        "column_name <> 'id'",
        (table,),
    )
    return [name for (name,) in rows]


def _create(server: EmbeddedPostgres, name: str) -> str:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return re.sub(r"/[^/?]+(\?|$)", rf"/{name}\1", server.url)


@contextlib.contextmanager
def _peer(name: str, server: EmbeddedPostgres) -> Iterator[Worker]:
    with Worker([harness.peer_python(name), PEERS / name / "run.py", _create(server, name)]) as worker:
        yield worker


def _judge(report: Report, *, quick: bool) -> None:
    load = f"load average {os.getloadavg()[0]:.1f}"

    def bar(
        name: str, value: float, target: float, *, better: Literal["more", "less"] = "less", why: str = load
    ) -> None:
        report.bar(name, value, target, better=better, why=why)

    bar("API trigger to finished, 5 nodes, p50 ms", report.median("chain_5_p50_ms"), API_BAR)
    bar("publish to first run finished, p50 ms", report.median("publish_to_finished_p50_ms"), PUBLISH_BAR)
    bar("event found by the sweep, p50 ms", report.median("sweep_to_created_p50_ms"), SWEEP_BAR)
    bar("validation of 1,000 nodes, s", report.median("validate_1000_s"), VALIDATION_BAR)
    bar("crash to failed run, ms", report.median("crash_to_failed_ms"), CRASH_BAR)
    bar("crash to retry, ms", report.median("crash_to_retry_ms"), RETRY_BAR)
    for size in (50, 200):
        ours = report.median(f"node_{size}_ms")
        if ours <= 0:  # a node cannot give time back: the chain of 5 was measured in a bad moment, and nothing is shown
            report.bar(f"one node of {size} was measured, ms", ours, 0.001, better="more", why=f"noise; {load}")
            continue
        bar(f"one node of {size}, ms", ours, NODE_BAR)
        for name in PEER_NAMES:
            theirs = report.median(f"node_{size}_ms", peer=name)
            if theirs > 0:  # else it was not measured, for the same reason
                bar(f"one node of {size}, against {name}", ours, theirs, why="")
    stock = report.median("chain_5_p50_ms", peer="stock_in_process")
    bar("times faster than stock in-process, 5 nodes", stock / report.median("chain_5_p50_ms"), 1.0, better="more")
    if not quick:
        default = report.median("chain_5_p50_ms", peer="stock_default")
        bar("times faster than stock default, 5 nodes", default / report.median("chain_5_p50_ms"), 1.0, better="more")
        grown = report.median("grown_5_p50_ms") / report.median("chain_5_p50_ms")
        bar("with 100,000 past runs, times slower", grown, 1.5)


if __name__ == "__main__":
    run("workflows", main)
