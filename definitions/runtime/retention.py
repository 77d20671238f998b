"""Takes away what nobody needs any more of runs that ended long ago; Dagster keeps everything for ever.

Gone are the events of steps (nine tenths of the log), the values that steps gave, with their files, and the keys of runs. What
stays: the runs with their ends and the failures of their steps, and the events of assets and checks, so that history and
lineage are whole. Such a run can be executed again as a whole, but no longer from a node.

Everything is deleted in chunks, each a transaction of its own: nothing is locked for long, and an interruption costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy
from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus

from definitions.runtime.outputs import NodeOutputs
from definitions.runtime.postgres import (
    COUNT_STEP_EVENTS,
    DELETE_STEP_EVENTS,
    ENDED_RUNS,
    RunKeys,
)
from definitions.runtime.storage import in_our_words
from resources.content.postgres import PostgresDocumentStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from definitions.runtime.outputs import Folder
    from resources.database.postgres import Database

RUNS_AT_A_TIME: Final = 200

_ENDED = [status.value for status in (DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED)]
_OF_STEPS = [
    kind.value
    for kind in (
        DagsterEventType.STEP_START,
        DagsterEventType.STEP_INPUT,
        DagsterEventType.STEP_OUTPUT,
        DagsterEventType.STEP_SUCCESS,
        DagsterEventType.STEP_SKIPPED,
        DagsterEventType.STEP_UP_FOR_RETRY,
        DagsterEventType.STEP_RESTARTED,
        DagsterEventType.STEP_EXPECTATION_RESULT,
        DagsterEventType.STEP_WORKER_STARTING,
        DagsterEventType.STEP_WORKER_STARTED,
        DagsterEventType.LOADED_INPUT,
        DagsterEventType.HANDLED_OUTPUT,
        DagsterEventType.LOGS_CAPTURED,
        DagsterEventType.ENGINE_EVENT,
        DagsterEventType.RESOURCE_INIT_STARTED,
        DagsterEventType.RESOURCE_INIT_SUCCESS,
    )
]


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was deleted, or would be: events of steps of how many runs. Values, files and keys of a dry run are not counted.

    `orphans` are files of values that no run refers to, `blobs` bytes that no document names.
    """

    runs: int
    events: int
    runs_with_outputs: int | None
    orphans: int | None
    keys: int | None
    blobs: int | None


def prune(
    instance: DagsterInstance, database: Database, folder: Folder, *, before: datetime, dry_run: bool = False
) -> Pruned:
    """Delete what belongs to runs that ended before `before`. Raises UnavailableError; what was deleted stays deleted."""
    runs = events = 0
    with in_our_words():
        for chunk in _ended_before(instance, before):
            found = _execute(
                instance, COUNT_STEP_EVENTS if dry_run else DELETE_STEP_EVENTS, {"runs": chunk, "types": _OF_STEPS}
            )[0][0]
            events += found
            runs += len(chunk) if found else 0
    if dry_run:
        return Pruned(runs, events, None, None, None, None)
    outputs = NodeOutputs(database)
    return Pruned(
        runs,
        events,
        runs_with_outputs=outputs.delete_before(before),
        orphans=outputs.delete_orphans(folder, before=before),
        keys=RunKeys(database).delete_before(before),
        blobs=PostgresDocumentStore(database).sweep(),
    )


def _ended_before(instance: DagsterInstance, before: datetime) -> Iterator[list[str]]:
    """The ids of the runs, a few at a time, the oldest first."""
    after = 0
    while True:
        rows = _execute(
            instance,
            ENDED_RUNS,
            {"ended": _ENDED, "before": before.timestamp(), "after": after, "limit": RUNS_AT_A_TIME},
        )
        if not rows:
            return
        after = rows[-1][0]
        yield [row[1] for row in rows]


def _execute(instance: DagsterInstance, sql: str, parameters: dict[str, Any]) -> list[Any]:
    storage: Any = instance.run_storage
    with storage.connect() as connection:
        return list(connection.execute(sqlalchemy.text(sql), parameters).all())
