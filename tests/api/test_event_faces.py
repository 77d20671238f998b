"""Streams, aggregates, subscriptions, projections, replays and routes, over HTTP."""

from __future__ import annotations

import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from resources.events.subscriptions.consumer import Consumer
from resources.events.subscriptions.model import Subscription
from resources.events.subscriptions.postgres import PostgresSubscriptions
from tests.api.events import EVENTS, append, eventually, started, workflow, working

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from api.dependencies import Services
    from resources.database.postgres import Database
    from resources.events.model import RecordedEvent
    from resources.settings import Settings

V1 = "/api/v1"
RULE = {"types": ["run.*"], "action": {"kind": "workflow", "workflow": "study_guide"}}


# Events


def test_events_are_chosen_by_every_filter(http: httpx.Client) -> None:
    a, b = append(http, started("a", stream="run/a", metadata={"tags": {"kind": "x"}}), started("b", stream="job/b"))
    http.post(EVENTS, json=started("c"), headers={"X-Correlation-ID": "story-one"})

    def chosen(**parameters: Any) -> list[str]:
        return [event["data"]["run_id"] for event in http.get(EVENTS, params=parameters).json()["events"]]

    assert chosen(types=["run.*"]) == ["a", "b", "c"]
    assert chosen(types=["**"], stream_type="job") == ["b"]
    assert chosen(tag=["kind=x"]) == ["a"]
    assert chosen(tag=["kind=y"]) == []
    assert chosen(correlation_id="story-one") == ["c"]
    assert chosen(correlation_id="story-one", types=["run.failed"]) == []
    assert chosen(after=a["position"], limit=1) == ["b"]
    assert b["position"] > a["position"]


@pytest.mark.parametrize(
    "query", ["types=no.*", "types=RUN", "tag=x", "tag==x", "correlation_id=%00", "stream_type=%00"]
)
def test_a_wrong_filter_is_refused(http: httpx.Client, query: str) -> None:
    answer = http.get(f"{EVENTS}?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_a_batch_keeps_the_order_of_each_stream_and_its_expectations(http: httpx.Client) -> None:
    answer = http.post(
        EVENTS,
        json=[
            started("r1", stream="run/a", expected_version=0),
            started("r2", stream="run/a", expected_version=0),
            started("r3", stream="run/a", expected_version=1),
        ],
    )
    results = answer.json()["results"]
    assert answer.status_code == 207
    assert [item["status"] for item in results] == [201, 409, 201]
    assert results[1]["problem"]["code"] == "concurrency_conflict"
    assert results[2]["event"]["version"] == 2


def test_a_repeated_batch_stores_nothing_twice(http: httpx.Client) -> None:
    batch = [started(f"r{number}", event_id=str(uuid.uuid4())) for number in range(3)]
    first, second = (http.post(EVENTS, json=batch).json()["results"] for _ in range(2))
    assert first == second
    assert len(http.get(EVENTS).json()["events"]) == 3


def test_what_is_stored_is_counted(http: httpx.Client) -> None:
    append(http, started("r1"), started("r2"))
    found = http.get(f"{EVENTS}/statistics").json()
    assert (found["events"], found["streams"]) == (2, 2)
    assert [(item["type"], item["events"]) for item in found["types"]] == [("run.started", 2)]
    assert found["bytes"] > 0


# Streams and aggregates


def test_a_stream_is_read_forwards_and_backwards_page_by_page(http: httpx.Client) -> None:
    append(http, *(started(f"r{number}", stream="run/a b/c".replace(" ", "-")) for number in range(5)))
    path = f"{V1}/streams/run/a-b/c"
    first = http.get(path, params={"limit": 3}).json()
    second = http.get(path, params={"limit": 3, "after_version": first["next"]}).json()
    assert [event["version"] for event in first["events"] + second["events"]] == [1, 2, 3, 4, 5]
    assert (first["version"], second["next"]) == (5, None)
    newest = http.get(path, params={"limit": 3, "backwards": True}).json()
    oldest = http.get(path, params={"limit": 3, "backwards": True, "up_to_version": newest["next"]}).json()
    assert [event["version"] for event in newest["events"] + oldest["events"]] == [5, 4, 3, 2, 1]
    assert oldest["next"] is None


def test_a_stream_is_read_as_it_was(http: httpx.Client) -> None:
    events = append(http, *(started(f"r{number}", stream="run/a") for number in range(3)))

    def versions(**bound: Any) -> list[int]:
        return [event["version"] for event in http.get(f"{V1}/streams/run/a", params=bound).json()["events"]]

    assert versions(up_to_version=2) == [1, 2]
    assert versions(up_to_position=events[1]["position"]) == [1, 2]
    assert versions(up_to_time=events[2]["recorded_at"]) == [1, 2, 3]
    assert versions(up_to_time="2020-01-01T00:00:00Z") == []


def test_an_aggregate_is_shown_as_it_is_and_as_it_was(http: httpx.Client) -> None:
    events = workflow(http, "w-1")
    path = f"{V1}/aggregates/workflow/w-1"
    assert http.get(path).json()["state"]["status"] == "completed"
    then = http.get(path, params={"at_version": 2}).json()
    assert (then["version"], then["state"]["status"], then["state"]["output_data"]) == (2, "running", None)
    assert http.get(path, params={"at_position": events[0]["position"]}).json()["state"]["status"] == "created"
    assert http.get(path, params={"at_time": events[-1]["recorded_at"]}).json()["version"] == 3
    assert http.get(path, params={"at_time": "2020-01-01T00:00:00Z"}).status_code == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("streams/run/nowhere", 404),
        ("streams/no type/x", 422),
        ("streams/run/a?after_version=-1", 422),
        ("streams/run/a?up_to_version=0", 422),
        ("streams/run/a?up_to_time=2026-01-01T00:00:00", 422),
        ("streams/run/a?up_to_position=99999999999999999999", 422),
        ("streams/run/a%00", 422),
        ("aggregates/workflow/nowhere", 404),
        ("aggregates/document/x", 404),
        ("aggregates/workflow/x?at_version=0", 422),
        ("subscriptions/nowhere", 404),
        ("subscriptions/a%00b", 422),
        ("subscriptions/nowhere/dead-letters", 404),
        ("projections/nowhere", 404),
        ("projections/nowhere/rows", 404),
        ("projections/ai_usage/rows?limit=0", 422),
        ("projections/ai_usage/rows?prefix=%00", 422),
        ("replays/7", 422),
        ("replays/0192d3c4-0000-7000-8000-000000000000", 404),
        ("routes/nowhere", 404),
        ("routes/No", 422),
        ("routes/nowhere/versions", 404),
    ],
)
def test_what_is_not_there_or_makes_no_sense_is_a_problem(http: httpx.Client, path: str, status: int) -> None:
    answer = http.get(f"{V1}/{path}")
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


