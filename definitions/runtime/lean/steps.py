"""The steps of one run, executed one by one: plain ones directly, all others by stock's own generator."""

from __future__ import annotations

import inspect
import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from dagster import (
    AssetCheckResult,
    AssetMaterialization,
    AssetObservation,
    DagsterInvariantViolationError,
    DynamicOutput,
    ExpectationResult,
    MaterializeResult,
    ObserveResult,
    Output,
)
from dagster._core.errors import (
    DagsterExecutionHandleOutputError,
    DagsterExecutionInterruptedError,
    DagsterExecutionStepExecutionError,
    raise_execution_interrupts,
)
from dagster._core.events import DagsterEvent
from dagster._core.execution.context.compute import current_execution_context, enter_execution_context
from dagster._core.execution.plan.compute_generator import (
    invoke_compute_fn,
    validate_and_coerce_op_result_to_iterator,
)
from dagster._core.execution.plan.execute_plan import dagster_event_sequence_for_step
from dagster._core.execution.plan.execute_step import (
    _step_output_error_checked_user_event_sequence,
    _type_check_output,
    _type_checked_event_sequence_for_input,
)
from dagster._core.execution.plan.utils import op_execution_error_boundary
from dagster._core.types.dagster_type import (
    BuiltinScalarDagsterType,
    PythonObjectDagsterType,
    TypeHintInferredDagsterType,
)
from dagster_shared.utils.timing import format_duration

from definitions.runtime.lean.light import ContextOnDemand, LightContext
from definitions.runtime.lean.logs import LeanLogManager, StepAbandonedError, current_step
from definitions.runtime.lean.plain import PLAIN_STEPS, has_effects
from definitions.runtime.outputs import output_io_managers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from dagster import DagsterType
    from dagster._core.execution.context.system import PlanExecutionContext, StepExecutionContext
    from dagster._core.execution.plan.outputs import StepOutputHandle
    from dagster._core.execution.plan.state import KnownExecutionState
    from dagster._core.execution.plan.step import ExecutionStep

    from definitions.runtime.lean.event_log import WriteBehindEventLogStorage
    from definitions.runtime.lean.plain import PlainStep, Template
    from definitions.runtime.lean.threads import Permit

# Values that stock takes apart before they become outputs.
_SPECIAL = (
    Output,
    DynamicOutput,
    AssetMaterialization,
    AssetObservation,
    AssetCheckResult,
    ExpectationResult,
    MaterializeResult,
    ObserveResult,
)
_CHECKED_WITHOUT_CONTEXT = (PythonObjectDagsterType, BuiltinScalarDagsterType, TypeHintInferredDagsterType)


class StepTimedOutError(TimeoutError):
    """A step took longer than its `aiw/timeout_seconds`."""


class OutputNotStoredError(Exception):
    """What a step returned could not be stored."""


class StepRun:
    """One attempt at one step. `context` is made when somebody asks for it: most steps need none."""

    def __init__(
        self, run_context: PlanExecutionContext, step: ExecutionStep, state: Callable[[], KnownExecutionState]
    ) -> None:
        self.step = step
        self._run_context = run_context
        self._state = state
        self._context: StepExecutionContext | None = None

    @property
    def context(self) -> StepExecutionContext:
        if self._context is None:
            self._context = self._run_context.for_step(self.step, self._state())
        return self._context

    def silence(self) -> None:
        """What the step still says is not recorded. Its thread ends when it says something."""
        logs = self.context.log
        if isinstance(logs, LeanLogManager):
            logs.closed = True


class Returned(NamedTuple):
    """What an op gave: a value, perhaps with metadata, or the output that stock makes of it where it says more."""

    value: Any
    metadata: Mapping[str, Any] | None = None
    output: Output[Any] | None = None


