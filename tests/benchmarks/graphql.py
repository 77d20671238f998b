"""The graph under load: python -m tests.benchmarks.graphql [--quick] [--json FILE]

A simple query, one through three modules, and a hundred entities by key, each with other variables every time; one caller after
the other. The server is a thread of this process, so its work and the caller's share one interpreter: latency is told as its
users see it, and CPU is of both.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
from pydantic import SecretStr

from tests.benchmarks import graphql_gateway
from tests.benchmarks.harness import Report, run, version_of

if TYPE_CHECKING:
    from tests.api.graphql.conftest import World
    from tests.benchmarks.graphql_gateway import Queries

TENANT: Final = "default"
NESTED_MS: Final = 15.0
_SIMPLE = "query($id: ID!) { document(id: $id) { title status } }"
_NESTED = """query($first: Int!) {
  workflow(id: "brew") { name processedContent { title concepts(first: $first) { name prerequisites { name } } }
    collaborators { id presence { status } } }
}"""
_ENTITIES = "query($all: [_Any!]!) { _entities(representations: $all) { ... on Document { title status } } }"


def work(report: Report, quick: bool) -> None:
    from api.app import create_app
    from api.composition import build_services
    from resources.database.migrations import migrate
    from resources.database.postgres import Database
    from resources.servers.arcadedb import EmbeddedArcadeDB
    from resources.servers.postgres import EmbeddedPostgres
    from resources.settings import DatabaseSettings, GraphSettings, Settings
    from resources.telemetry.logging import configure_logging
    from tests.api.graphql.conftest import build_world
    from tests.api.harness import serving

    configure_logging(level="warning")
    report.versions |= version_of("strawberry-graphql", "graphql-core", "fastapi")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aiw-bench-")))
        postgres, arcadedb = EmbeddedPostgres(folder / "postgres"), EmbeddedArcadeDB(folder / "arcadedb")
        for server in (postgres, arcadedb):
            server.start()
            stack.callback(server.stop)
        endpoint = arcadedb.endpoint
        settings = Settings(
            _env_file=None,
            data_dir=folder,
            database=DatabaseSettings(url=SecretStr(postgres.url)),
            graph=GraphSettings(
                url=SecretStr(endpoint.url),
                user=endpoint.user,
                password=SecretStr(endpoint.password),
                database=endpoint.database,
                http_url=endpoint.http_url,
            ),
        )
        database = stack.enter_context(closing(Database(postgres.url)))
        migrate(database)
        services = stack.enter_context(closing(build_services(settings)))
        services.graph.prepare()
        world = build_world(services, database, TENANT)
        url = stack.enter_context(serving(create_app(services, settings)))
        queries, rounds = _queries(world), 100 if quick else 1000
        with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
            _measure(report, client, queries, rounds=rounds)
        graphql_gateway.measure(report, settings, url, queries, rounds=rounds)


def _queries(world: World) -> Queries:
    return {
        "simple": (_SIMPLE, lambda number: {"id": world.document if number % 2 else f"other-{number}"}),
        "nested": (_NESTED, lambda number: {"first": 1 + number % 10}),
        "entities_100": (_ENTITIES, lambda number: {"all": _representations(world.document, number)}),
    }


def _measure(report: Report, client: httpx.Client, queries: Queries, *, rounds: int) -> None:
    for name, (query, variables) in queries.items():
        for number in range(10):
            _ask(client, query, variables(number))
        cpu, taken = time.process_time(), []
        for number in range(rounds):
            began = time.perf_counter()
            _ask(client, query, variables(number))
            taken.append((time.perf_counter() - began) * 1000)
        cuts = statistics.quantiles(taken, n=100)
        report.add(
            {
                f"{name}.p50_ms": cuts[49],
                f"{name}.p99_ms": cuts[98],
                f"{name}.per_second": 1000 * rounds / sum(taken),
                f"{name}.cpu_ms": (time.process_time() - cpu) * 1000 / rounds,
            }
        )
    report.bar("nested query, p50 ms", report.median("nested.p50_ms"), NESTED_MS, better="less")


def _representations(document: str, number: int) -> list[dict[str, str]]:
    others = [{"__typename": "Document", "id": f"{number}-{place}"} for place in range(99)]
    return [*others, {"__typename": "Document", "id": document}]


def _ask(client: httpx.Client, query: str, variables: dict[str, Any]) -> None:
    answer = client.post("/graphql", json={"query": query, "variables": variables}).json()
    assert "errors" not in answer, answer


if __name__ == "__main__":
    run("graphql", work)
