"""DBOS on the chain: one durable workflow, each node a step, in the process that starts it, on the same PostgreSQL."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[4]))

from dbos import DBOS

from tests.benchmarks.peers import chain

if TYPE_CHECKING:
    from collections.abc import Callable


@DBOS.step()  # type: ignore[untyped-decorator]  # the package lives in an environment of its own
def add_one(value: int) -> int:
    return value + 1


@DBOS.workflow()  # type: ignore[untyped-decorator]
def workflow(nodes: int) -> int:
    value = 0
    for _ in range(nodes):
        value = add_one(value)
    return value


def start(nodes: int) -> Callable[[], int]:
    return lambda: workflow(nodes)


if __name__ == "__main__":
    DBOS(
        config={
            "name": "bench",
            "system_database_url": sys.argv[1],
            "log_level": "ERROR",
            "run_admin_server": False,
        }
    )
    DBOS.launch()
    try:
        chain.serve(start)
    finally:
        DBOS.destroy()
