"""Ends of runs become events: what Dagster did is part of the one story that the event store tells.

Warm workers tell the end of a run at once. The sensors here tell it again, a little later, for runs that ended elsewhere (in
a process of their own, or with a worker that was killed). The event's id is made from the run's: it is stored once.
They complete the story of a workflow's run in the same way (`workflow_events.py`).
"""

import uuid

import dagster as dg

from assets.partitions import CORRELATION_TAG, PARTITION_TAG, tenant_of
from resources.errors import ConflictError
from resources.events.model import EventMetadata, NewEvent, StreamId
from resources.events.store import EventStore
from sensors.workflow_events import tell_again

_NAMESPACE = uuid.UUID("6f0a5cf0-3c6e-4a6b-9a50-6f1f4d0c2b0e")

_MAX_ERROR_CHARS = 2000


def record_end(events: EventStore, run: dg.DagsterRun, event: dg.DagsterEvent, *, milliseconds: int | None) -> None:
    """Append `run.succeeded` or `run.failed` (also for a cancelled run) to the run's stream."""
    facts = {
        "run_id": run.run_id,
        "job": run.job_name,
        "partition": run.tags.get(PARTITION_TAG),
        "duration_ms": milliseconds,
    }
    if event.event_type is dg.DagsterEventType.RUN_SUCCESS:
        kind = "run.succeeded"
    else:
        kind = "run.failed"
        cancelled = event.event_type is dg.DagsterEventType.RUN_CANCELED
        facts |= {"outcome": "cancelled" if cancelled else "failed", "error": (event.message or "")[:_MAX_ERROR_CHARS]}
    fact = NewEvent(
        type=kind,
        data=facts,
        event_id=uuid.uuid5(_NAMESPACE, f"{run.run_id} {kind}"),
        metadata=EventMetadata(correlation_id=run.tags.get(CORRELATION_TAG), source="dagster"),
    )
    try:
        events.append(StreamId("run", run.run_id), [fact], tenant=tenant_of(run))
    except ConflictError as error:
        if error.code != "event_id_reused":
            raise
        # Told already, by one whose clock measured another duration or who had other words for the failure.


def build_run_end_sensors() -> list[dg.SensorDefinition]:
    """One sensor for each way in which a run can end, running from the start, for all jobs."""

    def record(context: dg.RunStatusSensorContext, events: EventStore) -> None:
        statistics = context.instance.get_run_stats(context.dagster_run.run_id)
        known = statistics.start_time is not None and statistics.end_time is not None
        seconds = (statistics.end_time or 0) - (statistics.start_time or 0) if known else None
        record_end(
            events,
            context.dagster_run,
            context.dagster_event,
            milliseconds=None if seconds is None else max(0, round(seconds * 1000)),
        )
        tell_again(context.instance, events, context.dagster_run)

    def build(name: str, status: dg.DagsterRunStatus, description: str) -> dg.SensorDefinition:
        @dg.run_status_sensor(
            run_status=status,
            name=name,
            default_status=dg.DefaultSensorStatus.RUNNING,
            minimum_interval_seconds=5,
            description=description,
        )
        def sensor(context: dg.RunStatusSensorContext, events: dg.ResourceParam[EventStore]) -> None:
            record(context, events)

        return sensor

    return [
        build("run_succeeded", dg.DagsterRunStatus.SUCCESS, "Records the end of each run that succeeded as an event."),
        build("run_failed", dg.DagsterRunStatus.FAILURE, "Records the end of each run that failed as an event."),
        build("run_cancelled", dg.DagsterRunStatus.CANCELED, "Records the end of each cancelled run as an event."),
    ]
