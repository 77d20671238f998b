"""A graph that has changed is ranked once it is at rest, tenant by tenant."""

from __future__ import annotations

import pytest

from assets.partitions import TENANT_TAG
from resources.events.memory import MemoryEventStore
from resources.events.model import NewEvent, StreamId
from sensors.ranking import LONGEST, QUIET, RUNS_PER_TICK, graph_changes


class Sensor:
    """The sensor, tick by tick, on a clock of its own."""

    def __init__(self) -> None:
        self.events = MemoryEventStore()
        self.now = 1000.0
        self.cursor: str | None = None

    def change(self, tenant: str) -> None:
        event = NewEvent("concept.withdrawn", {"concept": "trees", "name": "Trees"})
        self.events.append(StreamId("concept", "trees"), [event], tenant=tenant)

    def tick(self, after: float = 0.0) -> list[str]:
        """The tenants that are ranked."""
        self.now += after
        result = graph_changes(self.events, self.cursor, now=self.now)
        self.cursor = result.cursor
        return [request.tags[TENANT_TAG] for request in result.run_requests or ()]


@pytest.fixture
def sensor() -> Sensor:
    return Sensor()


def test_a_graph_is_ranked_once_when_it_has_come_to_rest(sensor: Sensor) -> None:
    sensor.change("acme")
    sensor.change("acme")
    assert sensor.tick() == []
    assert sensor.tick(QUIET - 1) == []
    assert sensor.tick(1) == ["acme"]
    assert sensor.tick(LONGEST) == []


def test_a_change_puts_it_off_but_not_for_ever(sensor: Sensor) -> None:
    ranked = []
    for _ in range(int(LONGEST / 10)):
        sensor.change("acme")
        ranked.append(sensor.tick(10))
    assert ranked[:-1] == [[]] * (len(ranked) - 1)
    assert sensor.tick(10) == ["acme"]


def test_each_tenant_has_a_turn_of_its_own_and_few_have_it_at_once(sensor: Sensor) -> None:
    tenants = [f"t{number}" for number in range(RUNS_PER_TICK + 2)]
    for tenant in tenants:
        sensor.change(tenant)
    sensor.tick()
    first, second = sensor.tick(QUIET), sensor.tick()
    assert len(first) == RUNS_PER_TICK
    assert sorted(first + second) == tenants


def test_a_tick_that_is_repeated_asks_for_the_same_run(sensor: Sensor) -> None:
    sensor.change("acme")
    sensor.tick()
    asked = [graph_changes(sensor.events, sensor.cursor, now=sensor.now + QUIET).run_requests for _ in range(2)]
    keys = [[request.run_key for request in requests or ()] for requests in asked]
    assert keys[0] == keys[1] == ["acme/1"]
