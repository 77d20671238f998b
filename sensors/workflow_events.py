"""The story of a workflow's run as events: one stream a run, `workflow/<run id>`.

Workers tell it while it happens. What they could not tell (a worker was killed, a run was executed in a process of its own) is
told from Dagster's log when the run has ended. An event's id is made from the run, the step, the try and what happened, so
the two never tell anything twice.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.partitions import (
    CORRELATION_TAG,
    NODES_TAG,
    PARTITION_INPUT_TAG,
    REVISION_TAG,
    TRIGGER_TAG,
    USER_TAG,
    WORKFLOW_TAG,
    given_inputs,
    node_of,
    tenant_of,
)
from resources.errors import ConflictError
from resources.events.catalog import (
    NodeCompleted,
    NodeFailed,
    NodeRetried,
    NodeSkipped,
    NodeStarted,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowCreated,
    WorkflowFailed,
    WorkflowStarted,
)
from resources.events.model import EventMetadata, NewEvent, StreamId
from resources.events.schema import EventData
from resources.events.store import EventStore

if TYPE_CHECKING:
    from dagster_shared.error import SerializableErrorInfo

_NAMESPACE = uuid.UUID("2c1c9a54-5d2e-4f0f-9d1b-7c0f8b6a4e11")
_MAX_ERROR_CHARS = 4000

_LOGGED = {
    dg.DagsterEventType.STEP_START,
    dg.DagsterEventType.STEP_RESTARTED,
    dg.DagsterEventType.STEP_OUTPUT,
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_UP_FOR_RETRY,
    dg.DagsterEventType.STEP_SKIPPED,
    dg.DagsterEventType.RUN_START,
    dg.DagsterEventType.RUN_SUCCESS,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.RUN_CANCELED,
}


def stream_of(run_id: str) -> StreamId:
    """Where the story of a run is."""
    return StreamId("workflow", run_id)


class Story:
    """Makes the events of one run. Times are when things happened; None: now."""

    def __init__(self, run: dg.DagsterRun) -> None:
        self.run = run
        self.id = run.run_id
        self._metadata = EventMetadata(
            correlation_id=run.tags.get(CORRELATION_TAG),
            user_id=run.tags.get(USER_TAG),
            source="dagster",
            tags={"workflow": run.job_name},
        )

    def created(self, at: datetime | None = None) -> NewEvent:
        return self._event(WorkflowCreated(**self._beginning()), at=at)

    def started(self, at: datetime | None = None) -> NewEvent:
        started = WorkflowStarted(
            **self._beginning(),
            revision=int(self.run.tags.get(REVISION_TAG, "0")),
            parent_run_id=self.run.parent_run_id,
            nodes_total=int(self.run.tags[NODES_TAG]) if NODES_TAG in self.run.tags else None,
            trigger={"type": self.run.tags[TRIGGER_TAG]} if TRIGGER_TAG in self.run.tags else None,
        )
        return self._event(started, at=at)

    def node_started(
        self, key: str, *, attempt: int, type: str | None = None, given: Any = None, at: datetime | None = None
    ) -> NewEvent:
        fact = NodeStarted(workflow_id=self.id, node_id=key, node_type=type, attempt=attempt, input_data=given)
        return self._event(fact, f"{key} {attempt}", at)

    def node_completed(
        self,
        key: str,
        *,
        attempt: int,
        type: str | None = None,
        given: Any = None,
        seconds: float | None = None,
        at: datetime | None = None,
    ) -> NewEvent:
        fact = NodeCompleted(
            workflow_id=self.id,
            node_id=key,
            node_type=type,
            attempt=attempt,
            output_data=given,
            duration_ms=_milliseconds(seconds),
        )
        return self._event(fact, f"{key} {attempt}", at)

    def node_failed(self, key: str, *, attempt: int, error: str, at: datetime | None = None) -> NewEvent:
        fact = NodeFailed(
            workflow_id=self.id,
            node_id=key,
            error_message=error[:_MAX_ERROR_CHARS],
            attempt=attempt,
        )
        return self._event(fact, f"{key} {attempt}", at)

    def node_retried(
        self, key: str, *, attempt: int, error: str, delay: float = 0.0, at: datetime | None = None
    ) -> NewEvent:
        fact = NodeRetried(
            workflow_id=self.id,
            node_id=key,
            attempt=attempt,
            error_message=error[:_MAX_ERROR_CHARS],
            delay_seconds=max(0.0, delay),
        )
        return self._event(fact, f"{key} {attempt}", at)

    def step_failed(self, event: dg.DagsterEvent, *, attempt: int, at: datetime | None = None) -> NewEvent:
        """What `STEP_FAILURE` and `STEP_UP_FOR_RETRY` say."""
        key, reason = node_of(event.step_key or ""), reason_of(event)
        if event.event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY:
            delay = float(event.step_retry_data.seconds_to_wait or 0)
            return self.node_retried(key, attempt=attempt, error=reason, delay=delay, at=at)
        return self.node_failed(key, attempt=attempt, error=reason, at=at)

    def node_skipped(self, key: str, *, at: datetime | None = None) -> NewEvent:
        return self._event(NodeSkipped(workflow_id=self.id, node_id=key), key, at)

    def ended(
        self,
        event: dg.DagsterEvent,
        *,
        seconds: float | None,
        nodes: int,
        outputs: Any = None,
        at: datetime | None = None,
    ) -> NewEvent:
        """How the run ended, by the event of Dagster that says so."""
        fact: EventData
        milliseconds = _milliseconds(seconds)
        told = {"workflow_id": self.id, "workflow_type": self._beginning()["workflow_type"]}
        if event.event_type is dg.DagsterEventType.RUN_SUCCESS:
            fact = WorkflowCompleted(**told, output_data=outputs, duration_ms=milliseconds or 0, nodes_executed=nodes)
        elif event.event_type is dg.DagsterEventType.RUN_CANCELED:
            fact = WorkflowCancelled(**told, reason=event.message, duration_ms=milliseconds)
        else:
            failed = event.job_failure_data.first_step_failure_event
            fact = WorkflowFailed(
                **told,
                error_message=(reason_of(failed) if failed is not None else event.message or "")[:_MAX_ERROR_CHARS],
                failed_node=node_of(failed.step_key or "") if failed is not None else None,
                duration_ms=milliseconds,
            )
        return self._event(fact, at=at)

    def _beginning(self) -> dict[str, Any]:
        run = self.run
        return {
            "workflow_id": self.id,
            "workflow_type": run.tags.get(WORKFLOW_TAG, run.job_name),
            "input_data": given_inputs(run, run.tags.get(PARTITION_INPUT_TAG)) or None,
            "user_id": run.tags.get(USER_TAG),
        }

    def _event(self, fact: EventData, what: str = "", at: datetime | None = None) -> NewEvent:
        return NewEvent(
            type=fact.event_type,
            data=fact.model_dump(mode="json"),
            event_id=uuid.uuid5(_NAMESPACE, f"{self.id} {fact.event_type} {what}"),
            metadata=self._metadata,
            occurred_at=at or datetime.now(UTC),
        )


def reason_of(event: dg.DagsterEvent) -> str:
    """Why a step failed, in the words of whoever raised it."""
    if event.event_type is dg.DagsterEventType.STEP_UP_FOR_RETRY:
        error: SerializableErrorInfo | None = event.step_retry_data.error
    else:
        failure = event.step_failure_data
        if failure.user_failure_data is not None and failure.user_failure_data.description:
            return str(failure.user_failure_data.description)
        error = failure.error
    while error is not None and error.cause is not None:
        error = error.cause
    return str(error.message).strip() if error is not None else (event.message or "The step failed.")


def append_missing(events: EventStore, found: Sequence[NewEvent], *, stream: StreamId, tenant: str) -> int:
    """Append those of the events that are not stored, in order. Returns how many these were."""
    stored = {event.event_id for event in events.find([event.event_id for event in found], tenant=tenant)}
    missing = [event for event in found if event.event_id not in stored]
    for event in missing:
        try:
            events.append(stream, [event], tenant=tenant)
        except ConflictError as error:  # told meanwhile, in other words
            if error.code != "event_id_reused":
                raise
    return len(missing)


def tell_again(instance: dg.DagsterInstance, events: EventStore, run: dg.DagsterRun) -> int:
    """Complete the story of a run that has ended, from Dagster's log. Returns how many events had been missing."""
    if WORKFLOW_TAG not in run.tags:
        return 0
    return append_missing(events, list(_from_log(instance, run)), stream=stream_of(run.run_id), tenant=tenant_of(run))


