"""The read models as assets: materialising one builds it anew from the first event on; its lag is a check.

They are kept up to date by the event worker all the time. Building one anew is for a projection whose code has changed in a way
that its version does not tell, or whose rows nobody trusts any more. Readers never see a half-built one.
"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import dagster as dg

from assets.documents import OWNERS
from assets.failures import RETRY_POLICY, failures
from resources.events.projections import PROJECTIONS
from resources.events.projections.lag import LATE, lag_of
from resources.events.projections.model import Progress, Projection
from resources.events.projections.projector import Projector
from resources.events.projections.store import ProjectionStore
from resources.events.store import EventStore

_REPORT_EVERY = 5.0


def rebuild(
    projection: Projection,
    *,
    events: EventStore,
    projections: ProjectionStore,
    report: dg.DagsterLogManager | None = None,
) -> dg.MaterializeResult[None]:
    """Build the projection anew, and tell what that took."""
    started = reported = time.monotonic()

    def progress(done: Progress) -> None:
        nonlocal reported
        if report is not None and time.monotonic() - reported >= _REPORT_EVERY:
            reported = time.monotonic()
            report.info(f"{projection.name}: {done.share:.0%}, {done.events} events, {done.seconds:.0f} s")

    applied = Projector(events, projections).rebuild(projection, progress=progress)
    seconds = time.monotonic() - started
    status = projections.status(projection.name)
    return dg.MaterializeResult(
        metadata={
            "events": dg.MetadataValue.int(applied),
            "seconds": dg.MetadataValue.float(round(seconds, 3)),
            "events_per_second": dg.MetadataValue.float(round(applied / seconds, 1) if seconds else 0.0),
            "rows": dg.MetadataValue.int(projections.size(projection.name)),
            "position": dg.MetadataValue.int(status.position),
            "version": dg.MetadataValue.int(status.version),
        }
    )


def _asset_of(projection: Projection) -> dg.AssetsDefinition:
    @dg.asset(
        key=["read_models", projection.name],
        group_name="read_models",
        kinds={"python", "postgres"},
        owners=OWNERS,
        code_version=str(projection.version),
        retry_policy=RETRY_POLICY,
        description=f"{type(projection).__doc__ or ''} Built from: {', '.join(sorted(projection.types))}.",
    )
    def built_anew(
        context: dg.AssetExecutionContext,
        events: dg.ResourceParam[EventStore],
        projections: dg.ResourceParam[ProjectionStore],
    ) -> dg.MaterializeResult[None]:
        with failures():
            return rebuild(projection, events=events, projections=projections, report=context.log)

    return built_anew


ASSETS: Final = tuple(_asset_of(projection) for projection in PROJECTIONS)


@dg.multi_asset_check(
    name="check_lag",
    specs=[
        dg.AssetCheckSpec("is_up_to_date", asset=asset.key, description=f"No event waits longer than {LATE:.0f} s")
        for asset in ASSETS
    ],
    can_subset=True,
)
def check_lag(
    context: dg.AssetCheckExecutionContext,
    events: dg.ResourceParam[EventStore],
    projections: dg.ResourceParam[ProjectionStore],
) -> Iterator[dg.AssetCheckResult]:
    """The read models keep up with what happens."""
    for key in sorted(context.selected_asset_check_keys):
        with failures():
            status = projections.status(key.asset_key.path[-1])
            lag = lag_of(events, status, now=datetime.now(UTC))
        yield dg.AssetCheckResult(
            asset_key=key.asset_key,
            check_name=key.name,
            passed=status.state != "failed" and lag.seconds <= LATE,
            severity=dg.AssetCheckSeverity.ERROR if status.state == "failed" else dg.AssetCheckSeverity.WARN,
            metadata={
                "positions_behind": dg.MetadataValue.int(lag.positions),
                "seconds_behind": dg.MetadataValue.float(round(lag.seconds, 3)),
                "state": dg.MetadataValue.text(status.state),
                "error": dg.MetadataValue.text(status.error or ""),
            },
        )
