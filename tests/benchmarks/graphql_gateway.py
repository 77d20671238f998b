"""What the gateway adds: the same queries at one subgraph, and through the gateway. A part of `tests.benchmarks.graphql`."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import httpx
import psutil

from api.gateway.assembly import Federation, prepare, running
from api.graphql.subgraphs import MODULES
from resources.errors import UnavailableError
from resources.servers.node import find_node

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from resources.settings import Settings
    from tests.benchmarks.harness import Report

    Queries = Mapping[str, tuple[str, Callable[[int], dict[str, Any]]]]

ADDED_MS: Final = 8.0
_WARM: Final = 10


def measure(report: Report, settings: Settings, unified: str, queries: Queries, *, rounds: int) -> None:
    """Add the rows of all `queries` that a part can answer; none where npm's registry cannot be reached."""
    try:
        place = prepare(find_node())
    except UnavailableError as error:
        print(f"gateway: skipped: {error}")
        return
    federation = Federation(
        settings,
        place,
        jwks_url=f"{unified}/.well-known/jwks.json",
        names=[module.name for module in MODULES],
        folder=settings.data_dir / "gateway",
    )
    with running(federation):
        found = federation.subgraphs.all(now=datetime.now(UTC))
        direct = next(it.url for it in found if it.name == "content")
        own = {name: query for name, query in queries.items() if name != "nested"}
        report.add(_timed(federation, direct, own, rounds), peer="one subgraph")
        whole = {name: query for name, query in queries.items() if name != "entities_100"}
        report.add(_timed(federation, federation.url, whole, rounds), peer="through the gateway")
    added = report.median("simple.p50_ms", peer="through the gateway") - report.median(
        "simple.p50_ms", peer="one subgraph"
    )
    report.bar("gateway adds, p50 ms", added, ADDED_MS, better="less")


def _timed(federation: Federation, url: str, queries: Queries, rounds: int) -> dict[str, Any]:
    """`cpu_ms` is that of the gateway and all subgraphs together."""
    measured: dict[str, Any] = {}
    with httpx.Client(trust_env=False, timeout=60) as client:
        for name, (query, variables) in queries.items():
            taken = []
            for number in range(-_WARM, rounds):
                if number == 0:
                    cpu = _cpu_of(federation)
                began = time.perf_counter()
                answer = client.post(url, json={"query": query, "variables": variables(number)}).json()
                taken.append((time.perf_counter() - began) * 1000)
                assert "errors" not in answer, answer
            cuts = statistics.quantiles(taken[_WARM:], n=100)
            measured |= {
                f"{name}.p50_ms": cuts[49],
                f"{name}.p99_ms": cuts[98],
                f"{name}.per_second": 1000 * rounds / sum(taken[_WARM:]),
                f"{name}.cpu_ms": (_cpu_of(federation) - cpu) * 1000 / rounds,
            }
    return measured


def _cpu_of(federation: Federation) -> float:
    """Seconds that all processes have used."""
    pids = [service.pid for service in federation.services.values()]
    times = [psutil.Process(pid).cpu_times() for pid in pids if pid is not None]
    return sum(one.user + one.system for one in times)
