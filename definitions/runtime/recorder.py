"""Tells the event store what a run does, while it does it, and keeps no step waiting for that.

Steps add to a list, or, where they are executed in processes of their own, Dagster's events about them do; a thread of the run's
own appends what has gathered every few dozen milliseconds. The worker says that a run is done only after the last event was
stored. While the database is away, events wait; if that takes too long they are given up, and told from Dagster's log when the
run has ended (`sensors/workflow_events.py`).
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dagster import DagsterEventType

from assets.partitions import EXECUTOR_TAG, LAUNCHED_TAG, NODE_TAG, WORKFLOW_TAG, node_of, tenant_of
from definitions.runtime.lean.driver import execute
from definitions.runtime.live import executing
from resources.database.resource import shared_database
from resources.errors import ConflictError, PlatformError, UnavailableError
from resources.events.postgres import PostgresEventStore
from resources.realtime.fanout.configured import build_fanout
from resources.realtime.output import RunOutput
from resources.realtime.postgres import PostgresMessages
from resources.settings import Settings
from resources.telemetry.logging import get_logger
from sensors.workflow_events import Story, append_missing, stream_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dagster import DagsterEvent, DagsterInstance, DagsterRun, JobDefinition
    from dagster._core.definitions.job_base import IJob

    from resources.database.postgres import Database
    from resources.events.model import NewEvent
    from resources.events.store import EventStore
    from resources.realtime.store import MessageStore

log = get_logger(__name__)

GATHER_SECONDS = 0.04
PATIENCE_SECONDS = 30.0
PAUSE_SECONDS = 0.25

_ENDS = frozenset({DagsterEventType.RUN_SUCCESS, DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED})


@contextmanager
def telling(events: EventStore, messages: MessageStore, run: DagsterRun) -> Iterator[Recorder | None]:
    """While the block executes the run, its steps tell what they do. None: the run is of no workflow, and has no story."""
    output = RunOutput(messages, run.run_id, tenant=tenant_of(run))
    recorder = Recorder(events, run, output) if WORKFLOW_TAG in run.tags else None
    with executing(run.run_id, recorder):
        try:
            yield recorder
        finally:
            if recorder is not None:
                recorder.close()


def telling_all(
    instance: DagsterInstance, job: IJob, run: DagsterRun, events: EventStore, messages: MessageStore
) -> Iterator[DagsterEvent]:
    """Execute the run; everything that happens is told."""
    in_other_processes = run.tags.get(EXECUTOR_TAG) == "multiprocess"
    with telling(events, messages, run) as recorder:
        for event in execute(instance, job, run):
            if recorder is not None:
                if in_other_processes:
                    recorder.follow(event, job.get_definition())
                recorder.see(event)
            yield event


def open_database() -> Database:
    """The platform's, as all of this process share it."""
    url = Settings().database.url
    assert url is not None  # the pool has refused to start without
    return shared_database(url.get_secret_value(), 4)


def open_stores() -> tuple[EventStore, MessageStore]:
    """Where this process tells what it does."""
    database = open_database()
    fanout = build_fanout(database, Settings().realtime.redis_url)
    return PostgresEventStore(database), PostgresMessages(database, fanout)


