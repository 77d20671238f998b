"""Events start runs: the sensor reads the event store by position and asks for one run a received document.

At least once: the cursor moves on only after the tick has succeeded, so a tick that dies is repeated. At most one run an
event: the run key is the event's id. What a run does is idempotent, so neither the repetition nor a race does harm.
"""

from collections.abc import Callable, Collection, Sequence

import dagster as dg

from assets.documents import RECEIVED
from assets.partitions import CORRELATION_TAG, DOCUMENTS, POSITION_TAG, TENANT_TAG
from resources.events.model import RecordedEvent
from resources.events.store import EventStore
from sensors.cursors import PlannedRun, next_cursor, parse_cursor, plan_document_runs

DOCUMENT_EVENTS = "document_events"
EVENTS_PER_TICK = 100

# Of pairs of tenant and run key, those whose runs are the sensor's to ask for.
Claim = Callable[[Sequence[tuple[str, str]]], Collection[tuple[str, str]]]

RETRIES_TAG = "dagster/max_retries"
RETRIES_OF_LOST_RUNS = "3"
"""A run that lost its worker or its database under way is executed again; one whose step failed is not (dagster.yaml)."""


def document_events(events: EventStore, cursor: str | None, *, claim: Claim = set) -> dg.SensorResult | dg.SkipReason:
    """Runs for the documents received since `cursor`, of all tenants; at most EVENTS_PER_TICK of them.

    None for those whose run somebody else has started, as `claim` says.
    """
    position = parse_cursor(cursor)
    found = events.read_all(after_position=position, types={"document.received"}, limit=EVENTS_PER_TICK, tenant=None)
    if not found:
        return dg.SkipReason(f"No document was received after position {position}.")
    planned = plan_document_runs(found)
    ours = claim([(run.tenant, run.run_key) for run in planned])
    planned = [run for run in planned if (run.tenant, run.run_key) in ours]
    return dg.SensorResult(
        run_requests=[_run_request(run) for run in planned],
        dynamic_partitions_requests=[DOCUMENTS.build_add_request(sorted({run.partition for run in planned}))]
        if planned
        else None,
        asset_events=[_arrival(event) for event in found],
        cursor=next_cursor(position, found),
    )


def build_document_events_sensor(*, job_name: str, claim: Claim) -> dg.SensorDefinition:
    """The sensor that launches the job `job_name`, running from the start."""

    @dg.sensor(
        name=DOCUMENT_EVENTS,
        job_name=job_name,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=1,
        description="Starts one run for each document that was received, in the order of the event store.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, events: dg.ResourceParam[EventStore]
    ) -> dg.SensorResult | dg.SkipReason:
        return document_events(events, context.cursor, claim=claim)

    return sensor


def _run_request(run: PlannedRun) -> dg.RunRequest:
    tags = {TENANT_TAG: run.tenant, POSITION_TAG: str(run.position), RETRIES_TAG: RETRIES_OF_LOST_RUNS}
    if run.correlation_id is not None:
        tags[CORRELATION_TAG] = run.correlation_id
    return dg.RunRequest(run_key=run.run_key, partition_key=run.partition, tags=tags)


def _arrival(event: RecordedEvent) -> dg.AssetMaterialization:
    """The document on the first page of its lineage: where it came from, and the event that says so."""
    return dg.AssetMaterialization(
        asset_key=RECEIVED.key,
        partition=str(event.data["document_id"]),
        metadata={
            "source": str(event.data["uri"]),
            "bytes": int(event.data["size_bytes"]),
            "media_type": str(event.data["media_type"]),
            "event": str(event.event_id),
            "position": event.position,
        },
        tags={"dagster/data_version": str(event.data["sha256"])[:16]},
    )
