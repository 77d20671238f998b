"""Executes the steps of a run in this process: one after another, or independent ones at a time in threads.

The order of things is that of Dagster's in-process executor; `steps.py` knows how a step is executed, this file which is next
and when to stop waiting. A step with a time limit is executed in a thread also when all others are not, as only the one who
waits for it can tell that its time is up.
"""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import threading
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._core.events import DagsterEvent, EngineEventData
from dagster._core.execution.api import ExecuteRunWithPlanIterable
from dagster._core.execution.compute_logs import create_compute_log_file_key
from dagster._core.execution.context_creation_job import PlanExecutionContextManager
from dagster._core.execution.plan.execute_plan import (
    _handle_compute_log_setup_error,
    _handle_compute_log_teardown_error,
    _trigger_hook,
)
from dagster._core.execution.plan.instance_concurrency_context import InstanceConcurrencyContext
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.base import Executor
from dagster._core.executor.in_process import InProcessExecutor
from dagster._core.executor.multiprocess import MultiprocessExecutor
from dagster._core.storage.tags import GLOBAL_CONCURRENCY_TAG
from dagster_shared.utils.timing import format_duration

from assets.partitions import EXECUTOR_TAG
from definitions.runtime.lean.active import LeanActiveExecution
from definitions.runtime.lean.event_log import WriteBehindEventLogStorage
from definitions.runtime.lean.logs import (
    LeanLogManager,
    brings_loggers,
    current_step,
    lean_logs,
    resources_with_lean_logs,
)
from definitions.runtime.lean.plain import timeout_of
from definitions.runtime.lean.resources import KeptResources
from definitions.runtime.lean.steps import StepRun, Steps, StepTimedOutError
from definitions.runtime.lean.threads import Permit, StepThreads
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence
    from concurrent.futures import Future
    from typing import Self

    from dagster import DagsterRun
    from dagster._core.execution.context.system import PlanExecutionContext, PlanOrchestrationContext
    from dagster._core.execution.plan.plan import ExecutionPlan
    from dagster._core.execution.plan.step import ExecutionStep
    from dagster_shared.error import SerializableErrorInfo

    from definitions.runtime.lean.plain import PlainStep

LOOK_SECONDS = 0.05  # how long a cancellation may go unnoticed
SHOWN_STEPS = 20


