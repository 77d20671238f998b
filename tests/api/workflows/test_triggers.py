"""Everything that can start a workflow starts one, and starts it once."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from pydantic import SecretStr

from api.workflows.notifying import Notifications
from assets.nodes.notify import signed
from definitions.runtime.starter import open_starter
from resources.ai.egress import EgressPolicy
from resources.errors import LimitExceededError, UpstreamError
from resources.events.model import NewEvent, RecordedEvent, StreamId
from resources.events.routing.model import in_force, route
from resources.workflows.triggers import MAX_DEPTH, Start
from resources.workflows.web import WebClient
from sensors.backfills import start_due
from sensors.triggers import build_assets_sensor, due_schedules
from tests.api.workflows.conftest import wait_for
from tests.assets.nodes.web import Answer, serving

if TYPE_CHECKING:
    import httpx

    from tests.api.workflows.conftest import Platform

pytestmark = pytest.mark.timeout(240)


def workflow(name: str, trigger: str = "") -> str:
    return f"""
name: {name}
{f"triggers: [{trigger}]" if trigger else ""}
inputs: {{text: {{default: nothing}}}}
nodes:
  say: {{type: template, config: {{template: "{{{{ inputs.text }}}}"}}}}
outputs: {{text: "{{{{ nodes.say.output.text }}}}"}}
"""


def sweep(platform: Platform, event: RecordedEvent) -> list[str | None]:
    """What the sensor does with an event that starts published workflows."""
    rules = in_force(platform.services.rules.history(), event)
    return [platform.services.launches.fire(found) for found in route([event], rules) if found.matched]


def happened(platform: Platform, workflow: str) -> list[RecordedEvent]:
    """The ends of the workflow's runs."""
    found = platform.services.events.read_all(types={"workflow.completed"}, tenant=platform.tenant)
    return [event for event in found if event.data["workflow_type"] == workflow]


# ---------------------------------------------------------------------- events


def test_an_event_starts_its_workflow_at_once_and_the_sensor_finds_it_started(platform: Platform) -> None:
    platform.publish(workflow("on_event", '{type: event, event: run.started, inputs: {text: "{{ event.data.job }}"}}'))
    with platform.api as api:
        event_id = api.append_event("run.started", {"run_id": "r", "job": "tea"}).event_id
    (run,) = wait_for(lambda: platform.runs_of("on_event"), "the run of the event")
    assert platform.end_of(run.run_id).outputs == {"text": "tea"}
    (event,) = platform.services.events.find([event_id], tenant=platform.tenant)
    assert sweep(platform, event) == [run.run_id]
    assert len(platform.runs_of("on_event")) == 1


def test_an_event_starts_nothing_of_another_tenant(platform: Platform) -> None:
    platform.publish(workflow("on_event", "{type: event, event: run.started}"))
    other = f"{platform.tenant}-other"
    fact = NewEvent("run.started", {"run_id": "r", "job": "tea"})
    event = platform.services.events.append(StreamId("run", "r"), [fact], tenant=other).events[0]
    assert sweep(platform, event) == []


def test_a_workflow_that_is_archived_is_started_no_longer(platform: Platform) -> None:
    platform.publish(workflow("on_event", "{type: event, event: run.started}"))
    with platform.api as api:
        api.archive_workflow("on_event")
        event_id = api.append_event("run.started", {"run_id": "r", "job": "tea"}).event_id
    (event,) = platform.services.events.find([event_id], tenant=platform.tenant)
    assert sweep(platform, event) == []


def test_a_run_starts_the_workflow_that_waits_for_its_end(platform: Platform) -> None:
    platform.publish(workflow("first"))
    platform.publish(workflow("second", '{type: run, workflow: first, inputs: {text: "{{ run.outputs.text }}!"}}'))
    platform.run("first", text="one")
    (end,) = wait_for(lambda: happened(platform, "first"), "the end of the first")
    (run_id,) = sweep(platform, end)
    assert run_id is not None
    found = platform.end_of(run_id)
    assert (found.workflow, found.outputs) == ("second", {"text": "one!"})
    assert sweep(platform, end) == [run_id]


def test_runs_that_start_one_another_come_to_an_end(platform: Platform) -> None:
    platform.publish(workflow("echo"))
    launches = platform.services.launches
    cause: str | None = None
    for number in range(MAX_DEPTH):
        cause = launches.start(Start("echo", platform.tenant, f"k{number}", "run", cause=cause))
    with pytest.raises(LimitExceededError):
        launches.start(Start("echo", platform.tenant, "one too many", "run", cause=cause))


# ---------------------------------------------------------------------- the clock, assets


def test_a_time_of_a_schedule_starts_one_run(platform: Platform) -> None:
    platform.publish(workflow("hourly", '{type: schedule, cron: "0 * * * *", inputs: {text: tick}}'))
    published = platform.services.workflows.definitions.list(platform.tenant)
    later = datetime.now(UTC) + timedelta(hours=1)
    launches = platform.services.launches
    first, again = (
        [launches.start(start) for start in due_schedules(published, later - timedelta(hours=1), later)]
        for _ in range(2)
    )
    assert len(first) == 1
    assert first == again
    assert platform.end_of(first[0]).outputs == {"text": "tick"}


