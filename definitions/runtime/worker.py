"""A warm worker: a forked process that executes one run after another until it is told to stop or has grown old.

It says `idle` when it can take a run and `done` after each; asked to, it also starts the run that takes a failed one's place.
A run that did not reach an end although the worker survived it (the database went away, the code location has no such job) is
reported with its problem; the pool settles it.

The end of a run becomes an event in the event store at once. Where that fails, and for runs that end without a worker, the
sensors of `sensors/runs.py` make up for it within seconds; the event's id is the same, so it is stored once.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from dagster import DagsterEventType, DagsterInstance
from dagster._utils.interrupts import capture_interrupts, pop_captured_interrupt

from assets.partitions import EXECUTOR_TAG, ISOLATION_TAG
from definitions.runtime.isolated import execute_isolated
from definitions.runtime.lean.event_log import WriteBehindEventLogStorage
from definitions.runtime.lean.threads import has_abandoned_threads
from definitions.runtime.processes import resident_megabytes
from definitions.runtime.recorder import open_database, open_stores, telling_all
from definitions.runtime.retries import at_once, is_promised
from definitions.runtime.storage import commit_without_waiting
from resources.errors import PlatformError
from resources.telemetry.logging import get_logger
from sensors.runs import record_end
from sensors.workflow_events import tell_again

if TYPE_CHECKING:
    from dagster import DagsterEvent, DagsterRun

    from definitions.runtime.channel import Channel, Message
    from definitions.runtime.code import CodeLocation
    from resources.events.store import EventStore
    from resources.realtime.store import MessageStore

log = get_logger(__name__)


class _Outcome(NamedTuple):
    """What became of a run: why it has not ended, None if it has; and whether it is to be tried again."""

    problem: str | None
    again: bool = False


ENDS = frozenset({DagsterEventType.RUN_SUCCESS, DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED})


def serve(channel: Channel, code: CodeLocation, *, runs: int, memory_mb: int) -> None:
    """Execute the runs that arrive on `channel` until it closes, `runs` were executed or `memory_mb` is exceeded."""
    commit_without_waiting()
    with DagsterInstance.get() as instance, capture_interrupts():
        event_log = instance.event_log_storage
        if isinstance(event_log, WriteBehindEventLogStorage):
            event_log.expect_a_run()
        channel.send(kind="idle", pid=os.getpid())
        executed = 0
        events, messages = open_stores()
        while not channel.closed:
            for message in channel.receive():
                if "try_again" in message:
                    _try_again(instance, events, message["try_again"])
                    channel.send(kind="idle", pid=os.getpid())
                    continue
                outcome = _execute(instance, code, events, messages, message)
                executed += 1
                # A thread that executes what nobody waits for any more ends with its process.
                old = executed >= runs or resident_megabytes() > memory_mb or has_abandoned_threads()
                channel.send(kind="done", run_id=message["run_id"], **outcome._asdict(), retires=old)
                if old:
                    return


def _execute(
    instance: DagsterInstance, code: CodeLocation, events: EventStore, messages: MessageStore, message: Message
) -> _Outcome:
    """Execute one run."""
    pop_captured_interrupt()  # a cancel that arrived after the end of the run that it was for
    if time.monotonic() > message["lease_until"]:
        return _Outcome("The lease ended before the worker could begin.")
    run_id = message["run_id"]
    end: DagsterEvent | None = None
    milliseconds = 0
    ended = False
    problem = "Execution stopped before the run had ended."
    try:
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return _Outcome(None)
        started = time.monotonic()
        instance.report_engine_event(f"Executing in the warm worker {os.getpid()} of {message['host']}.", run)
        job = code.job_of(instance, run)
        if run.tags.get(ISOLATION_TAG) == "process":
            problem_of_process = execute_isolated(instance, job, run)
            if problem_of_process is None:
                _tell_from_log(instance, events, run)
            return _Outcome(problem_of_process, again=_is_promised(instance, run_id))
        in_other_processes = run.tags.get(EXECUTOR_TAG) == "multiprocess"
        for event in telling_all(instance, job, run, events, messages):
            if event.event_type in ENDS:
                end = event
                milliseconds = round((time.monotonic() - started) * 1000)
        if isinstance(instance.event_log_storage, WriteBehindEventLogStorage):
            instance.event_log_storage.flush()
        if in_other_processes:
            _tell_from_log(instance, events, run)
        if end is not None:
            ended = True
            _announce(events, run, end, milliseconds=milliseconds)
    except BaseException as error:  # noqa: BLE001  # the run's own end is what counts; the worker must outlive it
        problem = f"Execution stopped before the run had ended: {type(error).__name__}: {error}"
        log.warning("run.interrupted", run_id=run_id, error=repr(error))
    if not ended:
        return _Outcome(problem)
    failed = end is not None and end.event_type is DagsterEventType.RUN_FAILURE
    return _Outcome(None, again=failed and _is_promised(instance, run_id))


def _is_promised(instance: DagsterInstance, run_id: str) -> bool:
    try:
        return is_promised(instance, run_id)
    except Exception as error:  # noqa: BLE001  # the daemon asks again
        log.warning("run.retry_unknown", run_id=run_id, error=str(error))
        return False


def _try_again(instance: DagsterInstance, events: EventStore, run_id: str) -> None:
    """Start the retry of a run. What goes wrong here goes wrong again in the daemon, which tells it in the run's log."""
    from definitions.runtime.launch import WorkflowLauncher
    from definitions.runtime.reexecution import Reexecution
    from definitions.workflows import workflows

    try:
        launcher = WorkflowLauncher(instance, open_database(), workflows(), events)
        at_once(instance, run_id, Reexecution(launcher))
    except Exception as error:  # noqa: BLE001
        log.warning("run.retry_not_started", run_id=run_id, error=str(error))


def _tell_from_log(instance: DagsterInstance, events: EventStore, run: DagsterRun) -> None:
    """What a process of its own has not told; the sensors try again if this fails."""
    try:
        tell_again(instance, events, run)
    except PlatformError as error:
        log.warning("run.story_not_told", run_id=run.run_id, error=str(error))


def _announce(events: EventStore, run: DagsterRun, event: DagsterEvent, *, milliseconds: int) -> None:
    try:
        record_end(events, run, event, milliseconds=milliseconds)
    except PlatformError as error:
        log.warning("run.end_not_announced", run_id=run.run_id, error=str(error))