# Subscriptions and dead letters


@pytest.fixture
def subscriptions(database: Database) -> Iterator[PostgresSubscriptions]:
    with closing(PostgresSubscriptions(database)) as worker:
        yield worker


@pytest.fixture
def inbox(subscriptions: PostgresSubscriptions, tenant: str) -> str:
    """A subscription of the tenant, which tries once."""
    subscriptions.define(Subscription(f"inbox-{tenant}", tenant=tenant, types=("run.started",), max_attempts=1))
    return f"inbox-{tenant}"


@pytest.fixture
def deliver(
    services: Services, subscriptions: PostgresSubscriptions, inbox: str
) -> Callable[[Callable[[RecordedEvent], None]], None]:
    """Works the subscription off, once."""

    def run(handle: Callable[[RecordedEvent], None]) -> None:
        Consumer(inbox, events=services.events, subscriptions=subscriptions, deliver=handle).run_once()

    return run


def fail(_event: RecordedEvent) -> None:
    raise ValueError("cannot digest it")


def subscriptions_of(http: httpx.Client) -> set[str]:
    """The names of all: other tests define some in the same database."""
    page = http.get(f"{V1}/subscriptions", params={"limit": 200})
    found = {item["name"] for item in page.json()}
    while "next" in page.links:
        page = http.get(page.links["next"]["url"])
        found |= {item["name"] for item in page.json()}
    return found


def test_a_subscription_tells_its_lag_and_can_be_paused(
    http: httpx.Client, inbox: str, deliver: Callable[[Any], None]
) -> None:
    append(http, started("r1"), started("r2"))
    path = f"{V1}/subscriptions/{inbox}"
    assert inbox in subscriptions_of(http)
    assert http.get(path).json()["lag"]["events"] == 2
    assert http.post(f"{path}/pause").json()["paused"] is True
    seen: list[RecordedEvent] = []
    deliver(seen.append)
    assert seen == []
    assert http.post(f"{path}/resume").json()["paused"] is False
    deliver(seen.append)
    assert len(seen) == 2
    assert http.get(path).json()["lag"]["events"] == 0


