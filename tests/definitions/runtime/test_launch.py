"""Workflows from publishing to their end: through the launcher, a real pool, and the event store."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from dagster import DagsterRunStatus, RunsFilter
from dagster._core.storage.tags import RUN_KEY_TAG

from resources.errors import InvalidInputError, NotFoundError
from resources.tenants.quotas.postgres import PostgresQuotas
from tests.definitions.runtime.conftest import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.definitions.runtime.workflows import Engine

pytestmark = pytest.mark.timeout(180)

CHAIN = """
name: chain
inputs: {start: {type: string, default: a}}
nodes:
  one: {type: template, config: {template: "{{ inputs.start }}1"}}
  two: {type: template, config: {template: "{{ nodes.one.output.text }}2"}}
  three: {type: template, config: {template: "{{ nodes.two.output.text }}3"}}
outputs: {text: "{{ nodes.three.output.text }}"}
"""


# ---------------------------------------------------------------------- ordinary runs


def test_a_workflow_runs_as_soon_as_it_is_published(engine: Engine) -> None:
    engine.publish(CHAIN)
    run_id = engine.succeed("chain", inputs={"start": "b"})
    assert engine.outputs(run_id) == {"text": "b123"}


def test_a_workflow_of_the_platform_runs_for_every_tenant(engine: Engine) -> None:
    run_id = engine.succeed("hello", inputs={"who": "you"})
    assert engine.outputs(run_id) == {"greeting": "Hello, you!"}
    assert engine.runtime.instance.get_run_by_id(run_id).tags["aiw/tenant"] == engine.tenant  # type: ignore[union-attr]


def test_a_run_tells_its_story_in_order(engine: Engine) -> None:
    engine.publish(CHAIN)
    run_id = engine.succeed("chain", correlation_id="why")
    story = engine.story(run_id, until="workflow.completed")
    assert [(event.type.partition(".")[2], event.data.get("node_id")) for event in story] == [
        ("created", None),
        ("started", None),
        ("node_started", "one"),
        ("node_completed", "one"),
        ("node_started", "two"),
        ("node_completed", "two"),
        ("node_started", "three"),
        ("node_completed", "three"),
        ("completed", None),
    ]
    assert {event.metadata.correlation_id for event in story} == {"why"}
    assert story[3].data["output_data"] == {"text": "a1"}


def test_what_nodes_were_given_and_gave_is_shown_in_the_ui(engine: Engine) -> None:
    from dagster import DagsterEventType

    engine.publish(CHAIN)
    run_id = engine.succeed("chain")
    entries = engine.runtime.instance.all_logs(run_id, of_type=DagsterEventType.STEP_OUTPUT)
    shown = {entry.step_key: entry.get_dagster_event().step_output_data.metadata for entry in entries}
    assert shown["two"]["input"].value == {"template": "a12"}
    assert shown["two"]["output"].value == {"text": "a12"}
    assert shown["outputs"]["output"].value == {"text": "a123"}


def test_wrong_inputs_are_refused_before_there_is_a_run(engine: Engine) -> None:
    engine.publish(CHAIN)
    with pytest.raises(InvalidInputError) as caught:
        engine.launch("chain", inputs={"start": 5, "other": 1}, key="wrong")
    assert len(caught.value.problems) == 2
    assert engine.launcher.launched("wrong", tenant=engine.tenant) is None


def test_a_workflow_of_another_tenant_is_not_there(engine: Engine) -> None:
    engine.publish(CHAIN.replace("name: chain", "name: secret_chain"))
    with pytest.raises(NotFoundError):
        engine.launch("secret_chain", tenant="t-other")


def test_a_run_keeps_the_revision_that_it_was_started_with(engine: Engine, tmp_path: Path) -> None:
    path = tmp_path / "pid"
    waits = f"""
name: changing
nodes:
  wait: {{type: python, config: {{function: tests.linger, args: {{path: "{path}"}}}}}}
  say: {{type: template, needs: wait, config: {{template: "first"}}}}
