"""What the functions of compiled nodes get in the place of Dagster's context: cheap, and the real thing behind it.

To make the context of an op takes longer than all else that a small node does, and such a node asks it for the run, its key and
its attempt only. A function that is marked `light` gets these at once; whatever else it asks for is the real context's, which
is made at that moment. It returns one `Output`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dagster._core.execution.context.compute import enter_execution_context

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from dagster import DagsterRun
    from dagster._core.execution.context.system import StepExecutionContext

    from definitions.runtime.lean.steps import StepRun

_MARK = "takes_light_context"


def light(function: Callable[..., Any]) -> Callable[..., Any]:
    """Marks the function of an op, which must take a context."""
    setattr(function, _MARK, True)
    return function


def is_light(function: Callable[..., Any]) -> bool:
    """Whether the function is marked."""
    return getattr(function, _MARK, False)


class ContextOnDemand:
    """Makes the op's context when it is asked for (also by `OpExecutionContext.get()`), and never if it is not."""

    def __init__(self, step: StepRun, stack: ExitStack) -> None:
        self._step = step
        self._stack = stack
        self.asked: Any = None

    @property
    def op_execution_context(self) -> Any:
        if self.asked is None:
            self.asked = self._stack.enter_context(enter_execution_context(self._step.context))
        return self.asked.op_execution_context


class LightContext:
    """Has what an `OpExecutionContext` has."""

    def __init__(self, demand: ContextOnDemand, run: DagsterRun, step_key: str, retry_number: int) -> None:
        self._demand = demand
        self.run = run
        self.run_id = run.run_id
        self.step_key = step_key
        self.retry_number = retry_number

    @property
    def log(self) -> LightLog:
        return LightLog(self._demand)

    def get_step_execution_context(self) -> StepExecutionContext:
        context: StepExecutionContext = self._demand.op_execution_context.get_step_execution_context()
        return context

    def __getattr__(self, name: str) -> Any:
        return getattr(self._demand.op_execution_context, name)


class LightLog:
    """The log of a step; of most steps nobody ever says anything."""

    def __init__(self, demand: ContextOnDemand) -> None:
        self._demand = demand

    def __getattr__(self, name: str) -> Any:
        return getattr(self._demand.op_execution_context.log, name)


def step_key_of(context: Any) -> str:
    """The key of the step whose context it is, of either kind."""
    if isinstance(context, LightContext):
        return context.step_key
    key: str = context.get_step_execution_context().step.key
    return key