def test_a_dead_letter_is_seen_edited_and_delivered(
    http: httpx.Client, inbox: str, deliver: Callable[[Any], None]
) -> None:
    (event,) = append(http, started("r1"))
    deliver(fail)
    path = f"{V1}/subscriptions/{inbox}/dead-letters"
    (letter,) = http.get(path, params={"status": "failed"}).json()["dead_letters"]
    assert (letter["event_id"], letter["stream"]) == (event["event_id"], event["stream"])
    assert "cannot digest it" in letter["error"]
    data = {"run_id": "mended", "job": "tea"}
    retried = http.post(f"{path}/{letter['id']}/retry", json={"data": data})
    assert (retried.status_code, retried.json()["status"]) == (202, "retrying")
    seen: list[RecordedEvent] = []
    deliver(seen.append)
    assert [found.data["run_id"] for found in seen] == ["mended"]
    assert http.get(f"{path}/{letter['id']}").json()["status"] == "resolved"
    assert http.get(f"{EVENTS}").json()["events"][0]["data"]["run_id"] == "r1"
    assert http.post(f"{path}/{letter['id']}/discard").status_code == 409


def test_dead_letters_are_paged_retried_as_they_are_and_discarded(
    http: httpx.Client, inbox: str, deliver: Callable[[Any], None]
) -> None:
    append(http, started("r1"), started("r2"))
    deliver(fail)
    path = f"{V1}/subscriptions/{inbox}/dead-letters"
    page = http.get(path, params={"limit": 1}).json()
    rest = http.get(path, params={"limit": 1, "after": page["next_after"]}).json()
    first, second = page["dead_letters"][0]["id"], rest["dead_letters"][0]["id"]
    assert rest["next_after"] is None
    assert http.post(f"{path}/{first}/retry").json()["status"] == "retrying"
    assert http.post(f"{path}/{second}/discard").json()["status"] == "discarded"
    seen: list[RecordedEvent] = []
    deliver(seen.append)
    assert len(seen) == 1


def test_an_edited_letter_must_still_be_of_its_type(
    http: httpx.Client, inbox: str, deliver: Callable[[Any], None]
) -> None:
    append(http, started("r1"))
    deliver(fail)
    path = f"{V1}/subscriptions/{inbox}/dead-letters"
    (letter,) = http.get(path).json()["dead_letters"]
    for body in ({"data": {"run_id": 7}}, {"data": [1]}, {"nonsense": 1}):
        answer = http.post(f"{path}/{letter['id']}/retry", json=body)
        assert answer.status_code == 422
        assert answer.json()["errors"]
    assert http.get(f"{path}/{letter['id']}").json()["status"] == "failed"


def test_another_tenants_subscriptions_and_letters_are_not_there(
    http: httpx.Client, subscriptions: PostgresSubscriptions, tenant: str
) -> None:
    theirs = f"theirs-{tenant}"
    subscriptions.define(Subscription(theirs, tenant="somebody-else"))
    assert theirs not in subscriptions_of(http)
    for path in (theirs, f"{theirs}/dead-letters", f"{theirs}/dead-letters/1"):
        assert http.get(f"{V1}/subscriptions/{path}").status_code == 404
    assert http.post(f"{V1}/subscriptions/{theirs}/pause").status_code == 404


# Projections and replays


def row_of(http: httpx.Client, projection: str, key: str) -> dict[str, Any] | None:
    rows = http.get(f"{V1}/projections/{projection}/rows", params={"prefix": key}).json()["rows"]
    return next((row["data"] for row in rows if row["key"] == key), None)


def test_read_models_follow_what_happens_by_themselves(http: httpx.Client, api_settings: Settings) -> None:
    with working(api_settings):
        workflow(http, "w-1")
        row = eventually(lambda: row_of(http, "workflow_execution_history", "w-1"))
        eventually(lambda: (row_of(http, "workflow_execution_history", "w-1") or {}).get("status") == "completed")
        assert row["workflow_type"] == "tea"
        found = {item["name"]: item for item in http.get(f"{V1}/projections").json()}
    assert found["workflow_stats"]["state"] in {"active", "building"}
    assert set(found) == {
        "ai_usage",
        "document_catalog",
        "platform_totals",
        "service_health",
        "workflow_catalog",
        "workflow_execution_history",
        "workflow_executions",
        "workflow_stats",
    }
    assert found["workflow_stats"]["description"]