class Steps:
    """Executes steps of one run. `values` holds what they have returned, until the last step that needs it has ended."""

    def __init__(
        self,
        context: PlanExecutionContext,
        event_log: WriteBehindEventLogStorage | None,
        to_execute: Sequence[ExecutionStep],
    ) -> None:
        self._context = context
        self._event_log = event_log
        self._run_id = context.run_id
        self._pid = os.getpid()
        self._values: dict[StepOutputHandle, Any] = {}
        self._io_managers: Mapping[str, Any] = context.scoped_resources_builder.resource_instance_dict
        for io_manager in output_io_managers(self._io_managers):
            io_manager.memory = self._values
        self._readers = self._count_readers(to_execute)

    def plain(self, step: ExecutionStep) -> PlainStep | None:
        """The step, if it can be executed directly now: it is plain, and what it needs is in memory."""
        if self._event_log is None:
            return None
        plain = PLAIN_STEPS.find(self._context, step)
        if plain is None or any(source not in self._values for given in plain.inputs for source in given.sources):
            return None
        return plain

    # ------------------------------------------------------------------ plain steps

    def execute(
        self, plain: PlainStep, run: StepRun, *, attempts: int, permit: Permit | None, wait: Callable[[Any], Any]
    ) -> BaseException | None:
        """Execute a plain step; returns what went wrong. `wait` finishes a coroutine.

        With a `permit`, the result counts only if the permit could be taken: nobody has given up on the step before.
        """
        token = current_step.set(plain.key)
        try:
            self._attempt(plain, run, attempts, permit, wait)
        except BaseException as error:  # noqa: BLE001  # stock makes events of it, also of an interrupt
            return error
        finally:
            current_step.reset(token)
        return None

    def _attempt(
        self, plain: PlainStep, run: StepRun, attempts: int, permit: Permit | None, wait: Callable[[Any], Any]
    ) -> None:
        assert self._event_log is not None
        began = time.perf_counter()
        if attempts:
            DagsterEvent.step_restarted_event(run.context, attempts)
        else:
            self._say(plain.started)
        inputs = self._inputs(plain, run)
        if has_effects(run.step):
            self._event_log.flush(durable=True)
        if permit is not None and permit.taken:
            raise StepAbandonedError
        with ExitStack() as stack:
            returned = self._compute(plain, run, inputs, attempts=attempts, wait=wait, stack=stack)
            if permit is not None and not permit.take():
                raise StepAbandonedError
            value = returned.value
            if returned.output is not None:
                _exhaust(_type_check_output(run.context, plain.output, returned.output))
            elif not _is_of(plain.output_type, value, run):
                output = Output(value, plain.output.output_name, metadata=returned.metadata)
                _exhaust(_type_check_output(run.context, plain.output, output))
            elif returned.metadata is None:
                self._say(plain.returned)
            else:
                assert plain.described is not None
                self._say(plain.described.event, metadata=plain.described.metadata(returned.metadata))
        self._keep(plain, value)
        self._say(plain.handled)
        milliseconds = (time.perf_counter() - began) * 1000
        self._say(plain.succeeded, milliseconds=milliseconds, duration=format_duration(milliseconds))
        if has_effects(run.step):
            self._event_log.flush(durable=True)

    def _inputs(self, plain: PlainStep, run: StepRun) -> dict[str, Any]:
        for loaded in plain.loaded:
            self._say(loaded)
        inputs: dict[str, Any] = {}
        for given in plain.inputs:
            values = [self._values[source] for source in given.sources]
            inputs[given.name] = values if given.fan_in else values[0]
        for given, accepted in zip(plain.inputs, plain.accepted, strict=True):
            if _is_of(given.type, inputs[given.name], run):
                self._say(accepted)
            else:
                _exhaust(_type_checked_event_sequence_for_input(run.context, given.name, inputs[given.name]))
        return inputs

    def _compute(
        self,
        plain: PlainStep,
        run: StepRun,
        inputs: dict[str, Any],
        *,
        attempts: int,
        wait: Callable[[Any], Any],
        stack: ExitStack,
    ) -> Returned:
        """Call the op."""
        if plain.needs_context and not plain.is_light:
            compute_context = stack.enter_context(enter_execution_context(run.context))
            with raise_execution_interrupts():
                value = invoke_compute_fn(
                    plain.function,
                    compute_context,
                    inputs,
                    plain.takes_context,
                    plain.config_type,
                    dict(plain.resources),
                )
                if plain.is_async:
                    value = wait(value)
            return _taken_apart(plain, run, compute_context, value)
        demand: Any = ContextOnDemand(run, stack)
        stack.callback(current_execution_context.reset, current_execution_context.set(demand))
        arguments = (LightContext(demand, self._context.dagster_run, plain.key, attempts),) if plain.is_light else ()
        with raise_execution_interrupts():
            value = plain.function(*arguments, **inputs)
            if plain.is_async:
                value = wait(value)
        if demand.asked is None:
            if plain.is_light and type(value) is Output:
                return Returned(value.value, metadata=value.metadata)
            if not (isinstance(value, _SPECIAL) or inspect.isgenerator(value)):
                return Returned(value)
        _ = demand.op_execution_context
        return _taken_apart(plain, run, demand.asked, value)

    def _keep(self, plain: PlainStep, value: object) -> None:
        try:
            self._io_managers[plain.io_manager].store(
                self._context.instance, self._context.dagster_run, plain.output, value
            )
        except Exception as error:
            raise OutputNotStoredError from error
        self._values[plain.output] = value

    def _say(self, template: Template, **more: object) -> None:
        assert self._event_log is not None
        self._event_log.add_row(template.fill(self._run_id, self._pid, time.time(), **more))

    # ------------------------------------------------------------------ all other steps

    def stock(self, run: StepRun) -> Iterator[DagsterEvent]:
        """The events of a step as stock executes it."""
        if self._event_log is not None and has_effects(run.step):
            self._event_log.flush(durable=True)
        events = dagster_event_sequence_for_step(run.context)
        while True:
            token = current_step.set(run.step.key)
            try:
                event = next(events, None)
            finally:
                current_step.reset(token)
            if event is None:
                break
            yield event
        self.settle(run)

    def failed(self, run: StepRun, error: BaseException) -> Iterator[DagsterEvent]:
        """The events that stock makes of an error: a retry if the op's policy says so, else a failure."""
        run.context._step_launcher = _Failed(error)  # type: ignore[assignment]  # noqa: SLF001
        yield from dagster_event_sequence_for_step(run.context)
        self.settle(run)

    def settle(self, run: StepRun) -> None:
        """Make durable how a step with outside effects has ended."""
        if self._event_log is not None and has_effects(run.step):
            self._event_log.flush(durable=True)

    # ------------------------------------------------------------------ memory

    def forget_inputs_of(self, step: ExecutionStep) -> None:
        """A step has ended: values that no other step will read need not be kept."""
        for handle in _handles_read_by(step):
            readers = self._readers.get(handle)
            if readers is not None:
                readers.discard(step.key)
                if not readers:
                    self._values.pop(handle, None)

    def _count_readers(self, to_execute: Sequence[ExecutionStep]) -> dict[StepOutputHandle, set[str]]:
        """Which steps will read a value. Values that steps yet unknown may read (after a map) are kept to the end."""
        plan = self._context.execution_plan
        readers: dict[StepOutputHandle, set[str]] = {}
        if any(output.is_dynamic for step in plan.step_dict.values() for output in step.step_outputs):
            return readers
        for step in to_execute:
            for handle in _handles_read_by(step):
                readers.setdefault(handle, set()).add(step.key)
        return readers


