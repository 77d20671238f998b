"""The clock and assets, look by look: what a look asks for, and what a wrong trigger does not break."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from definitions.jobs import JOBS
from resources.errors import InvalidInputError, UnavailableError
from resources.events.memory import MemoryEventStore
from resources.workflows.definitions import WorkflowDefinitions
from resources.workflows.spec import WorkflowSpec
from resources.workflows.triggers import RESERVED
from sensors.triggers import build_assets_sensor, build_schedules_sensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.workflows.triggers import Start

TENANT = "default"


@dg.asset
def watched() -> None:
    """Stands for something that changes."""


class Platform:
    """What is published, what was started, and the cursor that looks leave."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.events = MemoryEventStore()
        self.started: list[Start] = []
        self.error: Exception | None = None
        self.cursor: str | None = None

    def publish(self, **trigger: Any) -> None:
        node = {"id": "say", "type": "template", "config": {"template": "x"}}
        spec = WorkflowSpec.model_validate({"name": "waits", "nodes": [node], "triggers": [trigger]})
        WorkflowDefinitions(self.events).publish(spec, tenant=TENANT)

    def start(self, start: Start) -> str:
        if self.error is not None:
            raise self.error
        self.started.append(start)
        return "run"

    def look(self, sensor: dg.SensorDefinition) -> None:
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor, resources={"events": self.events})
        self.cursor = sensor.evaluate_tick(context).cursor

    def told(self) -> list[str]:
        found = self.events.read_all(types={"system.error_occurred"}, tenant=TENANT)
        return [event.data["message"] for event in found]


@pytest.fixture
def platform() -> Iterator[Platform]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Platform(instance)


def test_a_minute_that_has_passed_since_the_last_look_starts_a_run(platform: Platform) -> None:
    platform.publish(type="schedule", cron="* * * * *")
    sensor = build_schedules_sensor(launch=platform.start)
    platform.look(sensor)
    assert platform.started == []
    assert platform.cursor is not None
    published = WorkflowDefinitions(platform.events).list(TENANT)[0].published_at
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    platform.cursor = (datetime.now(UTC) - timedelta(minutes=2)).isoformat()
    platform.look(sensor)
    assert [start.tags["aiw/scheduled-for"] for start in platform.started] == (
        [minute.isoformat()] if minute > published else []
    )


def test_a_trigger_that_cannot_start_is_told_and_the_look_goes_on(platform: Platform) -> None:
    platform.publish(type="asset", assets=["watched"])
    dg.materialize([watched], instance=platform.instance)
    platform.error = InvalidInputError("It wants an input.")
    platform.look(build_assets_sensor(launch=platform.start))
    assert ["It wants an input." in message for message in platform.told()] == [True]
    assert platform.cursor != "{}"


def test_a_look_without_a_server_is_repeated(platform: Platform) -> None:
    platform.publish(type="asset", assets=["watched"])
    dg.materialize([watched], instance=platform.instance)
    sensor = build_assets_sensor(launch=platform.start)
    platform.error = UnavailableError("The database is away.", dependency="database")
    with pytest.raises(UnavailableError):
        platform.look(sensor)
    platform.error = None
    platform.look(sensor)
    assert len(platform.started) == 1


def test_each_materialisation_is_seen_once_and_none_from_before(platform: Platform) -> None:
    dg.materialize([watched], instance=platform.instance)
    platform.publish(type="asset", assets=["watched"])
    sensor = build_assets_sensor(launch=platform.start)
    platform.look(sensor)
    assert platform.started == []
    for _ in range(2):
        dg.materialize([watched], instance=platform.instance)
        platform.look(sensor)
        platform.look(sensor)
    assert len({start.key for start in platform.started}) == len(platform.started) == 2


def test_no_workflow_can_have_the_name_of_a_job_of_the_platform() -> None:
    assert {job.name for job in JOBS} <= RESERVED