def test_rows_belong_to_their_tenant_and_are_paged(http: httpx.Client, api_settings: Settings) -> None:
    for number in range(3):
        workflow(http, f"w-{number}")
    with working(api_settings):
        eventually(lambda: row_of(http, "workflow_execution_history", "w-2"))
    path = f"{V1}/projections/workflow_execution_history/rows"
    first = http.get(path, params={"limit": 2}).json()
    second = http.get(path, params={"limit": 2, "after": first["next_after"]}).json()
    assert [row["key"] for row in first["rows"] + second["rows"]] == ["w-0", "w-1", "w-2"]
    assert second["next_after"] is None


def test_a_projection_is_built_anew_in_the_background(http: httpx.Client, api_settings: Settings) -> None:
    workflow(http, "w-1")
    answer = http.post(f"{V1}/projections/workflow_stats/rebuild")
    assert answer.status_code == 202
    assert answer.json()["state"] == "running"
    place = answer.headers["location"]
    with working(api_settings):
        done = eventually(lambda: http.get(place).json()["state"] != "running" and http.get(place).json())
    assert (done["state"], done["share"], done["error"]) == ("completed", 1.0, None)
    assert (row_of(http, "workflow_stats", "type/tea") or {})["completed"] == 1
    assert place.rpartition("/")[2] in {item["id"] for item in http.get(f"{V1}/replays").json()["replays"]}


def test_a_rebuild_that_nobody_does_yet_can_be_cancelled(http: httpx.Client, api_settings: Settings) -> None:
    workflow(http, "w-1")
    replay = http.post(f"{V1}/projections/service_health/rebuild").json()
    assert http.post(f"{V1}/replays/{replay['id']}/cancel").json()["state"] == "cancelled"
    assert http.post(f"{V1}/projections/service_health/cancel").status_code == 200
    with working(api_settings):
        assert http.get(f"{V1}/replays/{replay['id']}").json()["state"] == "cancelled"


def test_a_replay_hands_the_events_to_a_subscription_with_its_id(
    http: httpx.Client, api_settings: Settings, inbox: str, deliver: Callable[[Any], None]
) -> None:
    events = append(http, started("r1"), started("r2"), started("r3"))
    deliver(lambda _event: None)
    wanted = {"targets": [f"subscription:{inbox}"], "after": events[0]["position"], "types": ["run.*"]}
    plan = http.post(f"{V1}/replays", json={**wanted, "dry_run": True})
    assert plan.status_code == 200
    assert plan.json()["events"] == 2
    assert plan.json()["left_out"] == [f"subscription:{inbox}"]
    refused = http.post(f"{V1}/replays", json=wanted)
    assert (refused.status_code, refused.json()["code"]) == (400, "replay_without_targets")
    replay_id = str(uuid.uuid4())
    asked = {**wanted, "effects": True, "id": replay_id}
    assert [http.post(f"{V1}/replays", json=asked).status_code for _ in range(2)] == [202, 202]
    with working(api_settings):
        eventually(lambda: http.get(f"{V1}/replays/{replay_id}").json()["state"] == "completed")
    seen: list[RecordedEvent] = []
    deliver(seen.append)
    assert [event.data["run_id"] for event in seen] == ["r2", "r3"]
    assert {event.replay_id for event in seen} == {replay_id}
    assert http.get(f"{V1}/replays/{replay_id}").json()["events"] == 2


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"targets": []},
        {"targets": ["nowhere"]},
        {"targets": ["projection:nowhere"]},
        {"targets": ["subscription:nowhere"], "effects": True},
        {"targets": ["projection:ai_usage", "projection:workflow_stats"]},
        {"targets": ["projection:ai_usage"], "after": 5},
        {"targets": ["projection:ai_usage"], "types": ["ai.*"]},
        {"targets": ["projection:ai_usage"], "rate": 0},
        {"targets": ["projection:ai_usage"], "stream": "nonsense"},
        {"targets": ["projection:ai_usage"], "surprise": 1},
        {"targets": ["projection:ai_usage"], "types": ["nothing.*"]},
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_a_replay_that_makes_no_sense_is_refused(http: httpx.Client, body: dict[str, Any], *, dry_run: bool) -> None:
    answer = http.post(f"{V1}/replays", json={**body, "dry_run": dry_run})
    assert answer.status_code in {400, 422}, answer.text
    assert answer.json()["errors"]
    assert http.get(f"{V1}/replays").json()["replays"] == []


