"""What runs by the clock."""

import dagster as dg

from definitions.jobs import RANK_CONCEPTS

RANK_HOURLY = dg.ScheduleDefinition(
    name="rank_concepts_hourly",
    job=RANK_CONCEPTS,
    cron_schedule="7 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Ranks the concepts again, a few minutes after each full hour.",
)

SCHEDULES = [RANK_HOURLY]
