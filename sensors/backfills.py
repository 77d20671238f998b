"""Backfills are worked off: at each look as many runs are started as the rate of the backfill allows since the last one.

A run has a key, and what was started is written down at once: a look that breaks off, or is repeated, starts nothing twice.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import orjson

from resources.errors import InvalidInputError, LimitExceededError, NotFoundError
from resources.workflows.backfills import Due
from resources.workflows.postgres import PostgresBackfills

RUNS_PER_LOOK = 200
LONGEST_SECONDS = 10.0
"""More than what so many seconds allow is never made up for: a code server that was away must not start with a burst."""

LaunchDue = Callable[[Due], str]


def start_due(
    backfills: PostgresBackfills, launch: LaunchDue, *, seconds: float, credit: dict[str, float]
) -> tuple[int, dict[str, float]]:
    """Start what is due after so many seconds; returns how many runs, and what is left of each backfill's allowance."""
    started = 0
    left: dict[str, float] = {}
    for backfill in backfills.running():
        allowed = credit.get(str(backfill.id), 1.0) + backfill.rate * min(seconds, LONGEST_SECONDS)
        for due in backfills.due(backfill, min(int(allowed), RUNS_PER_LOOK)):
            try:
                backfills.settle(due, run_id=launch(due))
            except (InvalidInputError, NotFoundError, LimitExceededError) as error:
                backfills.settle(due, run_id=None, error=error.message[:2000])
            started += 1
            allowed -= 1
        left[str(backfill.id)] = min(allowed, max(1.0, backfill.rate))
    return started, left


def build_backfills_sensor(*, launch: LaunchDue) -> dg.SensorDefinition:
    """The sensor that works off backfills, running from the start."""

    @dg.sensor(
        name="workflow_backfills",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=1,
        description="Starts the runs of backfills, each at its rate.",
    )
    def sensor(context: dg.SensorEvaluationContext, backfills: dg.ResourceParam[PostgresBackfills]) -> dg.SensorResult:
        now = datetime.now(UTC)
        kept: dict[str, Any] = orjson.loads(context.cursor) if context.cursor else {"at": now.isoformat(), "credit": {}}
        seconds = max(0.0, (now - datetime.fromisoformat(kept["at"])).total_seconds())
        started, credit = start_due(backfills, launch, seconds=seconds, credit=kept["credit"])
        return dg.SensorResult(
            skip_reason=f"Started {started or 'no'} runs; {len(credit)} backfills are under way.",
            cursor=orjson.dumps({"at": now.isoformat(), "credit": credit}).decode(),
        )

    return sensor
