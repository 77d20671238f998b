"""A label that moves makes stale what was made with the prompt, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from assets.prompts import prompt_key, prompt_keys
from resources.events.postgres import PostgresEventStore
from resources.prompts.bundled import bundled_prompts
from resources.prompts.engine import PromptEngine
from resources.prompts.library import PromptLibrary
from resources.workflows.spec import WorkflowSpec
from sensors.prompts import prompt_versions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.database.postgres import Database

CONTENT, SUPPORT = prompt_key("agent_content"), prompt_key("agent_support")


@dg.asset(deps=[CONTENT])
def article() -> None:
    """Made with the prompt agent_content."""


@dg.asset(deps=[SUPPORT])
def reply() -> None:
    """Made with the prompt agent_support."""


ASSETS: list[dg.AssetSpec | dg.AssetsDefinition] = [dg.AssetSpec(CONTENT), dg.AssetSpec(SUPPORT), article, reply]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def events(database: Database) -> PostgresEventStore:
    return PostgresEventStore(database)


@pytest.fixture
def library(events: PostgresEventStore) -> PromptLibrary:
    return PromptLibrary(events, PromptEngine(), bundled=bundled_prompts())


class Sensor:
    """The sensor, tick by tick, as the daemon has it: what it observes is told to the instance."""

    def __init__(self, events: PostgresEventStore, library: PromptLibrary, instance: dg.DagsterInstance) -> None:
        self._events = events
        self._library = library
        self._instance = instance
        self.cursor: str | None = str(events.head(tenant=None))

    def tick(self) -> list[dg.AssetKey]:
        told: list[dg.AssetKey] = []
        while isinstance(result := prompt_versions(self._events, self._library, self.cursor), dg.SensorResult):
            self.cursor = result.cursor
            for event in result.asset_events:
                assert isinstance(event, dg.AssetMaterialization)
                self._instance.report_runless_asset_event(event)
                told.append(event.asset_key)
        return told


def stale(instance: dg.DagsterInstance) -> set[str]:
    graph = dg.Definitions(assets=ASSETS).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    return {one.key.to_user_string() for one in (article, reply) if resolver.get_status(one.key) is StaleStatus.STALE}


def publish(library: PromptLibrary, prompt: str, text: str, tenant: str, *labels: str) -> str:
    draft = library.get(prompt).spec.model_copy(update={"content": text, "examples": (), "variables": {}})
    return library.publish(draft, tenant=tenant, labels=labels).reference


@pytest.fixture
def as_default(monkeypatch: pytest.MonkeyPatch, tenant: str) -> str:
    """The test's own tenant, whose assets are called as those of the default one."""
    monkeypatch.setattr("assets.prompts.DEFAULT_TENANT", tenant)
    return tenant


def test_a_label_that_moves_makes_stale_what_was_made_with_the_prompt_and_nothing_else(
    events: PostgresEventStore, library: PromptLibrary, instance: dg.DagsterInstance, as_default: str
) -> None:
    sensor = Sensor(events, library, instance)
    publish(library, "agent_content", "First", as_default, "production")
    publish(library, "agent_support", "First", as_default, "production")
    sensor.tick()
    assert dg.materialize(ASSETS, instance=instance).success
    assert stale(instance) == set()
    second = publish(library, "agent_content", "Second", as_default)
    sensor.tick()
    assert stale(instance) == set()  # published is not in force
    library.label(second, "production", tenant=as_default)
    assert CONTENT in sensor.tick()
    assert stale(instance) == {"article"}
    assert dg.materialize(ASSETS, selection=[article], instance=instance).success
    assert stale(instance) == set()


def test_a_label_that_comes_back_makes_fresh_again_what_was_made_with_it(
    events: PostgresEventStore, library: PromptLibrary, instance: dg.DagsterInstance, as_default: str
) -> None:
    sensor = Sensor(events, library, instance)
    first = publish(library, "agent_content", "First", as_default, "production")
    sensor.tick()
    assert dg.materialize(ASSETS, instance=instance).success
    publish(library, "agent_content", "Second", as_default, "production")
    sensor.tick()
    assert stale(instance) == {"article"}
    library.label(first, "production", tenant=as_default)
    sensor.tick()
    assert stale(instance) == set()


def test_prompts_of_other_tenants_are_other_assets(
    events: PostgresEventStore, library: PromptLibrary, instance: dg.DagsterInstance, tenant: str
) -> None:
    sensor = Sensor(events, library, instance)
    publish(library, "agent_content", "Ours", tenant, "production")
    assert prompt_key("agent_content", tenant) in sensor.tick()
    assert prompt_key("agent_content", tenant) != CONTENT


def test_nothing_new_is_nothing_to_tell(events: PostgresEventStore, library: PromptLibrary) -> None:
    assert isinstance(prompt_versions(events, library, str(events.head(tenant=None))), dg.SkipReason)


def test_another_label_has_a_version_of_its_own(
    events: PostgresEventStore, library: PromptLibrary, instance: dg.DagsterInstance, as_default: str
) -> None:
    sensor = Sensor(events, library, instance)
    first = publish(library, "agent_content", "First", as_default, "production")
    sensor.tick()
    library.label(first, "staging", tenant=as_default)
    assert sensor.tick() == [prompt_key("agent_content", label="staging")]


def test_the_prompts_of_a_workflow_are_found_in_bodies_agents_and_defaults_of_inputs() -> None:
    spec = WorkflowSpec.model_validate(
        {
            "name": "made",
            "inputs": {"how": {"type": "string", "default": "agent_content@production"}, "other": {"type": "string"}},
            "nodes": [
                {"id": "a", "type": "prompt", "config": {"prompt_id": "{{ inputs.how }}"}},
                {"id": "b", "type": "agent", "config": {"agent": "support", "prompt": "x"}},
                {"id": "c", "type": "prompt", "config": {"prompt_id": "{{ inputs.other }}"}},
                {
                    "id": "d",
                    "type": "map",
                    "config": {"items": [1]},
                    "nodes": [
                        {"id": "e", "type": "prompt", "config": {"prompt_id": "own@3"}},
                        {"id": "f", "type": "prompt", "config": {"prompt_id": "own@staging"}},
                    ],
                },
            ],
        }
    )
    found = [key.to_user_string() for key in prompt_keys(spec.nodes, spec.inputs, "acme")]
    assert found == [
        "acme/prompts/agent_content",
        "acme/prompts/agent_system",
        "acme/prompts/agent_support",
        "acme/prompts/own/staging",
    ]
