"""The executor `lean`: each op is a step as Dagster knows it, at half a millisecond instead of fifteen.

Jobs name it (`executor_def=lean_executor`); what it does is in `engine.py`. A run that is tagged `aiw/executor: in_process` or
`multiprocess` is executed by stock's executor of that name. With a Dagster that is not the one that this was written for, the
in-process one executes all runs.
"""

from typing import Final

import dagster as dg
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.base import Executor
from dagster._core.executor.in_process import InProcessExecutor
from dagster._core.executor.init import InitExecutorContext

from definitions.runtime.lean.compatibility import differs
from resources.telemetry.logging import get_logger

log = get_logger(__name__)

TIMEOUT_TAG: Final = "aiw/timeout_seconds"
EFFECTS_TAG: Final = "aiw/effects"

MOST_THREADS: Final = 64


@dg.executor(
    name="lean",
    config_schema={
        "max_concurrent": dg.Field(
            dg.IntSource,
            default_value=1,
            description="Steps that are executed at a time, in threads of one process; 1 = in order, without threads",
        )
    },
)
def lean_executor(init_context: InitExecutorContext) -> Executor:
    """Executes the steps of a run in this process, without what stock spends on each step."""
    if reason := differs():
        log.warning("executor.stock", reason=reason, hint="Steps are executed by Dagster's in-process executor.")
        return InProcessExecutor(retries=RetryMode.ENABLED)
    from definitions.runtime.lean.engine import LeanExecutor

    max_concurrent = init_context.executor_config["max_concurrent"]
    return LeanExecutor(max_concurrent=max(1, min(int(max_concurrent), MOST_THREADS)))  # type: ignore[call-overload]