class _Failed:
    """In the place of a step launcher: raises what went wrong where stock expects the op to raise."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def launch_step(self, context: StepExecutionContext) -> Iterator[DagsterEvent]:
        error = self._error
        if isinstance(error, (DagsterExecutionInterruptedError, KeyboardInterrupt)):
            raise error  # cancelled: no policy shall try it again
        kind: Any = DagsterExecutionStepExecutionError
        names: dict[str, str] = {"op_def_name": context.op_def.name, "op_name": context.op.name}
        message = f"Error occurred while executing {context.describe_op()}:"
        if isinstance(error, OutputNotStoredError) and error.__cause__ is not None:
            kind, error = DagsterExecutionHandleOutputError, error.__cause__
            output = context.step.step_outputs[0].name
            names = {"step_key": context.step.key, "output_name": output}
            message = f'Error occurred while handling output "{output}" of step "{context.step.key}":'
        elif kind is DagsterExecutionStepExecutionError:
            names["step_key"] = context.step.key
        with op_execution_error_boundary(kind, lambda: message, context, **names):
            raise error
        yield  # type: ignore[unreachable]  # a launcher is a generator


def _handles_read_by(step: ExecutionStep) -> set[StepOutputHandle]:
    return {handle for given in step.step_inputs for handle in given.get_step_output_handle_dependencies()}


def _is_of(dagster_type: DagsterType, value: object, run: StepRun) -> bool:
    """Whether `value` passes. If it does not, stock is asked again, and tells."""
    if dagster_type.is_any:
        return True
    context: Any = None if isinstance(dagster_type, _CHECKED_WITHOUT_CONTEXT) else run.context.for_type(dagster_type)
    check = dagster_type.type_check(context, value)
    return bool(check.success) and not check.metadata and not check.description


def _taken_apart(plain: PlainStep, run: StepRun, compute_context: Any, value: object) -> Returned:
    """What stock makes of what an op returned, and of what it said to its context."""
    op_context = compute_context.op_execution_context
    metadata = run.context.get_output_metadata(plain.output.output_name)
    said = list(op_context.consume_events()) if op_context.has_events() else []
    if not (said or metadata or isinstance(value, _SPECIAL) or inspect.isgenerator(value)):
        return Returned(value)
    results = validate_and_coerce_op_result_to_iterator(value, compute_context, plain.op.output_defs)
    outputs: list[Output[Any]] = []
    for result in _step_output_error_checked_user_event_sequence(run.context, iter([*said, *results])):
        if isinstance(result, Output):
            outputs.append(result)
        else:
            _record(run.context, result)
    return Returned(outputs[0].value, output=outputs[0])


def _record(context: StepExecutionContext, said: object) -> None:
    """What an op said beside its output."""
    match said:
        case DagsterEvent():
            pass
        case AssetMaterialization():
            DagsterEvent.asset_materialization(context, said)
        case AssetObservation():
            DagsterEvent.asset_observation(context, said)
        case ExpectationResult():
            DagsterEvent.step_expectation_result(context, said)
        case _:
            raise DagsterInvariantViolationError(
                f"{context.describe_op()} said {said!r}, which only an asset or an asset check can say."
            )


def _exhaust(events: Iterator[DagsterEvent]) -> None:
    """Events are recorded when they are made; who makes them may raise."""
    for _ in events:
        pass