class LeanExecutor(Executor):
    """Executes the steps of a run in this process, `max_concurrent` at a time."""

    def __init__(self, *, max_concurrent: int = 1) -> None:
        self._max_concurrent = max_concurrent

    @property
    def retries(self) -> RetryMode:
        return RetryMode.ENABLED

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
        stock = self._stock(plan_context.dagster_run)
        if stock is not None:
            yield from stock.execute(plan_context, execution_plan)
            return
        step_keys = execution_plan.step_keys_to_execute
        shown = EngineEventData.in_process(os.getpid(), step_keys if len(step_keys) <= SHOWN_STEPS else None)
        yield DagsterEvent.engine_event(plan_context, f"Executing steps in process (pid: {os.getpid()})", shown)
        began = time.perf_counter()
        own_loggers = brings_loggers(plan_context.job.get_definition())
        yield from iter(
            ExecuteRunWithPlanIterable(
                execution_plan=execution_plan,
                iterator=self._execute_steps,
                execution_context_manager=PlanExecutionContextManager(
                    job=plan_context.job,
                    retry_mode=plan_context.retry_mode,
                    execution_plan=execution_plan,
                    run_config=plan_context.run_config,
                    dagster_run=plan_context.dagster_run,
                    instance=plan_context.instance,
                    raise_on_error=plan_context.raise_on_error,
                    output_capture=plan_context.output_capture,
                    scoped_resources_builder_cm=None if own_loggers else resources_with_lean_logs,
                    step_dependency_config=self.step_dependency_config,
                ),
            )
        )
        duration = format_duration((time.perf_counter() - began) * 1000)
        yield DagsterEvent.engine_event(
            plan_context, f"Finished steps in process (pid: {os.getpid()}) in {duration}", shown
        )

    def _stock(self, run: DagsterRun) -> Executor | None:
        """The executor of Dagster's own that the run asks for, if it does."""
        match run.tags.get(EXECUTOR_TAG, "lean"):
            case "lean":
                return None
            case "in_process":
                return InProcessExecutor(retries=RetryMode.ENABLED)
            case "multiprocess":
                return MultiprocessExecutor(retries=RetryMode.ENABLED, max_concurrent=self._max_concurrent)
            case other:
                raise InvalidInputError(
                    f"There is no executor {other!r}: {EXECUTOR_TAG} is lean, in_process or multiprocess.",
                    code="executor_unknown",
                )

    def _execute_steps(
        self, job_context: PlanExecutionContext, execution_plan: ExecutionPlan
    ) -> Iterator[DagsterEvent]:
        builder = job_context.scoped_resources_builder
        job_context._execution_data = job_context._execution_data._replace(  # noqa: SLF001
            scoped_resources_builder=KeptResources(builder.resource_instance_dict, builder.contains_generator)
        )
        if not brings_loggers(job_context.job_def):  # those of a job itself see every event, as in stock
            job_context._log_manager = lean_logs(job_context.log, job_context.instance)  # noqa: SLF001
        steps = execution_plan.get_steps_to_execute_in_topo_order()
        with ExitStack() as stack:
            pools = None
            if any(step.pool or GLOBAL_CONCURRENCY_TAG in step.tags for step in steps):
                pools = stack.enter_context(InstanceConcurrencyContext(job_context.instance, job_context.dagster_run))
            active = stack.enter_context(
                LeanActiveExecution(
                    execution_plan,
                    job_context.retry_mode,
                    max_concurrent=self._max_concurrent,
                    instance_concurrency_context=pools,
                    step_dependency_config=job_context.step_dependency_config,
                )
            )
            if isinstance(job_context.log, LeanLogManager):
                job_context.log.begin_python_log_capture()
                stack.callback(job_context.log.end_python_log_capture)
            captured = stack.enter_context(ExitStack())
            yield from _capture(job_context, [step.key for step in steps], captured)
            loop = stack.enter_context(_Loop(job_context, active, steps, threads=self._max_concurrent > 1))
            yield from loop.run()
            try:
                captured.close()
            except Exception:  # noqa: BLE001  # as stock: told in the log, and no reason to fail
                yield from _handle_compute_log_teardown_error(job_context, sys.exc_info())


def _capture(context: PlanExecutionContext, step_keys: list[str], stack: ExitStack) -> Iterator[DagsterEvent]:
    """From now on, what the process prints goes to the files that the UI shows."""
    manager = context.instance.compute_log_manager
    log_key = manager.build_log_key_for_run(context.run_id, create_compute_log_file_key())
    try:
        captured = stack.enter_context(manager.capture_logs(log_key))
        yield DagsterEvent.capture_logs(context, step_keys, log_key, captured)
    except Exception:  # noqa: BLE001  # as stock: told in the log, and no reason to fail
        yield from _handle_compute_log_setup_error(context, sys.exc_info())


class _Task:
    """One attempt at a step, in a thread."""

    def __init__(self, run: StepRun, plain: PlainStep | None, attempts: int, timeout: float | None) -> None:
        self.run = run
        self.plain = plain
        self.attempts = attempts
        self.timeout = timeout
        self.permit = Permit()
        self.thread: threading.Thread | None = None
        self.future: Future[Any] | None = None
        self.began: float | None = None
        self.error: BaseException | None = None
        self.events: list[DagsterEvent] = []

    @property
    def is_overdue(self) -> bool:
        return self.timeout is not None and self.began is not None and time.monotonic() > self.began + self.timeout

    @property
    def left(self) -> float:
        """Seconds until it is overdue."""
        if self.timeout is None or self.began is None:
            return LOOK_SECONDS
        return max(0.0, self.began + self.timeout - time.monotonic())