# Routes


def test_a_rule_is_stored_in_versions_and_never_overwritten(http: httpx.Client) -> None:
    path = f"{V1}/routes/on-run"
    first, again = http.put(path, json=RULE), http.put(path, json=RULE)
    assert (first.status_code, first.json()["version"], again.json()["version"]) == (201, 1, 1)
    changed = http.put(path, json={**RULE, "types": ["run.failed"]})
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    assert http.get(path, params={"version": 1}).json()["types"] == ["run.*"]
    disabled = http.delete(path).json()
    assert (disabled["version"], disabled["enabled"]) == (3, False)
    assert [item["version"] for item in http.get(f"{path}/versions").json()] == [3, 2, 1]
    assert [(item["name"], item["enabled"]) for item in http.get(f"{V1}/routes").json()] == [("on-run", False)]


def test_a_rule_may_forward_to_a_subscription_that_there_is(http: httpx.Client, inbox: str) -> None:
    action = {"kind": "subscription", "subscription": inbox}
    assert http.put(f"{V1}/routes/forward", json={**RULE, "action": action}).status_code == 201


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"types": []}, "body.types"),
        ({"types": ["RUN"]}, "types"),
        ({"types": ["nothing.*"]}, "types"),
        ({"action": {"kind": "topic", "topic": "runs.1"}}, "body.action.topic"),
        ({"action": {"kind": "subscription", "subscription": "nowhere"}}, "body.action.subscription"),
        ({"action": {"kind": "nonsense"}}, "body.action"),
        ({"action": {"kind": "workflow", "workflow": "a b"}}, "body.action.workflow.workflow"),
        ({"conditions": [{"path": "a", "operator": "~", "value": 1}]}, "body.conditions[0].operator"),
        ({"conditions": [{"path": "a", "operator": "==", "value": "\x00"}]}, "body"),
        ({"surprise": 1}, "body.surprise"),
    ],
)
def test_a_rule_that_leads_nowhere_is_refused(http: httpx.Client, change: dict[str, Any], path: str) -> None:
    answer = http.put(f"{V1}/routes/wrong", json={**RULE, **change})
    assert answer.status_code == 422, answer.text
    assert path in {problem["path"] for problem in answer.json()["errors"]}
    assert http.get(f"{V1}/routes").json() == []


def test_rules_are_tried_without_doing_anything(http: httpx.Client) -> None:
    append(http, started("r1"), {"type": "run.failed", "data": {"run_id": "r1", "job": "tea", "error": "cold"}})
    config = {"ops": {"plan_path": {"config": {"target": "${data.error}"}}}}
    rule = {"types": ["run.failed"], "action": {"kind": "workflow", "workflow": "study_guide", "run_config": config}}
    tried = http.post(f"{V1}/routes/dry-run", json={"rule": rule}).json()
    assert (tried["events"], tried["matched"]) == (2, 1)
    no, yes = tried["routed"]
    assert "fits none of" in no["reason"]
    assert yes["action"]["run_config"]["ops"]["plan_path"]["config"]["target"] == "cold"
    http.put(f"{V1}/routes/off", json={**RULE, "enabled": False})
    assert http.post(f"{V1}/routes/dry-run", json={}).json()["matched"] == 0
    assert http.post(f"{V1}/routes/dry-run", json={"names": ["off"]}).json()["matched"] == 2
    assert http.post(f"{V1}/routes/dry-run", json={"names": ["nowhere"]}).status_code == 404


def test_what_a_rule_cannot_fill_in_is_told(http: httpx.Client) -> None:
    append(http, started("r1"))
    action = {"kind": "workflow", "workflow": "ingest_document", "partition": "${data.nowhere}"}
    tried = http.post(f"{V1}/routes/dry-run", json={"rule": {"types": ["**"], "action": action}}).json()
    assert tried["matched"] == 0
    assert "nowhere" in tried["routed"][0]["reason"]


def test_a_rule_that_changed_meanwhile_is_not_disabled(http: httpx.Client) -> None:
    seen = http.put(f"{V1}/routes/a", json=RULE).headers["etag"]
    http.put(f"{V1}/routes/a", json={**RULE, "types": ["document.*"]}).raise_for_status()
    refused = http.delete(f"{V1}/routes/a", headers={"If-Match": seen})
    assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
    present = http.get(f"{V1}/routes/a").headers["etag"]
    assert http.delete(f"{V1}/routes/a", headers={"If-Match": present}).json()["enabled"] is False