outputs: {{said: "{{{{ nodes.say.output.text }}}}"}}
"""
    engine.publish(waits)
    run_id = engine.launch("changing")
    wait_until(path.exists)
    engine.publish(waits.replace("first", "second"))
    path.unlink()
    assert engine.end_of(run_id) is DagsterRunStatus.SUCCESS
    assert engine.outputs(run_id) == {"said": "first"}
    again = engine.launch("changing", revision=1)
    newest = engine.launch("changing")
    for _ in range(2):
        wait_until(path.exists)
        path.unlink()
        wait_until(lambda: path.exists() or engine.runtime.queue.find(newest) is None)
    assert engine.outputs(again) == {"said": "first"}
    assert engine.outputs(newest) == {"said": "second"}


# ---------------------------------------------------------------------- keys


def test_a_key_starts_one_run_however_many_ask_at_once(engine: Engine) -> None:
    engine.publish(CHAIN)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: engine.launcher.launch("chain", tenant=engine.tenant, key="k"), range(8)))
    assert len({answer.run_id for answer in answers}) == 1
    assert [answer.created for answer in answers].count(True) == 1
    assert len(engine.runtime.instance.get_runs(RunsFilter(tags={RUN_KEY_TAG: "k", "aiw/tenant": engine.tenant}))) == 1


def test_keys_of_tenants_have_nothing_to_do_with_each_other(engine: Engine) -> None:
    first = engine.launcher.launch("hello", tenant=engine.tenant, key="same")
    second = engine.launcher.launch("hello", tenant=f"{engine.tenant}-b", key="same")
    assert first.created
    assert second.created


def test_a_launch_that_died_after_its_claim_is_finished_with_the_same_run(engine: Engine) -> None:
    engine.publish(CHAIN)
    run_id = "11111111-1111-4111-8111-111111111111"
    request: dict[str, object] = {"name": "chain", "inputs": {}, "revision": None, "tags": {}, "partition": None}
    request |= {"correlation_id": None, "trigger": None, "run_config": {}}
    assert engine.launcher.keys.claim(engine.tenant, "died", run_id=run_id, request=request)
    assert engine.launcher.finish(older_than=0) >= 1
    assert engine.end_of(run_id) is DagsterRunStatus.SUCCESS
    assert engine.launcher.launch("chain", tenant=engine.tenant, key="died").run_id == run_id
    assert engine.launcher.finish(older_than=0) == 0


def test_a_claim_that_is_given_up_does_not_count_as_a_run_of_the_day(engine: Engine) -> None:
    quotas, now = PostgresQuotas(engine.runtime.database), datetime.now(UTC)
    quotas.take_run(engine.tenant, now=now)  # as whoever claims does
    request: dict[str, object] = {
        "name": "never-published",
        "inputs": {},
        "revision": None,
        "tags": {},
        "partition": None,
    }
    request |= {"correlation_id": None, "trigger": None, "run_config": {}}
    run_id = "22222222-2222-4222-8222-222222222222"
    assert engine.launcher.keys.claim(engine.tenant, "hopeless", run_id=run_id, request=request)
    engine.launcher.finish(older_than=0)
    assert engine.launcher.launched("hopeless", tenant=engine.tenant) is None
    assert quotas.consumption(engine.tenant, now=now).runs_today == 0


def test_a_sensor_asks_for_no_run_that_was_pushed_and_for_its_own_again(engine: Engine) -> None:
    engine.launch("hello", key="pushed")
    pairs = [(engine.tenant, "pushed"), (engine.tenant, "swept")]
    keys = engine.launcher.keys
    assert keys.claim_for_sensor("event_routes", pairs) == {(engine.tenant, "swept")}
    assert keys.claim_for_sensor("event_routes", pairs) == {(engine.tenant, "swept")}
    assert keys.claim_for_sensor("another", pairs) == set()
