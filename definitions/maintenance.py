"""Jobs that keep the platform itself in order."""

from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import Field

from assets.failures import RETRY_POLICY, failures
from definitions.runtime.outputs import Folder, outputs_folder
from definitions.runtime.retention import prune
from resources.database.postgres import Database
from resources.database.resource import DatabaseResource
from resources.settings import Settings


class Retention(dg.Config):
    """What to delete."""

    days: int = Field(
        default=90, ge=1, description="Runs that ended longer ago lose the events and values of their steps"
    )
    dry_run: bool = Field(default=False, description="Only count")


@dg.op(retry_policy=RETRY_POLICY, tags={"dagster/compute_kind": "postgres"})
def delete_old_history(
    context: dg.OpExecutionContext,
    config: Retention,
    database: dg.ResourceParam[Database],
    outputs: dg.ResourceParam[Folder],
) -> dg.Output[int]:
    """Delete the events and values of steps of old runs, and tell how many."""
    with failures():
        pruned = prune(
            context.instance,
            database,
            outputs,
            before=datetime.now(UTC) - timedelta(days=config.days),
            dry_run=config.dry_run,
        )
    told = {
        "runs": pruned.runs,
        "events": pruned.events,
        "runs_with_values": pruned.runs_with_outputs,
        "orphaned_files": pruned.orphans,
        "keys": pruned.keys,
        "unused_documents": pruned.blobs,
        "dry_run": config.dry_run,
    }
    return dg.Output(pruned.events, metadata={name: value for name, value in told.items() if value is not None})


@dg.graph
def prune_history_graph() -> None:
    """Take away what nobody needs any more of runs that ended long ago."""
    delete_old_history()


PRUNE_HISTORY = prune_history_graph.to_job(
    name="prune_history",
    resource_defs={
        "database": DatabaseResource(url=dg.EnvVar("AIW_DATABASE__URL")),
        "outputs": dg.ResourceDefinition(lambda _: outputs_folder(Settings())),
    },
    executor_def=dg.in_process_executor,
    description="Takes away the events and values of steps of runs that ended long ago. Runs and assets keep their history.",
)


def prune_daily(keep_days: int) -> dg.ScheduleDefinition:
    """The schedule, which runs unless everything is to be kept (`keep_days` 0)."""
    config = {"ops": {"delete_old_history": {"config": {"days": max(1, keep_days)}}}}
    status = dg.DefaultScheduleStatus.RUNNING if keep_days else dg.DefaultScheduleStatus.STOPPED
    return dg.ScheduleDefinition(
        name="prune_history_daily",
        job=PRUNE_HISTORY,
        cron_schedule="23 3 * * *",
        run_config=config,
        default_status=status,
        description="Prunes the history of runs each night.",
    )
