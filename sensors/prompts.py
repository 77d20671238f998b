"""Tells Dagster which text of a prompt is in force: the data version of the asset `prompts/<id>`, whenever that changes."""

import dagster as dg

from assets.prompts import PRODUCTION, prompt_key
from resources.errors import NotFoundError
from resources.events.catalog import PromptLabelled, PromptPublished
from resources.events.store import EventStore
from resources.prompts.library import PromptLibrary
from sensors.cursors import next_cursor, parse_cursor

EVENTS_PER_TICK = 100


def prompt_versions(events: EventStore, prompts: PromptLibrary, cursor: str | None) -> dg.SensorResult | dg.SkipReason:
    """A materialisation for each prompt that was published or labelled since `cursor`, of all tenants."""
    position = parse_cursor(cursor)
    types = {PromptLabelled.event_type, PromptPublished.event_type}
    found = events.read_all(after_position=position, types=types, limit=EVENTS_PER_TICK, tenant=None)
    if not found:
        return dg.SkipReason(f"No prompt has changed after position {position}.")
    changed = dict.fromkeys(
        (event.tenant, str(event.data["prompt_id"]), str(event.data.get("label", PRODUCTION))) for event in found
    )
    told = [one for changes in changed if (one := _in_force(prompts, *changes)) is not None]
    return dg.SensorResult(asset_events=told, cursor=next_cursor(position, found))


def build_prompts_sensor() -> dg.SensorDefinition:
    """The sensor, running from the start."""

    @dg.sensor(
        name="prompt_versions",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=2,
        description="Tells which version of each prompt is in force, so that what was made with another one is stale.",
    )
    def sensor(
        context: dg.SensorEvaluationContext,
        events: dg.ResourceParam[EventStore],
        prompts: dg.ResourceParam[PromptLibrary],
    ) -> dg.SensorResult | dg.SkipReason:
        return prompt_versions(events, prompts, context.cursor)

    return sensor


def _in_force(prompts: PromptLibrary, tenant: str, prompt: str, label: str) -> dg.AssetMaterialization | None:
    try:
        version = prompts.get(prompt if label == PRODUCTION else f"{prompt}@{label}", tenant=tenant)
    except NotFoundError:  # what was told is not there yet for this reader; it will be told again when it changes
        return None
    return dg.AssetMaterialization(
        prompt_key(prompt, tenant, label=label),
        tags={"dagster/data_version": version.sha256},
        metadata={"version": version.reference, "labels": ", ".join(prompts.labels(prompt, tenant=tenant)) or "none"},
    )
