"""What Dagster loads. Everything is put together here, and nothing is decided here."""

import dagster as dg

from assets.prompts import PROMPTS
from assets.table import ASSET_KEYS, ASSETS, CHECKS
from definitions.evals import EVALS
from definitions.jobs import INGEST_DOCUMENT, JOBS, RANK_CONCEPTS
from definitions.maintenance import PRUNE_HISTORY, prune_daily
from definitions.resources import build_resources
from definitions.runtime import starter
from definitions.runtime.outputs import build_output_io_manager
from definitions.schedules import SCHEDULES
from definitions.workflows import load, workflows
from resources.settings import Settings
from sensors.backfills import build_backfills_sensor
from sensors.events import build_document_events_sensor
from sensors.launches import build_unfinished_launches_sensor
from sensors.prompts import build_prompts_sensor
from sensors.ranking import build_ranking_sensor
from sensors.routing import build_event_routes_sensor
from sensors.runs import build_run_end_sensors
from sensors.triggers import build_assets_sensor, build_schedules_sensor

_WORKFLOWS = load(
    workflows(),
    taken={
        *(job.name for job in (*JOBS, PRUNE_HISTORY)),
        *ASSET_KEYS,
        *(spec.key.to_user_string() for spec in PROMPTS),
    },
)

defs = dg.Definitions(
    assets=[*ASSETS, *PROMPTS, *_WORKFLOWS.assets],
    asset_checks=[*CHECKS, *EVALS],
    jobs=[*JOBS, PRUNE_HISTORY, *_WORKFLOWS.jobs],
    schedules=[*SCHEDULES, prune_daily(Settings().dagster.keep_days)],
    sensors=[
        build_document_events_sensor(job_name=INGEST_DOCUMENT.name, claim=starter.claim_documents),
        build_event_routes_sensor(JOBS, fire=starter.fire),
        build_schedules_sensor(launch=starter.start),
        build_assets_sensor(launch=starter.start),
        build_backfills_sensor(launch=starter.start_due),
        build_unfinished_launches_sensor(finish=starter.finish),
        build_prompts_sensor(),
        build_ranking_sensor(job_name=RANK_CONCEPTS.name),
        *build_run_end_sensors(),
    ],
    resources={**build_resources(Settings()), "io_manager": build_output_io_manager(Settings())},
    executor=dg.in_process_executor,
)
