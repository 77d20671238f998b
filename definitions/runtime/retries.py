"""Runs that failed and were promised another try (`dagster/max_retries`): workflows get it from their own revision.

The pool that sees a run fail has a worker start the retry at once (`at_once`). Where that did not happen, Dagster's daemon finds
the run within a second or two, but it looks for the job in the code location: there a workflow that was just published is not
yet, and one that was published again is not any more what failed. So `try_again` takes the place of the daemon's last step
for runs of workflows. Of several that try one does it, the others find that it is done: the tags are those that the daemon
itself uses, so that stock finds it too. A retry that was created but not submitted is submitted.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import dagster
from dagster import DagsterRunStatus
from dagster._core.events import EngineEventData
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, RETRY_NUMBER_TAG, WILL_RETRY_TAG

from assets.partitions import WORKFLOW_TAG, tenant_of
from definitions.runtime.code import workflow_of
from resources.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Callable

    from dagster import DagsterInstance, DagsterRun

    from definitions.runtime.reexecution import Reexecution, Strategy

MODULE = "dagster._daemon.auto_run_reexecution.auto_run_reexecution"


def is_promised(instance: DagsterInstance, run_id: str) -> bool:
    """Whether the run is of a workflow, has failed, and is to be tried again."""
    run = instance.get_run_by_id(run_id)
    return run is not None and WORKFLOW_TAG in run.tags and run.tags.get(WILL_RETRY_TAG) == "true"


def at_once(instance: DagsterInstance, run_id: str, reexecution: Reexecution) -> None:
    """Start the retry that a run was promised, if nothing speaks against it now. Raises as `Reexecution.start` does."""
    from dagster._daemon.auto_run_reexecution.auto_run_reexecution import should_retry

    failed = instance.get_run_by_id(run_id)
    if failed is not None and workflow_of(instance, failed) is not None and should_retry(failed, instance):
        try_again(instance, failed, reexecution)


def try_again(instance: DagsterInstance, failed: DagsterRun, reexecution: Reexecution) -> str:
    """The id of the run that takes the failed one's place, started now or before. Raises as `Reexecution.start` does."""
    with reexecution.alone(failed.run_id):
        return _try_again(instance, failed, reexecution)


def _try_again(instance: DagsterInstance, failed: DagsterRun, reexecution: Reexecution) -> str:
    from dagster._core.execution.plan.resume_retry import ReexecutionStrategy
    from dagster._daemon.auto_run_reexecution.auto_run_reexecution import (
        get_automatically_retried_run_if_exists,
        get_reexecution_strategy,
    )

    group = instance.get_run_group(failed.run_id)
    runs = list(group[1]) if group is not None else [failed]
    existing = get_automatically_retried_run_if_exists(instance, failed, runs)
    if existing is not None:
        if failed.tags.get(AUTO_RETRY_RUN_ID_TAG) is None:
            instance.add_run_tags(failed.run_id, {AUTO_RETRY_RUN_ID_TAG: existing.run_id})
        if existing.status is DagsterRunStatus.NOT_STARTED:
            no_workspace: Any = None  # it is for launchers that ask a code location; ours do not
            instance.submit_run(existing.run_id, no_workspace)
        return existing.run_id
    whole = get_reexecution_strategy(failed, instance) is ReexecutionStrategy.ALL_STEPS
    strategy: Strategy = "all" if whole else "from_failure"
    tags = {RETRY_NUMBER_TAG: str(len(runs))}
    run_id = reexecution.start(failed.run_id, tenant=tenant_of(failed), strategy=strategy, tags=tags).run_id
    instance.add_run_tags(failed.run_id, {AUTO_RETRY_RUN_ID_TAG: run_id})
    shown = EngineEventData({"new run": dagster.MetadataValue.dagster_run(run_id)})
    instance.report_engine_event("Trying the run again.", failed, shown)
    return run_id


def install(reexecution: Callable[[], Reexecution] | None = None) -> None:
    """Have this process, which is to become the daemon, try workflows again like this. Raises ConflictError."""
    module = importlib.import_module(MODULE)
    stock = getattr(module, "retry_run", None)
    if stock is None or not hasattr(module, "consume_new_runs_for_automatic_reexecution"):
        raise ConflictError(
            f"Dagster {dagster.__version__} has no {MODULE}.retry_run. Install the locked release, or adapt "
            "definitions/runtime/retries.py.",
            code="dagster_release",
        )
    opened = reexecution or _reexecution

    def retry_run(failed_run: DagsterRun, workspace_context: Any) -> None:
        instance = workspace_context.instance
        if workflow_of(instance, failed_run) is None:
            stock(failed_run, workspace_context)
        else:
            try_again(instance, failed_run, opened())

    module.retry_run = retry_run  # type: ignore[attr-defined]


@lru_cache(maxsize=1)
def _reexecution() -> Reexecution:
    from definitions.runtime.starter import open_starter

    return open_starter().reexecution
