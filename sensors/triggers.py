"""The clock and assets start published workflows. Both read what is published at each look, so nothing has to be loaded anew.

A time of a schedule has one key, and so has a materialisation of an asset: a look that is repeated, or that comes twice, starts
nothing twice. Where the platform was down, the last missed time of a schedule within a day is made up for; those before are not.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import dagster as dg
import orjson

from assets.partitions import CORRELATION_TAG, DEFAULT_TENANT, TENANT_TAG
from resources.errors import InvalidInputError, LimitExceededError, NotFoundError
from resources.events.catalog import ErrorOccurred
from resources.events.model import StreamId
from resources.events.store import EventStore
from resources.workflows.definitions import Published, WorkflowDefinitions
from resources.workflows.triggers import AssetWatch, Start, asset_watches_of, schedules_of

Launch = Callable[[Start], str]
"""Starts it, once for its key, and gives the id of the run."""

MATERIALISATIONS_PER_TICK = 100


def due_schedules(published: Sequence[Published], after: datetime, now: datetime) -> Iterator[Start]:
    """The starts for which it became time within (after, now]: of each schedule the last one."""
    for workflow in published:
        for schedule in schedules_of(workflow):
            at = schedule.due(after, now)
            if at is not None:
                yield schedule.start(at)


def build_schedules_sensor(*, launch: Launch) -> dg.SensorDefinition:
    """The sensor that is the clock of all published workflows, running from the start."""

    @dg.sensor(
        name="workflow_schedules",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=1,
        description="Starts published workflows at the times of their schedules.",
    )
    def sensor(context: dg.SensorEvaluationContext, events: dg.ResourceParam[EventStore]) -> dg.SensorResult:
        now = datetime.now(UTC)
        after = datetime.fromisoformat(context.cursor) if context.cursor else now
        published = definitions_of(events).list(tenant=None)
        started = [run for start in due_schedules(published, after, now) if (run := try_start(start, launch, events))]
        return dg.SensorResult(
            skip_reason=f"Started {', '.join(started) or 'nothing'}; looked until {now.isoformat(timespec='seconds')}.",
            cursor=now.isoformat(),
        )

    return sensor


def build_assets_sensor(*, launch: Launch) -> dg.SensorDefinition:
    """The sensor that sees assets materialise, running from the start."""

    @dg.sensor(
        name="workflow_assets",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=2,
        description="Starts published workflows when assets that they wait for were materialised.",
    )
    def sensor(context: dg.SensorEvaluationContext, events: dg.ResourceParam[EventStore]) -> dg.SensorResult:
        watches = [
            watch for published in definitions_of(events).list(tenant=None) for watch in asset_watches_of(published)
        ]
        cursors: dict[str, int] = orjson.loads(context.cursor) if context.cursor else {}
        reached: dict[str, int] = {}
        started = []
        for asset in sorted({asset for watch in watches for asset in watch.assets}):
            wanting = [watch for watch in watches if asset in watch.assets]
            position, starts = _materialised(context.instance, asset, wanting, cursors.get(asset))
            if position is not None:
                reached[asset] = position
            started += [run for start in starts if (run := try_start(start, launch, events))]
        return dg.SensorResult(
            skip_reason=f"Looked for {len(watches)} workflows; started {', '.join(started) or 'nothing'}.",
            cursor=orjson.dumps(reached).decode(),
        )

    return sensor


def _materialised(
    instance: dg.DagsterInstance, asset: str, watches: Sequence[AssetWatch], cursor: int | None
) -> tuple[int | None, list[Start]]:
    """How far the asset's materialisations were looked at (None: there are none yet), and what they start.

    An asset that nobody waited for before is looked at from when the first workflow that waits was published.
    """
    key = dg.AssetKey.from_user_string(asset)
    if cursor is None:
        since = min(watch.since for watch in watches).timestamp()
        records_filter = dg.AssetRecordsFilter(asset_key=key, after_timestamp=since)
    else:
        records_filter = dg.AssetRecordsFilter(asset_key=key, after_storage_id=cursor)
    found = instance.fetch_materializations(records_filter, limit=MATERIALISATIONS_PER_TICK, ascending=True).records
    starts = []
    for record in found:
        run = instance.get_run_by_id(record.run_id)
        tags = run.tags if run is not None else {}
        tenant = tags.get(TENANT_TAG, DEFAULT_TENANT)
        starts += [
            watch.start(
                asset,
                record.storage_id,
                cause=run.run_id if run is not None else None,
                correlation_id=tags.get(CORRELATION_TAG),
            )
            for watch in watches
            if watch.tenant == tenant and record.timestamp >= watch.since.timestamp()
        ]
    return (found[-1].storage_id if found else cursor), starts


def definitions_of(events: EventStore) -> WorkflowDefinitions:
    """What is published: kept from look to look, as long as the event store is the same."""
    kept = _definitions.get(id(events))
    if kept is None:
        _definitions.clear()
        kept = _definitions[id(events)] = (events, WorkflowDefinitions(events))
    return kept[1]


_definitions: dict[int, tuple[EventStore, WorkflowDefinitions]] = {}


def try_start(start: Start, launch: Launch, events: EventStore) -> str | None:
    """The run, or None: then what is wrong was told as an event, once for each reason. A server that is away is raised."""
    try:
        return launch(start)
    except (InvalidInputError, NotFoundError, LimitExceededError) as error:
        fact = ErrorOccurred(
            error_type="trigger_failed",
            message=f"The workflow {start.workflow!r} was not started by its trigger ({start.trigger}): {error.message}",
            component="workflow_triggers",
        )
        events.append(StreamId("system", "workflow_triggers"), [fact.new()], tenant=start.tenant)
        return None
