"""What runs by the clock."""

from datetime import UTC, timedelta

import dagster as dg

from definitions.jobs import RANK_CONCEPTS, REPORT_USAGE

RANK_HOURLY = dg.ScheduleDefinition(
    name="rank_concepts_hourly",
    job=RANK_CONCEPTS,
    cron_schedule="7 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Ranks the concepts again, a few minutes after each full hour.",
)


@dg.schedule(
    name="report_usage_daily",
    job=REPORT_USAGE,
    cron_schedule="11 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Adds up the usage of the day that is over, a few minutes after midnight (UTC).",
)
def report_daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run a day, however often the daemon asks."""
    day = (context.scheduled_execution_time.astimezone(UTC) - timedelta(days=1)).date().isoformat()
    return dg.RunRequest(run_key=day, partition_key=day)


SCHEDULES = [RANK_HOURLY, report_daily]