def test_an_asset_starts_the_workflow_that_waits_for_it(platform: Platform) -> None:
    key = f"made_{uuid.uuid4().hex[:8]}"
    platform.publish(
        f"{{name: maker, nodes: {{make: {{type: template, config: {{template: x}}, asset: {{key: {key}}}}}}}}}"
    )
    asset = f"{platform.tenant}/{key}"
    platform.publish(workflow("on_asset", f'{{type: asset, assets: ["{asset}"], inputs: {{text: made}}}}'))
    platform.run("maker")
    sensor = build_assets_sensor(launch=platform.services.launches.start)
    cursor = None
    for _ in range(2):
        context = dg.build_sensor_context(
            instance=platform.runtime.instance, cursor=cursor, resources={"events": platform.services.events}
        )
        cursor = sensor.evaluate_tick(context).cursor
    (run,) = wait_for(lambda: platform.runs_of("on_asset"), "the run of the asset")
    assert platform.end_of(run.run_id).outputs == {"text": "made"}


# ---------------------------------------------------------------------- webhooks


def delivered(
    platform: Platform, *, secret: str = "a good secret", delivery: str = "d1", late: int = 0
) -> httpx.Response:
    body = b'{"id": "o-17"}'
    headers = signed(body, delivery=delivery, secret=SecretStr(secret), now=int(time.time()) - late)
    with platform.http as http:
        return http.post("/api/v1/hooks/orders", content=body, headers=headers)


def test_a_signed_delivery_starts_one_run_and_all_else_is_refused(platform: Platform) -> None:
    administration = platform.services.identity.administration
    administration.create_tenant(platform.tenant, actor=None)
    administration.store_provider_key("webhook-orders", "a good secret", tenant=platform.tenant, actor=None)
    platform.publish(workflow("on_order", '{type: webhook, name: orders, inputs: {text: "{{ body.id }}"}}'))
    first, again = delivered(platform), delivered(platform)
    assert first.status_code == 202
    assert first.json() == again.json()
    assert platform.end_of(first.json()["run_ids"][0]).outputs == {"text": "o-17"}
    assert delivered(platform, secret="another secret").status_code == 401
    assert delivered(platform, late=600).status_code == 401
    with platform.http as http:
        assert http.post("/api/v1/hooks/orders", content=b"{}").status_code == 401
    assert delivered(platform, delivery="d2").json()["run_ids"] != first.json()["run_ids"]


# ---------------------------------------------------------------------- the past


def test_a_backfill_says_what_it_starts_and_starts_just_that(platform: Platform) -> None:
    with platform.api as api:
        for job in ("tea", "coffee", "soup"):
            api.append_event("run.started", {"run_id": job, "job": job})
        platform.publish(
            workflow("on_event", '{type: event, event: run.started, inputs: {text: "{{ event.data.job }}"}}')
        )
        request: dict[str, Any] = {"workflow": "on_event", "events": ["run.started"], "rate": 2}
        plan = api.plan_backfill(request)
        assert [(run.inputs["text"], run.run_id) for run in plan.runs] == [
            ("tea", None),
            ("coffee", None),
            ("soup", None),
        ]
        made = api.start_backfill(request)
        backfills, launch = platform.services.backfills, open_starter().start_due
        start_due(backfills, launch, seconds=0.5, credit={str(made.id): 0.0})
        assert api.backfill(made.id).started == 1
        start_due(backfills, launch, seconds=5, credit={str(made.id): 0.0})
        done = api.backfill(made.id)
        assert (done.state, done.started, done.failed) == ("completed", 3, 0)
        runs = [run.run_id for run in api.backfill_runs(made.id)]
        assert [platform.end_of(str(run)).outputs for run in runs] == [{"text": t} for t in ("tea", "coffee", "soup")]
        assert [run.run_id for run in api.plan_backfill(request).runs] == runs
        assert api.plan_backfill({**request, "again": True}).to_start == 3


def test_a_backfill_that_is_ended_starts_no_more(platform: Platform) -> None:
    platform.publish(workflow("said"))
    with platform.api as api:
        for number in range(3):
            api.append_event("run.started", {"run_id": str(number), "job": "tea"})
        made = api.start_backfill(
            {"workflow": "said", "events": ["run.*"], "inputs": {"text": "{{ event.data.run_id }}"}, "rate": 1}
        )
        assert api.cancel_backfill(made.id).state == "cancelled"
        start_due(platform.services.backfills, open_starter().start_due, seconds=10, credit={})
        assert api.backfill(made.id).started == 0


# ---------------------------------------------------------------------- notifications


@pytest.mark.parametrize(("status", "calls"), [(200, 1), (500, 0)])
def test_whoever_wants_to_know_is_told_of_the_end_of_a_run(platform: Platform, status: int, calls: int) -> None:
    with serving() as server:
        server.will(Answer(status=status))
        told = f"config: {{notifications: {{on_completion: true, webhook_url: '{server.url}/told'}}}}"
        platform.publish(workflow("tells") + told)
        run = platform.run("tells", text="done")
        (end,) = wait_for(lambda: happened(platform, "tells"), "the end of the run")
        notifications = Notifications(
            platform.services.events,
            platform.services.subscriptions,
            workflows=platform.services.workflows,
            executions=platform.services.executions,
            web=WebClient(EgressPolicy.model_validate({"allowed": ["127.0.0.0/8"]})),
        )
        if not calls:
            with pytest.raises(UpstreamError):
                notifications.deliver(end)
            return
        notifications.deliver(end)
        notifications.deliver(end)
        first, again = server.asked
    assert first.headers["webhook-id"] == again.headers["webhook-id"]
    assert run.run_id.encode() in first.body
    assert b'"outputs":{"text":"done"}' in first.body


def test_mail_is_refused_where_none_is_sent(platform: Platform) -> None:
    text = workflow("mails") + "config: {notifications: {email: [somebody@example.org]}}"
    with platform.http as http:
        errors = http.post("/api/v1/workflows", content=text).json()["errors"]
    assert [error["path"] for error in errors] == ["config.notifications.email"]
