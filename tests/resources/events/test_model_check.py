"""Random histories: the stores in PostgreSQL must answer as the one in memory does."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from resources.errors import ConflictError
from resources.events.memory import MemoryEventStore
from resources.events.model import Expected, NewEvent, StreamAppend, StreamId
from resources.events.postgres import PostgresEventStore
from tests.contracts.event_store import received
from tests.resources.events.test_writer import WritesThroughTheWriter

if TYPE_CHECKING:
    import pytest

    from resources.database.postgres import Database
    from resources.events.store import EventStore

STREAMS = [StreamId("document", name) for name in ("a", "b", "c")]
EXPECTED = st.one_of(st.sampled_from(list(Expected)), st.integers(0, 6))
STREAM = st.sampled_from(STREAMS)


def answer_of(store: EventStore, appends: list[StreamAppend], tenant: str) -> Any:
    try:
        answers = store.append_all(appends, tenant=tenant)
    except ConflictError as error:
        return error.code, error.details
    return [[(event.event_id, event.version) for event in answer.events] for answer in answers]


def shown(store: EventStore, tenant: str) -> list[Any]:
    return [
        (event.event_id, event.stream, event.version, event.type, event.data, event.checksum)
        for event in store.read_all(tenant=tenant)
    ]


def machine(tested: EventStore) -> type[RuleBasedStateMachine]:
    class Histories(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.model = MemoryEventStore()
            self.tenant = f"m-{uuid.uuid4().hex[:12]}"
            self.made: list[list[StreamAppend]] = []
            self.number = 0

        def events(self, count: int) -> tuple[NewEvent, ...]:
            self.number += count
            return tuple(received(self.number + place) for place in range(count))

        def compare(self, appends: list[StreamAppend]) -> None:
            self.made.append(appends)
            assert answer_of(tested, appends, self.tenant) == answer_of(self.model, appends, self.tenant)

        @rule(stream=STREAM, count=st.integers(1, 3), expected=EXPECTED)
        def append(self, stream: StreamId, count: int, expected: int | Expected) -> None:
            self.compare([StreamAppend(stream, self.events(count), expected)])

        @rule(streams=st.lists(st.tuples(STREAM, EXPECTED), min_size=2, max_size=3, unique_by=lambda pair: pair[0].id))
        def append_several(self, streams: list[tuple[StreamId, int | Expected]]) -> None:
            self.compare([StreamAppend(stream, self.events(1), expected) for stream, expected in streams])

        @precondition(lambda self: self.made)
        @rule(data=st.data())
        def repeat(self, data: st.DataObject) -> None:
            self.compare(data.draw(st.sampled_from(self.made)))

        @precondition(lambda self: self.made)
        @rule(data=st.data(), stream=STREAM)
        def use_ids_again(self, data: st.DataObject, stream: StreamId) -> None:
            old = data.draw(st.sampled_from(self.made))[0].events[0]
            fresh = self.events(1)
            self.compare([StreamAppend(stream, data.draw(st.sampled_from([(old,), (old, *fresh), (*fresh, old)])))])

        @rule(stream=STREAM, after=st.integers(0, 5), limit=st.integers(1, 5), backwards=st.booleans())
        def read(self, stream: StreamId, after: int, limit: int, *, backwards: bool) -> None:
            options: dict[str, Any] = {"after_version": after, "limit": limit, "backwards": backwards}
            found, wanted = (
                [event.event_id for event in store.read_stream(stream, tenant=self.tenant, **options)]
                for store in (tested, self.model)
            )
            assert found == wanted

        @invariant()
        def all_is_the_same(self) -> None:
            assert shown(tested, self.tenant) == shown(self.model, self.tenant)

    return Histories


def check(store: EventStore) -> None:
    quick = settings(max_examples=25, stateful_step_count=15, suppress_health_check=list(HealthCheck), database=None)
    run_state_machine_as_test(machine(store), settings=quick)


def test_the_store_answers_as_the_model_does(database: Database) -> None:
    check(PostgresEventStore(database))


def test_the_writer_answers_as_the_model_does(database: Database, request: pytest.FixtureRequest) -> None:
    store = WritesThroughTheWriter(database, copy=True)
    request.addfinalizer(store.close)
    check(store)
