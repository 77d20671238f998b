"""Executes a past run again: all of it, from where it failed, or from any node on, with what came before as it was recorded.

The new run is of the revision of the old one, or of another. Steps before the chosen ones are not executed; what they gave is
read from where the old run has stored it. `preview` says which these are, and starts nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dagster import DagsterEventType, DagsterRunStatus
from dagster._core.execution.api import create_execution_plan
from dagster._core.execution.plan.state import KnownExecutionState
from dagster._core.snap import snapshot_from_execution_plan
from dagster._core.storage.tags import (
    AUTO_RETRY_RUN_ID_TAG,
    PARENT_RUN_ID_TAG,
    RESUME_RETRY_TAG,
    RETRY_NUMBER_TAG,
    ROOT_RUN_ID_TAG,
    RUN_FAILURE_REASON_TAG,
    RUN_KEY_TAG,
    WILL_RETRY_TAG,
)

from assets.partitions import TRIGGER_TAG
from definitions.runtime.code import WorkflowOrigin, workflow_of
from definitions.runtime.postgres import alone
from resources.errors import ConflictError, InvalidInputError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from dagster import DagsterRun, JobDefinition
    from dagster._core.execution.plan.plan import ExecutionPlan

    from definitions.runtime.launch import Launched, WorkflowLauncher

Strategy = Literal["all", "from_failure", "from_node"]

_OF_ONE_RUN = frozenset(
    {
        AUTO_RETRY_RUN_ID_TAG,
        RETRY_NUMBER_TAG,
        RUN_FAILURE_REASON_TAG,
        RUN_KEY_TAG,
        WILL_RETRY_TAG,
    }
)


@dataclass(frozen=True, slots=True)
class Preview:
    """What a re-execution does, by step. Items of a map are known when it is executed, and then count as `runs`."""

    workflow: str
    revision: int
    runs: tuple[str, ...]
    reused: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Planned:
    origin: WorkflowOrigin
    job: JobDefinition
    plan: ExecutionPlan
    steps: tuple[str, ...] | None  # None: all of them


class Reexecution:
    """Re-executes runs of workflows. Runs of other jobs are re-executed by Dagster's own UI and API."""

    def __init__(self, launcher: WorkflowLauncher) -> None:
        self._launcher = launcher

    def alone(self, run_id: str) -> AbstractContextManager[None]:
        """Nobody else who asks for this is at the run's retry meanwhile. Raises UnavailableError."""
        return alone(self._launcher.database, f"retry of {run_id}")

    def preview(
        self,
        run_id: str,
        *,
        tenant: str,
        strategy: Strategy = "from_failure",
        node: str | None = None,
        revision: int | None = None,
    ) -> Preview:
        """Which steps would run, and which would not. Raises as `start` does."""
        planned = self._plan(self._launcher.get(run_id, tenant=tenant), strategy, node, revision, tenant)
        runs = planned.steps if planned.steps is not None else tuple(planned.plan.step_dict_by_key)
        reused = tuple(key for key in self._succeeded(run_id) if planned.steps is not None and key not in runs)
        return Preview(planned.origin.name, planned.origin.revision, tuple(runs), reused)

    def start(
        self,
        run_id: str,
        *,
        tenant: str,
        strategy: Strategy = "from_failure",
        node: str | None = None,
        revision: int | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Launched:
        """Start it. `node` is the one to begin with (`from_node`); `revision` None: that of the run, 0: the platform's own.

        Raises NotFoundError, ConflictError for a run that has not ended, or not failed, and InvalidInputError.
        """
        parent = self._launcher.get(run_id, tenant=tenant)
        planned = self._plan(parent, strategy, node, revision, tenant)
        return self._launcher.start_again(
            parent,
            origin=planned.origin,
            job=planned.job,
            plan_snapshot=snapshot_from_execution_plan(planned.plan, planned.job.get_job_snapshot_id()),
            steps=planned.steps,
            tags={**_inherited(parent, partial=planned.steps is not None), **(tags or {}), TRIGGER_TAG: "rerun"},
        )

    def _plan(
        self, parent: DagsterRun, strategy: Strategy, node: str | None, revision: int | None, tenant: str
    ) -> _Planned:
        instance = self._launcher.instance
        origin = workflow_of(instance, parent)
        if origin is None:
            raise InvalidInputError(f"The run {parent.run_id!r} is of no workflow, but of the job {parent.job_name!r}.")
        if not parent.is_finished:
            raise ConflictError(f"The run {parent.run_id!r} has not ended yet.", code="run_not_ended")
        workflows = self._launcher.workflows
        if revision is not None and revision != origin.revision:
            known = workflows.find(origin.name, tenant=tenant, revision=revision)
            origin = WorkflowOrigin((known.spec.name, known.tenant or "", known.revision))
        job = workflows.job(workflows.find(origin.name, tenant=origin.tenant, revision=origin.revision))
        whole = create_execution_plan(job, run_config=parent.run_config)
        if strategy == "all":
            return _Planned(origin, job, whole, None)
        if strategy == "from_failure":
            if parent.status not in {DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED}:
                raise ConflictError(f"The run {parent.run_id!r} has not failed.", code="run_not_failed")
            steps, known_state = KnownExecutionState.build_resume_retry_reexecution(instance, parent_run=parent)
            wanted = [key for key in steps if _static(key) in whole.step_dict_by_key]
            wanted += [key for key in self._never_recorded(parent, whole) if key not in wanted]
            if revision is not None:
                wanted = _with_what_follows(whole, wanted)
        else:
            wanted = _from_node(whole, node)
            known_state = KnownExecutionState.build_for_reexecution(instance, parent_run=parent)
            known_state = known_state.update_for_step_selection(wanted)
        self._refuse_unrecorded(parent, whole, wanted)
        plan = create_execution_plan(
            job, run_config=parent.run_config, step_keys_to_execute=wanted, known_state=known_state
        )
        return _Planned(origin, job, plan, tuple(wanted))

    def _succeeded(self, run_id: str) -> list[str]:
        entries = self._launcher.instance.all_logs(run_id, of_type=DagsterEventType.STEP_SUCCESS)
        return [str(entry.step_key) for entry in entries]

    def _never_recorded(self, parent: DagsterRun, plan: ExecutionPlan) -> list[str]:
        """Steps that the former run does not know: another revision has added them."""
        if parent.execution_plan_snapshot_id is None:
            return []
        former = self._launcher.instance.get_execution_plan_snapshot(parent.execution_plan_snapshot_id)
        known = {step.key for step in former.steps}
        return [key for key in plan.step_dict_by_key if key not in known]

    def _refuse_unrecorded(self, parent: DagsterRun, plan: ExecutionPlan, wanted: Sequence[str]) -> None:
        """Everything before the chosen steps must have been recorded, or left out for a reason."""
        entries = self._launcher.instance.all_logs(
            parent.run_id, of_type={DagsterEventType.STEP_SUCCESS, DagsterEventType.STEP_SKIPPED}
        )
        recorded = {_static(str(entry.step_key)) for entry in entries} | self._ancestors_reused(parent)
        chosen = {_static(key) for key in wanted}
        needed = plan.get_all_step_deps()
        missing = sorted({_static(key) for each in chosen for key in needed[each]} - recorded - chosen)
        if missing:
            raise ConflictError(
                f"The run {parent.run_id!r} has not recorded what {', '.join(missing)} gave. Begin with an earlier node.",
                code="output_not_recorded",
            )

    def _ancestors_reused(self, parent: DagsterRun) -> set[str]:
        """Steps that the former run did not execute either, as it was itself a re-execution from a later step."""
        if parent.step_keys_to_execute is None or parent.execution_plan_snapshot_id is None:
            return set()
        snapshot = self._launcher.instance.get_execution_plan_snapshot(parent.execution_plan_snapshot_id)
        executed = {_static(key) for key in parent.step_keys_to_execute}
        return {step.key for step in snapshot.steps} - executed


def _from_node(plan: ExecutionPlan, node: str | None) -> list[str]:
    """The steps of the node, and all that come after them, in order."""
    steps = plan.get_all_steps_in_topo_order()
    begin = {step.key for step in steps if node and (step.key == node or step.key.startswith((f"{node}.", f"{node}[")))}
    if not begin:
        known = ", ".join(dict.fromkeys(step.key.partition(".")[0] for step in steps))
        raise NotFoundError(f"There is no node {node!r}, only: {known}.", code="node_not_found")
    chosen: list[str] = []
    needed = plan.get_all_step_deps()
    after = set(begin)
    for step in steps:
        if step.key in begin or any(_static(key) in after for key in needed[step.key]):
            after.add(_static(step.key))
            chosen.append(step.key)
    return chosen


def _with_what_follows(plan: ExecutionPlan, wanted: Sequence[str]) -> list[str]:
    """The steps, and those that another revision has put after them: what these gave was of something else."""
    chosen = dict.fromkeys(wanted)
    after = {_static(key) for key in wanted}
    needed = plan.get_all_step_deps()
    for step in plan.get_all_steps_in_topo_order():
        if step.key not in after and any(_static(key) in after for key in needed[step.key]):
            after.add(step.key)
            chosen[step.key] = None
    return list(chosen)


def _static(key: str) -> str:
    """The key of an item's step, as the plan has it before there are items: `each.one[3]` → `each.one[?]`."""
    name, bracket, _ = key.partition("[")
    return f"{name}[?]" if bracket else key


def _inherited(parent: DagsterRun, *, partial: bool) -> dict[str, str]:
    tags = {key: value for key, value in parent.tags.items() if key not in _OF_ONE_RUN}
    tags |= {PARENT_RUN_ID_TAG: parent.run_id, ROOT_RUN_ID_TAG: parent.root_run_id or parent.run_id}
    tags.pop(RESUME_RETRY_TAG, None)
    return tags | {RESUME_RETRY_TAG: "true"} if partial else tags
