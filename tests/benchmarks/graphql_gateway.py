"""What the gateway adds: the same query at one subgraph, and through the gateway. A part of `tests.benchmarks.graphql`."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import httpx

from api.gateway.assembly import Federation, prepare, running
from api.graphql.subgraphs import MODULES
from resources.errors import UnavailableError
from resources.servers.node import find_node

if TYPE_CHECKING:
    from resources.settings import Settings
    from tests.benchmarks.harness import Report

ADDED_MS: Final = 8.0
_QUERY = "query($id: ID!) { document(id: $id) { title status } }"


def measure(report: Report, settings: Settings, unified: str, document: str, *, rounds: int) -> None:
    """Add the rows; none where npm's registry cannot be reached."""
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
        for peer, url in (("one subgraph", direct), ("through the gateway", federation.url)):
            report.add(_timed(url, document, rounds), peer=peer)
    added = report.median("simple.p50_ms", peer="through the gateway") - report.median(
        "simple.p50_ms", peer="one subgraph"
    )
    report.bar("gateway adds, p50 ms", added, ADDED_MS, better="less")


def _timed(url: str, document: str, rounds: int) -> dict[str, Any]:
    taken = []
    with httpx.Client(trust_env=False, timeout=60) as client:
        for number in range(10 + rounds):
            variables = {"id": document if number % 2 else f"other-{number}"}
            began = time.perf_counter()
            answer = client.post(url, json={"query": _QUERY, "variables": variables}).json()
            taken.append((time.perf_counter() - began) * 1000)
            assert "errors" not in answer, answer
    cuts = statistics.quantiles(taken[10:], n=100)
    return {
        "simple.p50_ms": cuts[49],
        "simple.p99_ms": cuts[98],
        "simple.per_second": 1000 * rounds / sum(taken[10:]),
    }
