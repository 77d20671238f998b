"""Has workflows run for work in progress: the port `WorkflowCalls` on this process's platform."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from dagster import DagsterRunStatus, RunsFilter

from definitions.runtime.launch import ENDED
from definitions.runtime.starter import open_starter
from resources.errors import NotFoundError, UnavailableError, UpstreamError
from resources.events.postgres import PostgresEventStore
from resources.events.projections.postgres import PostgresProjections
from resources.workflows.calling import WorkflowAnswer
from resources.workflows.executions import Executions
from resources.workflows.triggers import Start

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from definitions.runtime.starter import Starter
    from resources.workflows.calling import WorkflowCall
    from resources.workflows.spec import WorkflowSpec

CALLER_TAG: Final = "aiw/caller"
"""On a run that another one has called: that other one."""
_LOOK_SECONDS: Final = 1.0
_STORY_SECONDS: Final = 10.0
"""The run's story is told a little after Dagster knows its end."""
_STORY_PAUSE: Final = 0.1


class RuntimeCalls:
    """Opens the platform when it is first called; until then it costs nothing."""

    def __init__(self, opened: Callable[[], Starter] = open_starter) -> None:
        self._open = opened
        self._starter: Starter | None = None

    def find(self, workflow: str, *, tenant: str) -> WorkflowSpec:
        return self._opened().launcher.workflows.find(workflow, tenant=tenant).spec

    def runs(self, run_id: str) -> Sequence[str]:
        instance = self._opened().launcher.instance
        found: list[str] = [run_id]
        callers: Sequence[str] = found
        while callers:  # ends, as a chain of calls has a greatest length
            callers = instance.get_run_ids(RunsFilter(tags={CALLER_TAG: callers}))
            found += callers
        return found

    def call(self, call: WorkflowCall, *, seconds: float) -> WorkflowAnswer:
        starter = self._opened()
        run_id = starter.start(
            Start(
                workflow=call.workflow,
                tenant=call.tenant,
                key=call.key,
                trigger="tool",
                inputs=dict(call.inputs),
                correlation_id=call.correlation_id,
                cause=call.cause,
                tags={CALLER_TAG: call.cause} if call.cause is not None else {},
            )
        )
        status, deadline = DagsterRunStatus.NOT_STARTED, time.monotonic() + seconds
        while status not in ENDED and not call.cancel.is_set() and (left := deadline - time.monotonic()) > 0:
            status = starter.launcher.wait(run_id, min(left, _LOOK_SECONDS))
        if status is DagsterRunStatus.SUCCESS:
            return WorkflowAnswer(run_id, starter.outputs_of(run_id, tenant=call.tenant))
        if status in ENDED:
            raise UpstreamError(
                f"The run {run_id} of the workflow {call.workflow!r} has not succeeded: {self._reason(run_id, call.tenant)}",
                code="workflow_failed",
                run_id=run_id,
            )
        raise UnavailableError(
            f"The run {run_id} of the workflow {call.workflow!r} has not ended within {seconds:g} seconds. It goes on.",
            dependency="workflow",
            code="workflow_unfinished",
            run_id=run_id,
        )

    def _reason(self, run_id: str, tenant: str) -> str:
        database = self._opened().launcher.database
        executions = Executions(PostgresProjections(database), events=PostgresEventStore(database))
        deadline = time.monotonic() + _STORY_SECONDS
        while True:
            try:
                found = executions.get(run_id, tenant)
            except NotFoundError:
                return "nobody knows why."
            if found.error is not None or time.monotonic() >= deadline:
                return found.error or f"it was {found.status}."
            if found.status == "cancelled":
                return "it was cancelled."
            time.sleep(_STORY_PAUSE)

    def _opened(self) -> Starter:
        if self._starter is None:
            self._starter = self._open()
        return self._starter
