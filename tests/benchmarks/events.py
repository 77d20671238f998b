"""The event store beside the PyPI package `eventsourcing`, on one server, in turns. See `harness.py` for the options."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from resources.database.migrations import migrate
from resources.database.postgres import Database
from resources.servers.postgres import EmbeddedPostgres
from tests.benchmarks import harness
from tests.benchmarks.harness import PEERS, Report, Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.benchmarks.harness import Number

PEER = "eventsourcing"


def main(report: Report, quick: bool) -> None:
    python = harness.peer_python(PEER)
    lock = (PEERS / PEER / "requirements.lock").read_text()
    report.versions |= harness.version_of("psycopg", "pydantic", "orjson", "msgspec")
    report.versions |= dict(
        line.split()[0].split("==") for line in lock.splitlines() if line.startswith("eventsourcing=")
    )
    with tempfile.TemporaryDirectory(prefix="aiw-bench-") as folder, EmbeddedPostgres(Path(folder) / "pg") as server:
        urls = {name: _create(server, name) for name in ("ours", "small", "peer")}
        migrate(Database(urls["ours"]))
        migrate(Database(urls["small"]))
        assert server.pid is not None
        with psycopg.connect(urls["ours"]) as connection:
            report.versions["postgresql"] = str(connection.info.server_version)
        with (
            Worker([sys.executable, "-m", "tests.benchmarks.events_worker", urls["ours"]]) as ours,
            Worker([sys.executable, "-m", "tests.benchmarks.events_worker", urls["small"]]) as small,
            Worker([python, PEERS / PEER / "run.py", urls["peer"]]) as peer,
        ):
            _measure(Bench(report, ours, small, peer, server.pid), quick)
    _judge(report)


class Bench:
    """Asks the sides in turn. `small` is our store once more, on a table that stays small."""

    def __init__(self, report: Report, ours: Worker, small: Worker, peer: Worker, server_pid: int) -> None:
        self.report = report
        self.ours = ours
        self.small = small
        self.peer = peer
        self._server_pid = server_pid

    def both(self, key: str, rounds: int, do: str, **options: Number | bool) -> None:
        self._alternate([(key, None, self.ours), (key, PEER, self.peer)], rounds, do, options)

    def grown(self, key: str, rounds: int, do: str, **options: Number | bool) -> None:
        sides = [
            (f"grown_{key}", None, self.ours),
            (f"small_{key}", None, self.small),
        ]
        self._alternate(sides, rounds, do, options)

    def only_us(self, key: str, rounds: int, do: str, **options: Number | bool) -> None:
        self._alternate([(key, None, self.ours)], rounds, do, options)

    def _alternate(
        self, sides: Sequence[tuple[str, str | None, Worker]], rounds: int, do: str, options: dict[str, Number | bool]
    ) -> None:
        for turn in range(rounds):
            for key, name, worker in sides if turn % 2 == 0 else reversed(sides):
                self._ask(key, name, worker, do, options)

    def _ask(self, key: str, name: str | None, worker: Worker, do: str, options: dict[str, Number | bool]) -> None:
        before = harness.tree_cpu(self._server_pid)
        answer = worker.ask(do, **options)
        spent = harness.tree_cpu(self._server_pid) - before
        events = options.get("total")
        if events:
            answer["server_cpu_us"] = max(0.0, spent) / float(events) * 1e6
        self.report.add({f"{key}_{figure}": value for figure, value in answer.items()}, peer=name)
        print(f"  {name or 'ours':<14} {key:<22}", {k: round(v, 3) for k, v in answer.items()}, file=sys.stderr)


def _measure(bench: Bench, quick: bool) -> None:
    rounds, scale = (2, 1) if quick else (3, 2)
    bench.both("fill", 1, "fill", total=10_000)
    bench.both("append_1", rounds, "append", writers=1, batch=1, count=300 * scale)
    bench.both("append_8", rounds, "append", writers=8, batch=1, count=60 * scale)
    bench.only_us("grouped_8", rounds, "grouped", writers=8, count=60 * scale)
    bench.both("batch_100", rounds, "append", writers=1, batch=100, count=20 * scale)
    bench.both("live", rounds, "live", count=60 * scale, pause_ms=5)
    bench.both("bulk", rounds, "bulk", batch=1000, total=20_000 * scale)
    bench.both("bulk_encoded", rounds, "bulk", batch=1000, total=20_000 * scale, encoded=True)
    bench.only_us("crowd_512", rounds, "crowd", producers=512, total=10_000 * scale)
    bench.both("read", rounds, "read", page=5000, decoded=True)
    bench.both("read_rows", rounds, "read", page=5000, decoded=False)
    bench.only_us("project", 1, "project")
    bench.only_us("replay", rounds, "replay", total=20_000 * scale)
    bench.only_us("grow", 1, "fill", total=50_000 if quick else 1_000_000)
    bench.small.ask("fill", total=10_000)
    bench.grown("append_1", rounds + 1, "append", writers=1, batch=1, count=300 * scale)
    bench.grown("bulk", rounds, "bulk", batch=1000, total=10_000)
    bench.only_us("grown_replay", rounds, "replay", total=20_000 * scale)


def _judge(report: Report) -> None:
    def ratio(key: str) -> float:
        return report.median(key) / report.median(key, peer=PEER)

    report.bar("bulk, events/s", report.median("bulk_events_s"), 50_000, better="more", why=_bulk_profile(report))
    report.bar("bulk encoded beforehand, events/s", report.median("bulk_encoded_events_s"), 50_000, better="more")
    report.bar("bulk, times the peer", ratio("bulk_events_s"), 2.5, better="more", why=_against_the_peer(report))
    report.bar("bulk encoded beforehand, times the peer", ratio("bulk_encoded_events_s"), 2.5, better="more")
    read_why = f"CPU per event read and decoded: {_pair(report, 'read_cpu_us')}; ours has 13 columns, the peer's 5"
    report.bar("read all, times the peer (both decoded)", ratio("read_events_s"), 1.5, better="more", why=read_why)
    report.bar("single append p50, share of the peer's", ratio("append_1_p50_ms"), 1.0, better="less")
    report.bar("8 writers p50, share of the peer's", ratio("append_8_p50_ms"), 1.0, better="less")
    report.bar("live delivery p50, ms", report.median("live_p50_ms"), 10, better="less")
    grown = report.median("grown_append_1_p50_ms") / report.median("small_append_1_p50_ms")
    report.bar("single append in a grown table, times slower", grown, 1.5, better="less")
    grown = report.median("small_bulk_events_s") / report.median("grown_bulk_events_s")
    report.bar("bulk in a grown table, times slower", grown, 1.5, better="less")


def _bulk_profile(report: Report) -> str:
    own, server = report.median("bulk_cpu_us"), report.median("bulk_server_cpu_us")
    return (
        f"CPU per event: {own:.1f} us in the writer's process (validation, canonical JSON, sha256, COPY) and {server:.1f} us "
        f"in the server (heap, six indexes): at most {1e6 / max(own, server):,.0f}/s with a core for each, "
        f"{1e6 / (own + server):,.0f}/s when other work takes one; load average {os.getloadavg()[0]:.1f}"
    )


def _against_the_peer(report: Report) -> str:
    return (
        f"CPU per event in the process: {_pair(report, 'bulk_cpu_us')}, in the server: {_pair(report, 'bulk_server_cpu_us')}; "
        "the peer checks no schema, keeps no checksum, no event id, no tenant, and has two indexes where ours has six"
    )


def _pair(report: Report, key: str) -> str:
    return f"{report.median(key):.1f} us against {report.median(key, peer=PEER):.1f} us"


def _create(server: EmbeddedPostgres, name: str) -> str:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE bench_{name}".encode())
    return server.url_of(f"bench_{name}")


if __name__ == "__main__":
    harness.run("events", main)
