"""What the books, budgets and the memo add to a call, beside the vendor's SDK alone and beside two peers.

The provider is a server on this machine that answers at once, so that all that is measured is ours. Figures are milliseconds.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from resources.database.migrations import migrate
from resources.database.postgres import Database
from resources.servers.postgres import EmbeddedPostgres
from resources.telemetry.logging import configure_logging
from tests.benchmarks import harness
from tests.benchmarks.harness import PEERS, ROOT, Report, Worker

if TYPE_CHECKING:
    from collections.abc import Iterator

PEER_NAMES = ("pydantic_ai", "litellm")
SIDES = ("bare", "adapter", "pipeline")
MANY = 50


def main(report: Report, quick: bool) -> None:
    configure_logging(level="error")
    report.versions |= harness.version_of("openai", "psycopg", "genai-prices")
    rounds, count = (3, 150) if quick else (5, 400)
    with tempfile.TemporaryDirectory(prefix="aiw-bench-") as folder, EmbeddedPostgres(Path(folder) / "pg") as server:
        migrate(Database(server.url))
        with _server() as address:
            _ours(report, server.url, address, rounds, count)
            for name in PEER_NAMES:
                _peer(report, name, address, rounds, count)
    _judge(report)


def _ours(report: Report, url: str, address: str, rounds: int, count: int) -> None:
    number = 0
    with Worker([sys.executable, "-m", "tests.benchmarks.ai_worker", url, address]) as worker:
        for side in SIDES:
            worker.ask(side, first=number, count=30, concurrent=1)
            number += 30
        for turn in range(rounds):
            for concurrent in (1, MANY):
                found = {}
                for side in SIDES if turn % 2 == 0 else reversed(SIDES):
                    found[side] = worker.ask(side, first=number, count=count, concurrent=concurrent)
                    if side == "pipeline":
                        found["hit"] = worker.ask(side, first=number, count=count, concurrent=concurrent)
                    number += count
                report.add(
                    {f"{s}_{concurrent}_{key}": value for s, times in found.items() for key, value in times.items()}
                )
                report.add(
                    {
                        f"added_{concurrent}_{key}": value - found["adapter"][key]
                        for key, value in found["pipeline"].items()
                    }
                )


def _peer(report: Report, name: str, address: str, rounds: int, count: int) -> None:
    number = 0
    with Worker([harness.peer_python(name), PEERS / name / "run.py", address]) as worker:
        for side in ("bare", "peer"):
            worker.ask(side, first=number, count=30, concurrent=1)
        for _ in range(rounds):
            for concurrent in (1, MANY):
                bare = worker.ask("bare", first=number, count=count, concurrent=concurrent)
                whole = worker.ask("peer", first=number, count=count, concurrent=concurrent)
                number += count
                report.add({f"added_{concurrent}_{key}": whole[key] - bare[key] for key in whole}, peer=name)
                report.add({f"bare_{concurrent}_{key}": value for key, value in bare.items()}, peer=name)


def _judge(report: Report) -> None:
    report.bar("CPU added to a call", report.median("added_1_cpu_ms"), 2, better="less")
    report.bar("wall added to a call at p95", report.median("added_1_p95_ms"), 8, better="less")
    report.bar("answer from the memo at p50", report.median("hit_1_p50_ms"), 5, better="less")
    report.bar("first token delayed", report.median("added_1_first_ms"), 2, better="less")


@contextmanager
def _server() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.benchmarks.ai_server"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.terminate()


if __name__ == "__main__":
    harness.run("ai", main)
