from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from resources.events.memory import MemoryEventStore
from tests.contracts.event_store import A, EventStoreContract, received

if TYPE_CHECKING:
    from resources.events.store import EventStore


class TestMemoryEventStore(EventStoreContract):
    @pytest.fixture
    def store(self) -> EventStore:
        return MemoryEventStore()


def test_a_clock_that_goes_back_does_not_reorder_a_stream() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = iter([start, start - timedelta(hours=1)])
    store = MemoryEventStore(now=lambda: next(times))
    store.append(A, [received(1)])
    store.append(A, [received(2)])
    assert [event.recorded_at for event in store.read_stream(A)] == [start, start]


def test_later_changes_of_the_callers_objects_do_not_reach_the_store() -> None:
    store = MemoryEventStore()
    event = received(1)
    store.append(A, [event])
    event.data["name"] = "changed"  # type: ignore[index]  # a caller may hold a plain dict
    assert store.read_all()[0].data["name"] == "1.md"