def _from_log(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Iterator[NewEvent]:
    story = Story(run)
    entries = [
        (entry.get_dagster_event(), entry.timestamp) for entry in instance.all_logs(run.run_id, of_type=set(_LOGGED))
    ]
    nodes = _nodes_in(event for event, _ in entries)
    attempts: dict[str, int] = {}
    began: dict[str, float] = {}
    run_began = None
    done = 0
    first = entries[0][1] if entries else None
    yield story.created(_time(first) if first is not None else None)
    for event, timestamp in entries:
        key, at = node_of(event.step_key or ""), _time(timestamp)
        match event.event_type:
            case dg.DagsterEventType.RUN_START:
                run_began = timestamp
                yield story.started(at)
            case dg.DagsterEventType.STEP_START | dg.DagsterEventType.STEP_RESTARTED:
                attempts[key] = attempts.get(key, 0) + 1
                began[key] = timestamp
                if key in nodes:
                    yield story.node_started(key, attempt=attempts[key], given=nodes[key].get("input"), at=at)
            case dg.DagsterEventType.STEP_SUCCESS if key in nodes:
                done += 1
                seconds = timestamp - began.get(key, timestamp)
                given = nodes[key].get("output")
                yield story.node_completed(key, attempt=attempts.get(key, 1), given=given, seconds=seconds, at=at)
            case dg.DagsterEventType.STEP_FAILURE | dg.DagsterEventType.STEP_UP_FOR_RETRY:
                yield story.step_failed(event, attempt=attempts.get(key, 1), at=at)
            case dg.DagsterEventType.STEP_SKIPPED:
                yield story.node_skipped(key, at=at)
            case dg.DagsterEventType.RUN_SUCCESS | dg.DagsterEventType.RUN_FAILURE | dg.DagsterEventType.RUN_CANCELED:
                seconds_of_run = None if run_began is None else timestamp - run_began
                yield story.ended(event, seconds=seconds_of_run, nodes=done, outputs=_outputs_in(entries), at=at)


def _nodes_in(found: Iterator[dg.DagsterEvent]) -> dict[str, Mapping[str, Any]]:
    """The steps that are nodes, with what their outputs' metadata show; steps that only collect have no input there."""
    nodes: dict[str, Mapping[str, Any]] = {}
    for event in found:
        key = node_of(event.step_key or "")
        if event.event_type is dg.DagsterEventType.STEP_OUTPUT:
            shown = {name: getattr(value, "value", None) for name, value in event.step_output_data.metadata.items()}
            if "input" in shown:
                nodes[key] = shown
        elif event.event_type in {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.STEP_UP_FOR_RETRY}:
            nodes.setdefault(key, {})
    return nodes


def _outputs_in(entries: Sequence[tuple[dg.DagsterEvent, float]]) -> Any:
    for event, _ in entries:
        if event.event_type is dg.DagsterEventType.STEP_OUTPUT and node_of(event.step_key or "") == "outputs":
            value = event.step_output_data.metadata.get("output")
            return getattr(value, "value", None)
    return None


def _time(timestamp: float) -> datetime:
    return datetime.fromtimestamp(timestamp, UTC)


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else max(0, round(seconds * 1000))
