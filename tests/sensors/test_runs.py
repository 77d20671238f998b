"""Ends of runs as events: told once, whoever tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from assets.partitions import CORRELATION_TAG, PARTITION_TAG, TENANT_TAG
from resources.events.memory import MemoryEventStore
from resources.events.model import StreamId
from sensors.runs import build_run_end_sensors, record_end

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.events.model import RecordedEvent

TAGS = {TENANT_TAG: "acme", PARTITION_TAG: "guide-1", CORRELATION_TAG: "request-3"}


@dg.op
def work() -> None:
    """Works."""


@dg.op
def break_down() -> None:
    """Does not."""
    raise ValueError("the reason " * 1000)


@dg.job
def working() -> None:
    """Ends well."""
    work()


@dg.job
def breaking() -> None:
    """Ends badly."""
    break_down()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def events() -> MemoryEventStore:
    return MemoryEventStore()


def end_of(job: dg.JobDefinition, instance: dg.DagsterInstance, **tags: str) -> tuple[dg.DagsterRun, dg.DagsterEvent]:
    result = job.execute_in_process(instance=instance, raise_on_error=False, tags={**TAGS, **tags})
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    ends = instance.all_logs(run.run_id, {dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE})
    return run, ends[-1].get_dagster_event()


def told(events: MemoryEventStore, run: dg.DagsterRun, tenant: str = "acme") -> list[RecordedEvent]:
    return list(events.read_stream(StreamId("run", run.run_id), tenant=tenant))


def test_a_run_that_ended_well_is_told_with_its_facts(events: MemoryEventStore, instance: dg.DagsterInstance) -> None:
    run, end = end_of(working, instance)
    record_end(events, run, end, milliseconds=250)
    (event,) = told(events, run)
    assert event.type == "run.succeeded"
    assert event.data == {"run_id": run.run_id, "job": "working", "partition": "guide-1", "duration_ms": 250}
    assert (event.metadata.correlation_id, event.metadata.source) == ("request-3", "dagster")


def test_a_run_that_failed_is_told_with_the_beginning_of_the_reason(
    events: MemoryEventStore, instance: dg.DagsterInstance
) -> None:
    run, end = end_of(breaking, instance)
    record_end(events, run, end, milliseconds=None)
    (event,) = told(events, run)
    assert (event.type, event.data["outcome"], event.data["duration_ms"]) == ("run.failed", "failed", None)
    assert 0 < len(event.data["error"]) <= 2000


def test_a_cancelled_run_is_told_as_such(events: MemoryEventStore, instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(working, tags=TAGS)
    end = instance.report_run_canceled(run)
    record_end(events, run, end, milliseconds=None)
    (event,) = told(events, run)
    assert (event.type, event.data["outcome"]) == ("run.failed", "cancelled")


def test_an_end_that_is_told_twice_is_stored_once(events: MemoryEventStore, instance: dg.DagsterInstance) -> None:
    run, end = end_of(working, instance)
    for milliseconds in (250, 251, None):
        record_end(events, run, end, milliseconds=milliseconds)
    assert [event.data["duration_ms"] for event in told(events, run)] == [250]


def test_a_run_without_a_tenant_belongs_to_the_default_one(
    events: MemoryEventStore, instance: dg.DagsterInstance
) -> None:
    result = working.execute_in_process(instance=instance)
    run = instance.get_run_by_id(result.run_id)
    assert run is not None
    record_end(events, run, result.all_events[-1], milliseconds=1)
    assert len(told(events, run, tenant="default")) == 1


@pytest.mark.parametrize(
    ("sensor_name", "job", "kind"),
    [("run_succeeded", working, "run.succeeded"), ("run_failed", breaking, "run.failed")],
)
def test_the_sensors_tell_the_ends_with_their_durations(
    events: MemoryEventStore, instance: dg.DagsterInstance, sensor_name: str, job: dg.JobDefinition, kind: str
) -> None:
    (sensor,) = [item for item in build_run_end_sensors() if item.name == sensor_name]
    run, end = end_of(job, instance)
    context: Any = dg.build_run_status_sensor_context(
        sensor_name=sensor_name,
        dagster_event=end,
        dagster_instance=instance,
        dagster_run=run,
        resources={"events": events},
    )
    sensor(context)
    (event,) = told(events, run)
    assert event.type == kind
    assert 0 <= event.data["duration_ms"] < 60_000


def test_there_is_a_sensor_for_each_way_to_end() -> None:
    assert {sensor.name for sensor in build_run_end_sensors()} == {"run_succeeded", "run_failed", "run_cancelled"}
    assert {sensor.default_status for sensor in build_run_end_sensors()} == {dg.DefaultSensorStatus.RUNNING}
