"""The platform's own facts on topics: events of the store, and what Dagster notes of a run."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from dagster import DagsterRun
from dagster._core.events import DagsterEvent, DagsterEventType, EngineEventData
from dagster._core.events.log import EventLogEntry
from dagster_postgres import PostgresEventLogStorage, PostgresRunStorage

from api.realtime import live
from assets.partitions import TENANT_TAG
from resources.events.memory import MemoryEventStore
from resources.events.model import EventMetadata, NewEvent, StreamId
from resources.realtime.model import RUN_TENANT_TAG, NewMessage

if TYPE_CHECKING:
    from resources.database.postgres import Database
    from resources.events.model import RecordedEvent
    from tests.api.realtime.harness import Sockets


def append(served: Sockets, type: str, stream: StreamId, **data: Any) -> RecordedEvent:
    return served.hub._facts._events.append(stream, [NewEvent(type, data)], tenant=served.tenant).events[0]


def run_started(served: Sockets, run_id: str) -> RecordedEvent:
    return append(served, "run.started", StreamId("run", run_id), run_id=run_id, job="tea")


def test_an_event_reaches_its_topics_in_milliseconds(served: Sockets) -> None:
    with served.client() as client, served.client("bert") as other:
        client.subscribe("runs.r1", "documents")
        other.subscribe("runs.r2")
        delays = []
        for _ in range(20):
            began = time.perf_counter()
            event = run_started(served, "r1")
            data = client.until("Broadcast")
            delays.append(time.perf_counter() - began)
            assert (data["topic"], data["log"], data["position"]) == ("runs.r1", "events", event.position)
            assert data["payload"]["event"] == "run.started"
            assert data["payload"]["data"]["run_id"] == "r1"
        assert sorted(delays)[len(delays) // 2] < 0.5
        assert other.nothing_came()


def test_events_are_resumed_by_their_own_position(served: Sockets) -> None:
    first = run_started(served, "r1")
    for run_id in ("r1", "r2", "r1"):
        run_started(served, run_id)
    with served.client() as client:
        client.say("Subscribe", topics=["runs.*"], after=first.position)
        assert [content["data"]["run_id"] for content in client.messages(3)] == ["r1", "r2", "r1"]
        assert client.until("Status")["status"] == "subscribed"
        run_started(served, "r3")
        assert client.messages(1)[0]["data"]["run_id"] == "r3"
        assert client.nothing_came()


def test_both_logs_can_be_resumed_at_once(served: Sockets) -> None:
    event = run_started(served, "r1")
    run_started(served, "r2")
    with served.client() as client:
        served.publisher.publish(NewMessage(topic="news", content="said"), tenant=served.tenant)
        client.say("Subscribe", topics=["**"], after={"messages": 0, "events": event.position})
        frames = [client.until("Broadcast") for _ in range(2)]  # each log is in order, the two are not ordered
        found = {frame["log"]: frame["payload"] for frame in frames}
        assert found["messages"] == "said"
        assert found["events"]["data"]["run_id"] == "r2"


def test_facts_of_other_tenants_stay_with_them(served: Sockets) -> None:
    with served.client(tenant=f"{served.tenant}-other") as other:
        other.subscribe("**")
        run_started(served, "r1")
        served.hub._facts._events.append(
            StreamId("run", "r2"),
            [NewEvent("run.started", {"run_id": "r2", "job": "tea"})],
            tenant=f"{served.tenant}-other",
        )
        assert other.messages(1)[0]["data"]["run_id"] == "r2"


@pytest.mark.parametrize(
    ("type", "data", "tags", "told"),
    [
        ("run.started", {"run_id": "r", "job": "tea"}, {}, ["runs.r"]),
        ("run.started", {"run_id": "not a part", "job": "tea"}, {}, []),
        ("workflow.created", {"workflow_id": "w", "workflow_type": "tea"}, {}, ["runs.w", "workflows.tea"]),
        (
            "workflow.node_started",
            {"workflow_id": "w", "node_id": "n"},
            {"workflow": "tea"},
            ["runs.w", "workflows.tea"],
        ),
        (
            "ai.rate_limit_hit",
            {"request_id": "q", "provider": "p", "model": "m", "limit_type": "tokens"},
            {"run_id": "r"},
            ["runs.r"],
        ),
        ("system.shut_down", {"component": "api"}, {}, []),
    ],
)
def test_which_event_is_told_where(type: str, data: dict[str, Any], tags: dict[str, str], told: list[str]) -> None:
    store = MemoryEventStore()
    (event,) = store.append(StreamId("x", "y"), [NewEvent(type, data, metadata=EventMetadata(tags=tags))]).events
    assert live.topics_of(event) == told
    assert (not told and type.startswith("system.")) or type in live.types()


# What Dagster itself notes.


@pytest.fixture(scope="module")
def dagster_storage(database: Database, database_url: str) -> tuple[PostgresRunStorage, PostgresEventLogStorage]:
    with database.connect() as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS dagster")
    url = database_url.replace("postgresql://", "postgresql+psycopg2://") + "?options=-csearch_path%3Ddagster"
    return PostgresRunStorage(url), PostgresEventLogStorage(url)


def note(storage: PostgresEventLogStorage, run_id: str, message: str, *, step: str | None = None) -> None:
    told = DagsterEvent(
        DagsterEventType.ENGINE_EVENT.value,
        "tea",
        step_key=step,
        message=message,
        event_specific_data=EngineEventData(),
    )
    storage.store_event(
        EventLogEntry(  # type: ignore[no-untyped-call]  # the class hides its constructor
            error_info=None,
            level=20,
            user_message="",
            run_id=run_id,
            timestamp=time.time(),
            job_name="tea",
            step_key=step,
            dagster_event=told,
        )
    )


def test_the_log_of_a_run_is_followed_entry_by_entry(
    served: Sockets, dagster_storage: tuple[PostgresRunStorage, PostgresEventLogStorage]
) -> None:
    runs, log = dagster_storage
    run_id = str(uuid.uuid4())
    runs.add_run(DagsterRun(job_name="tea", run_id=run_id, tags={TENANT_TAG: served.tenant}))
    with served.client() as client, served.client(tenant=f"{served.tenant}-other") as other:
        for one in (client, other):
            one.subscribe(f"runs.{run_id}")
        for number in range(5):
            note(log, run_id, f"line {number}", step="brew")
        found = client.messages(5)
        assert [content["message"] for content in found] == [f"line {number}" for number in range(5)]
        assert (found[0]["event"], found[0]["step"], found[0]["level"]) == ("dagster.engine_event", "brew", 20)
        assert other.nothing_came()


def test_the_tag_of_the_tenant_is_the_one_that_runs_have() -> None:
    assert RUN_TENANT_TAG == TENANT_TAG
