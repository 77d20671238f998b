"""What a node costs: chains of trivial ops on the lean executor and on Dagster's in-process executor, in turn.

`python -m tests.benchmarks.lean [--json] [--rounds N]`: milliseconds a node, wall clock and CPU of this process, medians. Both
sides run in one warm process on the same PostgreSQL, which waits for the disk; creating the run is included. The stock side has
Dagster's executor, its Postgres event log behind a pool of connections, and its file IO manager.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import closing, contextmanager, redirect_stderr
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from definitions.runtime.lean.driver import execute
from definitions.runtime.lean.executor import lean_executor
from definitions.runtime.outputs import output_io_manager
from definitions.runtime.storage import commit_without_waiting
from resources.database.migrations import migrate
from resources.database.postgres import Database
from resources.servers.postgres import EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import Iterator

NODES = (5, 50, 200)

INSTANCE = """
run_storage:
  module: definitions.runtime.storage
  class: PooledRunStorage
  config: {{ postgres_url: {{ env: DAGSTER_POSTGRES_URL }} }}
event_log_storage:
  module: definitions.runtime.{module}
  class: {kind}
  config: {{ postgres_url: {{ env: DAGSTER_POSTGRES_URL }} }}
compute_logs:
  module: definitions.runtime.compute_logs
  class: FileComputeLogManager
telemetry: {{ enabled: false }}
"""


@dg.op
def one() -> int:
    return 1


@dg.op
def add_one(value: int) -> int:
    return value + 1


def chain(nodes: int, executor: dg.ExecutorDefinition, io_manager: Any) -> dg.JobDefinition:
    def compose() -> None:
        value = one()
        for number in range(nodes - 1):
            value = add_one.alias(f"node_{number}")(value)

    return dg.job(name=f"chain_{nodes}", executor_def=executor, resource_defs={"io_manager": io_manager})(compose)


@contextmanager
def instances(folder: Path) -> Iterator[tuple[dg.DagsterInstance, dg.DagsterInstance, str]]:
    """An instance as the platform has it, one whose event log writes at once, and the database's address."""
    server = EmbeddedPostgres(folder / "postgres")
    server.start()
    try:
        with closing(Database(server.url)) as database:
            migrate(database)
        dagster_url = server.url.replace("postgresql://", "postgresql+psycopg2://") + "?options=-csearch_path%3Ddagster"
        os.environ |= {
            "DAGSTER_HOME": str(folder),
            "DAGSTER_POSTGRES_URL": dagster_url,
            "AIW_DATABASE__URL": server.url,
        }
        ours, stock = folder / "ours", folder / "stock"
        for home in (ours, stock):
            home.mkdir()
        (ours / "dagster.yaml").write_text(INSTANCE.format(module="lean.event_log", kind="WriteBehindEventLogStorage"))
        (stock / "dagster.yaml").write_text(INSTANCE.format(module="storage", kind="PooledEventLogStorage"))
        with dg.DagsterInstance.from_config(str(ours)) as lean, dg.DagsterInstance.from_config(str(stock)) as plain:
            yield lean, plain, server.url
    finally:
        server.stop()


def measure(instance: dg.DagsterInstance, job: dg.JobDefinition, nodes: int) -> tuple[float, float]:
    """Milliseconds a node: wall clock and CPU, from the creation of a run to its last event."""
    wall, cpu = time.perf_counter(), time.process_time()
    run = instance.create_run_for_job(job)
    for _ in execute(instance, job, run):
        pass
    taken = (time.perf_counter() - wall) * 1000 / nodes, (time.process_time() - cpu) * 1000 / nodes
    finished = instance.get_run_by_id(run.run_id)
    assert finished is not None
    assert finished.is_success
    return taken


def compare(folder: Path, *, rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    commit_without_waiting()  # as a worker does
    results: dict[str, dict[str, dict[str, float]]] = {}
    with instances(folder) as (ours, plain, url):
        outputs = output_io_manager(url=url, folder=f"file://{folder}/outputs")
        files = dg.fs_io_manager.configured({"base_dir": str(folder / "files")})
        for nodes in NODES:
            sides = {
                "lean": (ours, chain(nodes, lean_executor, outputs)),
                "stock": (plain, chain(nodes, dg.in_process_executor, files)),
            }
            taken: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
            for _ in range(rounds + 1):
                for side, (instance, job) in sides.items():
                    taken[side].append(measure(instance, job, nodes))
            results[str(nodes)] = {
                side: {
                    "first_ms": round(rows[0][0], 3),
                    "wall_ms": round(statistics.median(row[0] for row in rows[1:]), 3),
                    "cpu_ms": round(statistics.median(row[1] for row in rows[1:]), 3),
                }
                for side, rows in taken.items()
            }
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="aiw-lean-"))
    try:
        with (folder / "console").open("w") as console, redirect_stderr(console):  # stock copies every event to it
            results = compare(folder, rounds=arguments.rounds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if arguments.json:
        json.dump({"per_node": results}, sys.stdout, indent=2)
        print()
        return
    for nodes, sides in results.items():
        for side, figures in sides.items():
            print(
                f"{nodes:>4} nodes  {side:<6} {figures['wall_ms']:8.2f} ms wall  {figures['cpu_ms']:8.2f} ms CPU  a node"
            )


if __name__ == "__main__":
    main()