class _Loop:
    """Executes one run's steps until there are none left."""

    def __init__(
        self,
        context: PlanExecutionContext,
        active: LeanActiveExecution,
        steps: Sequence[ExecutionStep],
        *,
        threads: bool,
    ) -> None:
        event_log = context.instance.event_log_storage
        behind = isinstance(event_log, WriteBehindEventLogStorage) and event_log.writes_behind
        if isinstance(event_log, WriteBehindEventLogStorage):
            event_log.expect_a_run()
        self._context = context
        self._active = active
        self._steps = Steps(context, event_log if behind else None, steps)  # type: ignore[arg-type]
        self._in_threads = threads
        self._threads = StepThreads()
        self._tasks: dict[str, _Task] = {}
        self._ended: queue.SimpleQueue[_Task] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_starting = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._abandon_all()
        self._threads.close()
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(_end_coroutines(), self._loop)

    def run(self) -> Iterator[DagsterEvent]:
        active = self._active
        while not active.is_complete:
            if active.check_for_interrupts():
                yield from self._cancel()
            ready = active.get_steps_to_execute(limit=None if self._in_threads else int(not self._tasks))
            yield from active.concurrency_event_iterator(self._context)
            for step in ready:
                timeout = timeout_of(step)
                if self._in_threads or timeout is not None:
                    self._begin(step, timeout)
                else:
                    yield from self._execute(step)
            if self._tasks:
                yield from self._wait()
            elif not ready:
                time.sleep(min(LOOK_SECONDS, max(0.0, active.sleep_interval())))

    # ------------------------------------------------------------------ in this thread

    def _execute(self, step: ExecutionStep) -> Iterator[DagsterEvent]:
        run = StepRun(self._context, step, self._active.get_known_state)
        plain = self._steps.plain(step)
        if plain is None:
            yield from self._follow(run, self._steps.stock(run))
            return
        attempts = self._active.retry_state.get_attempt_count(step.key)
        error = self._steps.execute(
            plain, run, attempts=attempts, permit=None, wait=self._context.event_loop.run_until_complete
        )
        yield from self._conclude(plain, run, error)

    def _conclude(self, plain: PlainStep, run: StepRun, error: BaseException | None) -> Iterator[DagsterEvent]:
        """Take note of how a plain step has ended."""
        if error is not None:
            yield from self._follow(run, self._steps.failed(run, error))
            return
        self._active.mark_step_produced_output(plain.output)
        self._active.mark_success(plain.key)
        self._active.free_slot(plain.key)
        self._steps.forget_inputs_of(run.step)
        if self._active.has_steps_to_drop:
            yield from self._active.plan_events_iterator(self._context)

    def _follow(self, run: StepRun, events: Iterator[DagsterEvent]) -> Iterator[DagsterEvent]:
        """Take note of what stock's events say about a step, skip what is not to be executed any more, call hooks."""
        seen: list[DagsterEvent] = []
        for event in events:
            seen.append(event)
            yield event
            self._active.handle_event(event)
            if event.is_step_up_for_retry and _is_interrupt(event):
                raise DagsterExecutionInterruptedError  # cancelled: no policy shall try it again
        self._active.verify_complete(self._context, run.step.key)
        if not any(event.is_step_up_for_retry for event in seen):
            self._steps.forget_inputs_of(run.step)
        for event in self._active.plan_events_iterator(self._context):
            seen.append(event)
            yield event
        yield from _trigger_hook(run.context, seen)

    # ------------------------------------------------------------------ in threads

    def _begin(self, step: ExecutionStep, timeout: float | None) -> None:
        run = StepRun(self._context, step, self._active.get_known_state)
        attempts = self._active.retry_state.get_attempt_count(step.key)
        plain = self._steps.plain(step)
        if plain is None:
            _ = run.context  # made here: the state that it takes is this thread's
        task = self._tasks[step.key] = _Task(run, plain, attempts, timeout)
        self._threads.run(lambda: self._work(task))

    def _work(self, task: _Task) -> None:
        """What a thread does."""
        task.thread = threading.current_thread()
        task.began = time.monotonic()
        if task.plain is not None:
            task.error = self._steps.execute(
                task.plain, task.run, attempts=task.attempts, permit=task.permit, wait=partial(self._await, task)
            )
        else:
            self._work_as_stock(task)
        task.permit.take()
        self._ended.put(task)

    def _work_as_stock(self, task: _Task) -> None:
        token = current_step.set(task.run.step.key)
        loop = (
            asyncio.new_event_loop()
        )  # stock runs coroutines to their end, one loop cannot do that in several threads
        task.run.context._event_loop = loop  # noqa: SLF001
        try:
            task.events.extend(self._steps.stock(task.run))
        except BaseException as error:  # noqa: BLE001  # raised again in the run's own thread
            task.error = error
        finally:
            loop.close()
            current_step.reset(token)

    def _await(self, task: _Task, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine on the loop that all of the run's coroutines share; called in the thread of its step."""
        with self._loop_starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_run_loop, args=(self._loop,), name="steps-loop", daemon=True).start()
        task.future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        return task.future.result()

    def _wait(self) -> Iterator[DagsterEvent]:
        """Wait for a step to end, or for its time to be up, or a moment."""
        patience = min(LOOK_SECONDS, *(task.left for task in self._tasks.values()), LOOK_SECONDS)
        try:
            ended = [self._ended.get(timeout=patience)]
        except queue.Empty:
            ended = []
        while not self._ended.empty():
            ended.append(self._ended.get())
        for task in ended:
            key = task.run.step.key
            if self._tasks.get(key) is task:
                del self._tasks[key]
                yield from self._collect(task)
        for key, task in list(self._tasks.items()):
            if task.is_overdue and self._abandon(key):
                error = StepTimedOutError(f"Step {key!r} timed out after {task.timeout:g} s.")
                run = StepRun(self._context, task.run.step, self._active.get_known_state)
                yield from self._follow(run, self._steps.failed(run, error))

    def _collect(self, task: _Task) -> Iterator[DagsterEvent]:
        if task.plain is not None:
            yield from self._conclude(task.plain, task.run, task.error)
            return
        yield from self._follow(task.run, iter(task.events))
        if task.error is not None:
            raise task.error

    def _abandon(self, step_key: str) -> bool:
        """Do not wait for a step any more. False if it has just ended."""
        task = self._tasks[step_key]
        if not task.permit.take():
            return False
        del self._tasks[step_key]
        task.run.silence()
        if task.future is not None:
            task.future.cancel()  # a coroutine can be stopped
        if task.thread is not None:
            self._threads.abandon(task.thread)
        return True

    def _abandon_all(self) -> None:
        for step_key in list(self._tasks):
            self._abandon(step_key)

    def _cancel(self) -> Iterator[DagsterEvent]:
        """The run is to stop: each step under way fails with the interrupt, as in stock."""
        self._active.mark_interrupted()
        for step_key in list(self._tasks):
            step = self._tasks[step_key].run.step
            if self._abandon(step_key):
                run = StepRun(self._context, step, self._active.get_known_state)
                yield from _until_interrupt(self._steps.failed(run, DagsterExecutionInterruptedError()))
        raise DagsterExecutionInterruptedError


def _until_interrupt(events: Iterator[DagsterEvent]) -> Iterator[DagsterEvent]:
    try:
        yield from events
    except DagsterExecutionInterruptedError:
        return


def _is_interrupt(event: DagsterEvent) -> bool:
    error: SerializableErrorInfo | None = event.step_retry_data.error
    while error is not None:
        if error.cls_name in ("DagsterExecutionInterruptedError", "KeyboardInterrupt"):
            return True
        error = error.cause
    return False


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


async def _end_coroutines() -> None:
    """Cancel what is left on the loop, let it say goodbye, and stop the loop."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    loop = asyncio.get_running_loop()
    loop.call_soon(loop.stop)
