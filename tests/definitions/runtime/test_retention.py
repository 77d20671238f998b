"""What is taken away of old runs, and what stays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from dagster import DagsterEventType, DagsterRunStatus

from definitions.runtime.outputs import Folder, NodeOutputs
from definitions.runtime.reexecution import Reexecution
from definitions.runtime.retention import prune
from resources.errors import NotFoundError
from tests.definitions.runtime.workflows import Engine

if TYPE_CHECKING:
    from pathlib import Path

    from tests.definitions.runtime.conftest import Runtime

pytestmark = pytest.mark.timeout(180)

WORKFLOW = """
name: kept
nodes:
  one: {type: template, config: {template: x}, asset: {key: reports/one}}
  two: {type: fail, needs: one, config: {message: "out of tea"}}
"""


def test_old_runs_lose_their_steps_and_keep_their_ends(runtime: Runtime, tmp_path: Path) -> None:
    folder = Folder(f"file://{tmp_path}/outputs")
    engine, instance = Engine(runtime), runtime.instance
    runtime.start_pool("--workers", "1", module="tests.definitions.runtime.faulty")
    engine.publish(WORKFLOW)
    run_id = engine.launch("kept", key="once")
    assert engine.end_of(run_id) is DagsterRunStatus.FAILURE
    engine.story(run_id, until="workflow.failed")
    later = datetime.now(UTC) + timedelta(seconds=5)

    nothing = prune(instance, runtime.database, folder, before=datetime.now(UTC) - timedelta(days=1))
    assert (nothing.runs, nothing.events, nothing.runs_with_outputs, nothing.keys) == (0, 0, 0, 0)
    expected = prune(instance, runtime.database, folder, before=later, dry_run=True)
    before = instance.all_logs(run_id)
    pruned = prune(instance, runtime.database, folder, before=later)
    after = instance.all_logs(run_id)

    assert pruned.events == expected.events == len(before) - len(after) > 0
    assert (pruned.runs, pruned.runs_with_outputs, pruned.keys) == (1, 1, 1)
    left = {entry.get_dagster_event().event_type for entry in after}
    assert left >= {
        DagsterEventType.RUN_FAILURE,
        DagsterEventType.STEP_FAILURE,
        DagsterEventType.ASSET_MATERIALIZATION,
    }
    assert DagsterEventType.STEP_SUCCESS not in left
    assert runtime.status(run_id) is DagsterRunStatus.FAILURE
    with pytest.raises(NotFoundError):
        NodeOutputs(runtime.database).read(run_id, "one")
    again = Reexecution(engine.launcher).start(run_id, tenant=engine.tenant, strategy="all").run_id
    assert engine.end_of(again) is DagsterRunStatus.FAILURE
    assert prune(instance, runtime.database, folder, before=later - timedelta(days=1)).events == 0
