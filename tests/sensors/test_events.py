"""From received documents to runs: what one tick asks for, and what a repeated one does not add."""

from __future__ import annotations

import uuid
from contextlib import closing
from typing import TYPE_CHECKING

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context

from assets.partitions import CORRELATION_TAG, DOCUMENTS, POSITION_TAG, TENANT_TAG
from resources.errors import UnavailableError
from resources.events.memory import MemoryEventStore
from resources.events.model import EventMetadata, NewEvent, StreamId
from resources.events.postgres import PostgresEventStore
from sensors.events import (
    EVENTS_PER_TICK,
    RETRIES_OF_LOST_RUNS,
    RETRIES_TAG,
    build_document_events_sensor,
    document_events,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from resources.database.postgres import Database
    from resources.events.model import RecordedEvent
    from resources.events.store import EventStore

SENSOR = build_document_events_sensor(job_name="ingest_document", claim=set)


@dg.asset(partitions_def=DOCUMENTS)
def document() -> None:
    """Stands for the way of a document."""


DEFINITIONS = dg.Definitions(
    assets=[document],
    jobs=[dg.define_asset_job("ingest_document", selection=[document])],
    sensors=[SENSOR],
    resources={"events": MemoryEventStore()},
)


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[EventStore]:
    if request.param == "memory":
        yield MemoryEventStore()
        return
    database: Database = request.getfixturevalue("database")
    with closing(PostgresEventStore(database)) as events:
        yield events


@pytest.fixture
def cursor(store: EventStore) -> str:
    """Where the test begins: other tests have used the same database."""
    return str(store.head(tenant=None))


def receive(events: EventStore, *names: str, tenant: str, correlation_id: str | None = None) -> Sequence[RecordedEvent]:
    recorded: list[RecordedEvent] = []
    for name in names:
        data = {
            "document_id": name,
            "sha256": "0" * 64,
            "uri": f"file:///{name}",
            "name": name,
            "media_type": "text/plain",
            "size_bytes": 1,
        }
        event = NewEvent(type="document.received", data=data, metadata=EventMetadata(correlation_id=correlation_id))
        recorded.extend(events.append(StreamId("document", name), [event], tenant=tenant).events)
    return recorded


def tick(events: EventStore, cursor: str | None) -> dg.SensorResult:
    answer = document_events(events, cursor)
    assert isinstance(answer, dg.SensorResult)
    return answer


def runs(answer: dg.SensorResult) -> Sequence[dg.RunRequest]:
    return answer.run_requests or []


def added_partitions(answer: dg.SensorResult) -> set[str]:
    found = set()
    for request in answer.dynamic_partitions_requests or []:
        assert isinstance(request, dg.AddDynamicPartitionsRequest)
        assert request.partitions_def_name == DOCUMENTS.name
        found |= set(request.partition_keys)
    return found


def test_each_received_document_gets_one_run_of_its_partition(store: EventStore, cursor: str, tenant: str) -> None:
    recorded = receive(store, "a-1", "b-2", tenant=tenant, correlation_id="request-9")
    answer = tick(store, cursor)
    assert [run.partition_key for run in runs(answer)] == ["a-1", "b-2"]
    assert [run.run_key for run in runs(answer)] == [str(event.event_id) for event in recorded]
    assert [run.tags for run in runs(answer)] == [
        {
            TENANT_TAG: tenant,
            POSITION_TAG: str(event.position),
            CORRELATION_TAG: "request-9",
            RETRIES_TAG: RETRIES_OF_LOST_RUNS,
        }
        for event in recorded
    ]
    assert added_partitions(answer) == {"a-1", "b-2"}
    assert answer.cursor == str(recorded[-1].position)


def test_the_next_tick_goes_on_after_the_cursor(store: EventStore, cursor: str, tenant: str) -> None:
    receive(store, "a-1", tenant=tenant)
    first = tick(store, cursor)
    receive(store, "b-2", tenant=tenant)
    second = tick(store, first.cursor)
    assert [run.partition_key for run in runs(second)] == ["b-2"]
    assert isinstance(document_events(store, second.cursor), dg.SkipReason)


def test_a_repeated_tick_asks_for_the_same_runs(store: EventStore, cursor: str, tenant: str) -> None:
    """Dagster starts one run a key, so a tick that died after its runs were started does no harm."""
    receive(store, "a-1", "b-2", tenant=tenant)
    first, again = tick(store, cursor), tick(store, cursor)
    assert [run.run_key for run in runs(first)] == [run.run_key for run in runs(again)]
    assert first.cursor == again.cursor


def test_a_new_revision_is_another_run_of_the_same_partition(store: EventStore, cursor: str, tenant: str) -> None:
    receive(store, "a-1", "a-1", tenant=tenant)
    answer = tick(store, cursor)
    assert [run.partition_key for run in runs(answer)] == ["a-1", "a-1"]
    assert len({run.run_key for run in runs(answer)}) == 2
    assert added_partitions(answer) == {"a-1"}


def test_documents_of_all_tenants_are_seen_and_each_run_knows_its_own(
    store: EventStore, cursor: str, tenant: str
) -> None:
    receive(store, "a-1", tenant=f"{tenant}-one")
    receive(store, "b-2", tenant=f"{tenant}-two")
    found = {run.partition_key: run.tags[TENANT_TAG] for run in runs(tick(store, cursor))}
    assert found == {"a-1": f"{tenant}-one", "b-2": f"{tenant}-two"}


def test_a_tick_takes_a_hundred_and_the_ticks_together_take_all(store: EventStore, cursor: str, tenant: str) -> None:
    names = [f"d-{number:03}" for number in range(2 * EVENTS_PER_TICK + 30)]
    receive(store, *names, tenant=tenant)
    seen: list[str | None] = []
    sizes = []
    position: str | None = cursor
    while isinstance(answer := document_events(store, position), dg.SensorResult):
        sizes.append(len(runs(answer)))
        seen += [run.partition_key for run in runs(answer)]
        position = answer.cursor
    assert sizes == [100, 100, 30]
    assert seen == names


def test_other_events_start_nothing(store: EventStore, cursor: str, tenant: str) -> None:
    fact = NewEvent(type="run.started", data={"run_id": "r", "job": "j"})
    store.append(StreamId("run", uuid.uuid4().hex), [fact], tenant=tenant)
    skipped = document_events(store, cursor)
    assert isinstance(skipped, dg.SkipReason)
    assert cursor in (skipped.skip_message or "")


def test_the_first_tick_begins_at_the_beginning() -> None:
    store = MemoryEventStore()
    assert isinstance(document_events(store, None), dg.SkipReason)
    receive(store, "a-1", tenant="t")
    assert [run.partition_key for run in runs(tick(store, None))] == ["a-1"]


def test_dagster_evaluates_the_sensor(tmp_path: Path) -> None:
    store = MemoryEventStore()
    (recorded,) = receive(store, "a-1", tenant="acme")
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        context = dg.SensorEvaluationContext(  # as the code server builds it: build_sensor_context knows no partitions
            instance_ref=instance.get_ref(),
            last_tick_completion_time=None,
            last_run_key=None,
            cursor=None,
            repository_name=None,
            repository_def=DEFINITIONS.get_repository_def(),
            sensor_name=SENSOR.name,
            resources={"events": dg.ResourceDefinition.hardcoded_resource(store)},
        )
        with context, partition_loading_context(dynamic_partitions_store=instance):
            outcome = SENSOR.evaluate_tick(context)
    (request,) = outcome.run_requests or []
    assert (request.partition_key, request.run_key, outcome.cursor) == ("a-1", str(recorded.event_id), "1")
    assert request.tags[TENANT_TAG] == "acme"


def test_a_database_out_of_reach_fails_the_tick_and_leaves_the_cursor() -> None:
    class Unreachable(MemoryEventStore):
        def read_all(self, **_: object) -> Sequence[RecordedEvent]:
            raise UnavailableError("The database cannot be reached.", dependency="database")

    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(UnavailableError):
        SENSOR(dg.build_sensor_context(instance=instance, cursor="7", resources={"events": Unreachable()}))


def test_the_sensor_runs_from_the_start_and_looks_often() -> None:
    assert SENSOR.default_status is dg.DefaultSensorStatus.RUNNING
    assert SENSOR.minimum_interval_seconds == 1


def test_a_document_whose_run_was_started_elsewhere_is_passed_over() -> None:
    store = MemoryEventStore()
    (pushed,) = receive(store, "a-1", tenant="t")
    receive(store, "a-2", tenant="t")
    answer = document_events(store, None, claim=lambda keys: set(keys) - {("t", str(pushed.event_id))})
    assert isinstance(answer, dg.SensorResult)
    assert [run.partition_key for run in runs(answer)] == ["a-2"]
    assert answer.cursor == "2"