class Recorder:
    """The story of one run, as it unfolds. Steps may tell it from any thread."""

    def __init__(self, events: EventStore, run: DagsterRun, output: RunOutput) -> None:
        self._events = events
        self._output = output
        self._story = Story(run)
        self._stream = stream_of(run.run_id)
        self._tenant = tenant_of(run)
        self._waiting: list[NewEvent] = []
        self._something = threading.Event()
        self._closing = threading.Event()
        self._attempts: dict[str, int] = {}
        self._began_at: dict[str, float] = {}
        self._shown: dict[str, Any] = {}
        self._completed = 0
        self._outputs: Any = None
        self._began = time.monotonic()
        if run.tags.get(LAUNCHED_TAG) != run.run_id:
            self._add(
                self._story.created()
            )  # otherwise the launcher has told it; a retry has the tags of the run before it
        self._add(self._story.started())
        self._thread = threading.Thread(target=self._write_until_closed, name="workflow-events", daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------ what steps tell

    def node_started(self, key: str, type: str, *, attempt: int, given: Any) -> None:
        self._attempts[key] = attempt
        self._add(self._story.node_started(key, attempt=attempt, type=type, given=given))

    def node_completed(
        self, key: str, type: str, *, attempt: int, given: Any, seconds: float, inner: bool = False
    ) -> None:
        """`inner`: the node is within a step, and no step itself."""
        self._completed += not inner
        self._add(self._story.node_completed(key, attempt=attempt, type=type, given=given, seconds=seconds))

    def node_failed(self, key: str, *, attempt: int, error: str) -> None:
        """A node within a step has failed; whether the step does is the step's matter."""
        self._add(self._story.node_failed(key, attempt=attempt, error=error))

    def outputs(self, values: Any) -> None:
        self._outputs = values

    def emit(self, key: str, progress: Mapping[str, Any]) -> None:
        """Output in progress is for those who listen now; the story holds the whole."""
        self._output.write(key, progress)

    # ------------------------------------------------------------------ what Dagster tells

    def see(self, event: DagsterEvent) -> None:
        """An event of the run, as the executor gave it."""
        key = node_of(event.step_key or "")
        match event.event_type:
            case DagsterEventType.STEP_FAILURE | DagsterEventType.STEP_UP_FOR_RETRY:
                self._add(self._story.step_failed(event, attempt=self._attempts.get(key, 1)))
            case DagsterEventType.STEP_SKIPPED:
                self._add(self._story.node_skipped(key))
            case kind if kind in _ENDS:
                seconds = time.monotonic() - self._began
                self._add(self._story.ended(event, seconds=seconds, nodes=self._completed, outputs=self._outputs))

    def follow(self, event: DagsterEvent, job: JobDefinition) -> None:
        """An event about a step that cannot tell of itself. What it was given is known only when it has an output."""
        key = node_of(event.step_key or "")
        match event.event_type:
            case DagsterEventType.STEP_START | DagsterEventType.STEP_RESTARTED:
                assert event.node_handle is not None
                kind = job.get_node(event.node_handle).tags.get(NODE_TAG)
                if kind is not None:
                    self._began_at[key] = time.monotonic()
                    self.node_started(key, kind, attempt=self._attempts.get(key, 0) + 1, given=None)
            case DagsterEventType.STEP_OUTPUT:
                shown = event.step_output_data.metadata.get("output")
                self._shown.setdefault(key, getattr(shown, "value", None))
                if key == "outputs":
                    self.outputs(self._shown[key])
            case DagsterEventType.STEP_SUCCESS if key in self._began_at:
                assert event.node_handle is not None
                kind = job.get_node(event.node_handle).tags[NODE_TAG]
                seconds = time.monotonic() - self._began_at.pop(key)
                given = self._shown.pop(key, None)
                self.node_completed(key, kind, attempt=self._attempts[key], given=given, seconds=seconds)

    def close(self) -> None:
        """Return when everything is stored, or was given up."""
        self._closing.set()
        self._something.set()
        self._thread.join()
        self._output.close()

    # ------------------------------------------------------------------ writing

    def _add(self, event: NewEvent) -> None:
        self._waiting.append(event)
        if not self._something.is_set():
            self._something.set()

    def _write_until_closed(self) -> None:
        while True:
            self._something.wait()
            self._closing.wait(GATHER_SECONDS)
            self._something.clear()
            closing = self._closing.is_set()
            count = len(self._waiting)
            batch = self._waiting[:count]
            del self._waiting[:count]
            if batch:
                self._write(batch)
            if closing and not self._waiting:
                return

    def _write(self, batch: list[NewEvent]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                self._events.append(self._stream, batch, tenant=self._tenant, durable=False)
            except UnavailableError as error:
                if time.monotonic() > deadline:
                    log.warning("workflow.events_given_up", run_id=self._stream.id, events=len(batch), error=str(error))
                    return
                time.sleep(PAUSE_SECONDS)
            except ConflictError:  # the run is executed again: some of it was told the first time
                append_missing(self._events, batch, stream=self._stream, tenant=self._tenant)
                return
            except PlatformError as error:
                log.warning("workflow.events_refused", run_id=self._stream.id, events=len(batch), error=str(error))
                return
            else:
                return
