"""Dagster's daemon with shorter waits: `python -m definitions.runtime.daemon -w FILE`.

The stock daemon looks at sensors every 5 seconds and at backfills every 30; these numbers are constants in its source. They
are changed here before its loops start, and only if they are where they are expected: a release that has moved them
is refused with their names rather than run slowly. Runs of workflows are tried again in their own way (`retries.py`).
"""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dagster

from definitions.runtime import retries
from resources.errors import ConflictError, Problem
from resources.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

# Read while the daemon's modules are imported: how often failed runs are looked at for a retry.
RETRY_INTERVAL = "DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS"


@dataclass(frozen=True, slots=True)
class Wait:
    """One constant of the daemon: `stock` is what the pinned release has there."""

    module: str
    name: str
    stock: float
    seconds: float


def waits(*, sensor_interval: float) -> tuple[Wait, ...]:
    """The constants to change. `sensor_interval` is in seconds."""
    return (
        Wait("dagster._daemon.sensor", "MIN_INTERVAL_LOOP_TIME", 5, sensor_interval),
        Wait("dagster._daemon.asset_daemon", "MIN_INTERVAL_LOOP_SECONDS", 5, 1),
        Wait("dagster._daemon.controller", "DEFAULT_DAEMON_INTERVAL_SECONDS", 30, 1),  # backfills
    )


def shorten(waits: Sequence[Wait]) -> None:
    """Change the constants. Raises ConflictError, and changes none, if one is not as in the pinned release."""
    problems = []
    for wait in waits:
        found = getattr(importlib.import_module(wait.module), wait.name, None)
        if found not in (wait.stock, wait.seconds):
            problems.append(Problem(f"{wait.module}.{wait.name}", f"expected {wait.stock}, found {found!r}"))
    if problems:
        raise ConflictError(
            f"Dagster {dagster.__version__} keeps its daemon's waits elsewhere: {'; '.join(map(str, problems))}. "
            "Install the locked release, or adapt definitions/runtime/daemon.py.",
            code="dagster_release",
        )
    for wait in waits:
        setattr(importlib.import_module(wait.module), wait.name, wait.seconds)


def main() -> None:
    """Run the daemon in the foreground, with the arguments of `dagster-daemon run`."""
    os.environ.setdefault(RETRY_INTERVAL, "1")
    shorten(waits(sensor_interval=Settings().dagster.sensor_interval))
    retries.install()
    from dagster._daemon.cli import cli

    cli(["run", *sys.argv[1:]], prog_name="python -m definitions.runtime.daemon")


if __name__ == "__main__":
    main()
