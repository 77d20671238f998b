"""Runs, executed without planning each time anew what is the same each time.

The plan of a job's steps, which its definition and a run's configuration determine, is kept by job definition. Where more than
that has a say, such as the state of a former run, stock's own functions are called.
"""

from __future__ import annotations

import importlib
import json
import sys
import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING

from dagster import DagsterRunStatus, JobDefinition
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.events import EngineEventData
from dagster._grpc.impl import _report_run_failed_if_not_finished, core_execute_run
from dagster._utils.error import serializable_error_info_from_exc_info

from assets.partitions import WORKFLOW_TAG
from definitions.runtime.lean.compatibility import differs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster import DagsterEvent, DagsterInstance, DagsterRun
    from dagster._core.definitions.job_base import IJob
    from dagster._core.execution.plan.plan import ExecutionPlan

KEPT_PLANS = 32


class _Plans:
    """The latest plans of each job definition, by run configuration."""

    def __init__(self) -> None:
        self._by_job: weakref.WeakKeyDictionary[JobDefinition, OrderedDict[str, ExecutionPlan]]
        self._by_job = weakref.WeakKeyDictionary()

    def get(self, instance: DagsterInstance, job: IJob, run: DagsterRun) -> ExecutionPlan:
        from dagster._core.execution.api import create_execution_plan

        definition = job.get_definition()
        kept = self._by_job.setdefault(definition, OrderedDict())
        selected = None if run.step_keys_to_execute is None else list(run.step_keys_to_execute)
        # What a workflow is given changes none of its steps: one plan serves all its runs.
        config = None if WORKFLOW_TAG in definition.tags else run.run_config
        key = json.dumps([config, selected], sort_keys=True, default=repr)
        plan = kept.get(key)
        if plan is None:
            reference = instance.get_ref() if instance.is_persistent else None
            plan = create_execution_plan(
                job,
                run_config=run.run_config,
                step_keys_to_execute=selected,
                instance_ref=reference,
                tags=run.tags,
            )
            if any(output.is_dynamic for step in plan.step_dict.values() for output in step.step_outputs):
                return plan  # it changes while it is executed
            kept[key] = plan
            while len(kept) > KEPT_PLANS:
                kept.popitem(last=False)
        else:
            kept.move_to_end(key)
        return plan


_PLANS = _Plans()


def warm_up() -> None:
    """Import what executing a run needs, for a process that others are forked from."""
    if differs() is None:
        importlib.import_module("definitions.runtime.lean.engine")
        importlib.import_module("definitions.runtime.lean.orchestration")


def execute(instance: DagsterInstance, job: IJob | JobDefinition, run: DagsterRun) -> Iterator[DagsterEvent]:
    """Execute a run that has been created, and tell what happens. The run's row and log say the same, and more."""
    if isinstance(job, JobDefinition):
        job = InMemoryJob(job)
    if differs() is None and _is_ordinary(run):
        return _execute_with_kept_plan(instance, job, run)
    return _execute_as_stock(instance, job, run)


def _is_ordinary(run: DagsterRun) -> bool:
    """Whether a job's definition, the run's configuration and the steps chosen are all that determines what is executed."""
    return (
        run.status in (DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING)
        and run.parent_run_id is None
        and not (run.resolved_op_selection or run.op_selection)
        and not (run.asset_selection or run.asset_check_selection)
        and not run.has_repository_load_data
    )


def _execute_with_kept_plan(instance: DagsterInstance, job: IJob, run: DagsterRun) -> Iterator[DagsterEvent]:
    """As `core_execute_run`, for a run that nothing speaks against executing."""
    from dagster._core.execution.api import ExecuteRunWithPlanIterable, job_execution_iterator
    from dagster._core.execution.context_creation_job import PlanOrchestrationContextManager

    from definitions.runtime.lean.orchestration import lean_orchestration

    try:
        plan = _PLANS.get(instance, job, run)
    except Exception:  # noqa: BLE001  # stock meets the same, and tells it in the run's log
        yield from _execute_as_stock(instance, job, run)
        return
    steps = ExecuteRunWithPlanIterable(
        execution_plan=plan,
        iterator=job_execution_iterator,
        execution_context_manager=PlanOrchestrationContextManager(
            context_event_generator=lean_orchestration,
            job=job,
            execution_plan=plan,
            dagster_run=run,
            instance=instance,
            run_config=run.run_config,
            raise_on_error=False,
            executor_defs=None,
            output_capture=None,
        ),
    )
    try:
        yield from steps
    except (KeyboardInterrupt, DagsterExecutionInterruptedError):
        yield from _report_run_failed_if_not_finished(instance, run.run_id)
        yield instance.report_engine_event("Run execution terminated by interrupt", run)
        raise
    except Exception:
        error = serializable_error_info_from_exc_info(sys.exc_info())
        message = "An exception was thrown during execution that is likely a framework error, rather than an error in user code."
        yield instance.report_engine_event(message, run, EngineEventData.engine_error(error))
        yield from _report_run_failed_if_not_finished(instance, run.run_id)
        raise


def _execute_as_stock(instance: DagsterInstance, job: IJob, run: DagsterRun) -> Iterator[DagsterEvent]:
    from dagster._core.execution.api import execute_run_iterator

    if isinstance(job, ReconstructableJob):
        return core_execute_run(job, run, instance, inject_env_vars=False)
    return execute_run_iterator(job, run, instance)
