"""What every event store promises. Subclass it and give a `store`."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest

from resources.errors import ConcurrencyError, ConflictError, InvalidInputError
from resources.events import envelope
from resources.events.model import EventMetadata, Expected, NewEvent, StreamAppend, StreamId
from resources.telemetry.correlation import correlated

if TYPE_CHECKING:
    from resources.events.store import EventStore


def received(number: int = 1, **changes: Any) -> NewEvent:
    """A valid event, different for each number."""
    data = {
        "document_id": f"doc-{number}",
        "sha256": f"{number:064x}",
        "uri": f"file:///docs/{number}.md",
        "name": f"{number}.md",
        "media_type": "text/markdown",
        "size_bytes": number,
    }
    return NewEvent("document.received", data, **changes)


def rejected(code: str = "document_empty", **changes: Any) -> NewEvent:
    return NewEvent("document.rejected", {"document_id": "d", "code": code, "reason": "It is.", "uri": "u"}, **changes)


A, B = StreamId("document", "a"), StreamId("document", "b")


class EventStoreContract:
    @pytest.fixture
    def store(self) -> EventStore:
        raise NotImplementedError

    # Appending

    def test_versions_count_from_one_without_gaps(self, store: EventStore, tenant: str) -> None:
        first = store.append(A, [received(1), received(2)], tenant=tenant)
        second = store.append(A, [received(3)], tenant=tenant)
        assert [event.version for event in (*first.events, *second.events)] == [1, 2, 3]
        assert second.version == 3

    def test_positions_increase_across_streams(self, store: EventStore, tenant: str) -> None:
        appended = [store.append(stream, [received(n)], tenant=tenant) for n, stream in enumerate([A, B, A, B])]
        positions = [answer.position for answer in appended]
        assert positions == sorted(set(positions))

    def test_the_answer_is_what_readers_see(self, store: EventStore, tenant: str) -> None:
        metadata = EventMetadata(correlation_id="story-1", user_id="ada", tags={"team": "blue"})
        appended = store.append(A, [received(1, metadata=metadata), received(2)], tenant=tenant)
        assert list(store.read_stream(A, tenant=tenant)) == list(appended.events)
        assert list(store.read_all(tenant=tenant)) == list(appended.events)

    def test_defaults_of_the_payload_are_stored(self, store: EventStore, tenant: str) -> None:
        stored = store.append(A, [received()], tenant=tenant).events[0]
        assert stored.data["requires"] == []
        assert stored.data["title"] is None
        assert stored.schema_version == 1

    @pytest.mark.parametrize(
        ("expected", "exists", "fits"),
        [
            (Expected.ANY, False, True),
            (Expected.ANY, True, True),
            (Expected.NO_STREAM, False, True),
            (Expected.NO_STREAM, True, False),
            (Expected.EXISTS, False, False),
            (Expected.EXISTS, True, True),
            (0, False, True),
            (0, True, False),
            (1, True, True),
            (1, False, False),
            (2, True, False),
        ],
    )
    def test_an_append_happens_only_at_the_expected_version(
        self, store: EventStore, tenant: str, expected: int | Expected, *, exists: bool, fits: bool
    ) -> None:
        if exists:
            store.append(A, [received(1)], tenant=tenant)
        before = list(store.read_all(tenant=tenant))
        if fits:
            assert store.append(A, [received(2)], expected_version=expected, tenant=tenant).version == 1 + exists
        else:
            with pytest.raises(ConcurrencyError) as caught:
                store.append(A, [received(2)], expected_version=expected, tenant=tenant)
            assert caught.value.actual == int(exists)
            assert list(store.read_all(tenant=tenant)) == before

    def test_repeating_an_append_stores_it_once(self, store: EventStore, tenant: str) -> None:
        events = [received(1), received(2)]
        first = store.append(A, events, expected_version=0, tenant=tenant)
        store.append(A, [received(3)], tenant=tenant)
        assert store.append(A, events, expected_version=0, tenant=tenant) == first
        assert len(store.read_all(tenant=tenant)) == 3

    def test_an_id_of_another_fact_is_refused(self, store: EventStore, tenant: str) -> None:
        event = received(1)
        store.append(A, [event], tenant=tenant)
        for stream, other in [
            (B, event),
            (A, received(2, event_id=event.event_id)),
            (A, rejected(event_id=event.event_id)),
        ]:
            with pytest.raises(ConflictError, match="another event") as caught:
                store.append(stream, [other], tenant=tenant)
            assert caught.value.code == "event_id_reused"
        with pytest.raises(ConflictError, match="others were not"):
            store.append(A, [event, received(2)], tenant=tenant)
        assert len(store.read_all(tenant=tenant)) == 1

    def test_the_same_id_may_be_used_by_two_tenants(self, store: EventStore, tenant: str) -> None:
        event = received(1)
        store.append(A, [event], tenant=tenant)
        assert store.append(A, [event], tenant=f"{tenant}-2").version == 1

    def test_several_streams_are_appended_together(self, store: EventStore, tenant: str) -> None:
        store.append(B, [received(0)], tenant=tenant)
        answers = store.append_all(
            [StreamAppend(A, (received(1), received(2)), 0), StreamAppend(B, (received(3),), 1)], tenant=tenant
        )
        assert [answer.version for answer in answers] == [2, 2]
        assert [event.data["size_bytes"] for event in store.read_all(tenant=tenant)] == [0, 1, 2, 3]

    def test_one_conflict_refuses_all_streams(self, store: EventStore, tenant: str) -> None:
        appends = [StreamAppend(A, (received(1),), 0), StreamAppend(B, (received(2),), 7)]
        with pytest.raises(ConcurrencyError, match="document/b") as caught:
            store.append_all(appends, tenant=tenant)
        assert (caught.value.expected, caught.value.actual) == ("7", 0)
        assert list(store.read_all(tenant=tenant)) == []

    def test_all_problems_are_told_at_once(self, store: EventStore, tenant: str) -> None:
        wrong = [
            NewEvent("order.placed", {}),
            NewEvent("document.received", {"size_bytes": -1, "colour": "red"}),
            received(1, metadata=EventMetadata(user_id="a\x00b"), occurred_at=datetime(2026, 1, 1)),  # noqa: DTZ001
            received(2, schema_version=99),
        ]
        with pytest.raises(InvalidInputError) as caught:
            store.append(StreamId("Document", ""), wrong, tenant=tenant)
        paths = {problem.path for problem in caught.value.problems}
        assert paths >= {
            "stream.type",
            "stream.id",
            "events[0].type",
            "events[1].data.size_bytes",
            "events[1].data.colour",
            "events[1].data.document_id",
            "events[2].metadata.user_id",
            "events[2].occurred_at",
            "events[3].schema_version",
        }
        assert list(store.read_all(tenant=tenant)) == []

    def test_nothing_is_not_an_append(self, store: EventStore, tenant: str) -> None:
        with pytest.raises(InvalidInputError, match="nothing to append"):
            store.append(A, [], tenant=tenant)

    def test_a_tenant_needs_a_name(self, store: EventStore) -> None:
        with pytest.raises(InvalidInputError, match="tenant"):
            store.append(A, [received()], tenant="*")

    @pytest.mark.parametrize(
        "text", ["", "\x00", "'; DROP TABLE aiw.event; --", "日本語 🚀", '"\\', "\u2028", "x" * 5000]
    )
    def test_any_text_comes_back_as_it_was(self, store: EventStore, tenant: str, text: str) -> None:
        store.append(A, [rejected(text)], tenant=tenant)
        assert store.read_all(tenant=tenant)[0].data["code"] == text

    def test_what_is_stored_is_intact(self, store: EventStore, tenant: str) -> None:
        east = timezone(timedelta(hours=9))
        metadata = EventMetadata(correlation_id="c-1", tags={"b": "ü", "a": ""})
        stored = store.append(
            A,
            [received(1, metadata=metadata, occurred_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=east))],
            tenant=tenant,
        )
        found = store.read_all(tenant=tenant)[0]
        assert found == stored.events[0]
        assert found.occurred_at == datetime(2026, 1, 1, 18, 4, 5, 678901, tzinfo=UTC)
        assert envelope.is_intact(found)

    def test_the_correlation_in_progress_is_recorded(self, store: EventStore, tenant: str) -> None:
        with correlated("request-12345"):
            store.append(A, [received(1), received(2, metadata=EventMetadata(correlation_id="mine"))], tenant=tenant)
        found = [event.metadata.correlation_id for event in store.read_all(tenant=tenant)]
        assert found == ["request-12345", "mine"]

    def test_racing_writers_of_one_version_have_one_winner(self, store: EventStore, tenant: str) -> None:
        barrier = threading.Barrier(6)

        def write(number: int) -> bool:
            barrier.wait()
            try:
                store.append(A, [received(number)], expected_version=0, tenant=tenant)
            except ConcurrencyError:
                return False
            return True

        with ThreadPoolExecutor(6) as pool:
            assert sum(pool.map(write, range(6))) == 1
        assert len(store.read_stream(A, tenant=tenant)) == 1

    def test_writers_that_expect_nothing_all_win(self, store: EventStore, tenant: str) -> None:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: store.append(A, [received(number)], tenant=tenant), range(40)))
        assert [event.version for event in store.read_stream(A, tenant=tenant)] == list(range(1, 41))

    # Reading

    def test_a_stream_is_read_from_a_version_both_ways(self, store: EventStore, tenant: str) -> None:
        store.append(A, [received(number) for number in range(1, 7)], tenant=tenant)
        store.append(B, [received(9)], tenant=tenant)

        def versions(**bounds: Any) -> list[int]:
            return [event.version for event in store.read_stream(A, tenant=tenant, **bounds)]

        assert versions() == [1, 2, 3, 4, 5, 6]
        assert versions(after_version=4) == [5, 6]
        assert versions(after_version=1, limit=2) == [2, 3]
        assert versions(backwards=True, limit=2) == [6, 5]
        assert versions(up_to_version=3, backwards=True) == [3, 2, 1]
        assert versions(after_version=1, up_to_version=3) == [2, 3]
        assert versions(after_version=6) == []

    def test_a_stream_is_read_as_it_was(self, store: EventStore, tenant: str) -> None:
        first = store.append(A, [received(1)], tenant=tenant)
        threading.Event().wait(0.002)
        second = store.append(A, [received(2)], tenant=tenant)
        as_of_position = store.read_stream(A, up_to_position=first.position, tenant=tenant)
        as_of_time = store.read_stream(A, up_to_time=first.events[0].recorded_at, tenant=tenant)
        now = store.read_stream(A, up_to_time=second.events[0].recorded_at, tenant=tenant)
        assert (list(as_of_position), list(as_of_time)) == ([*first.events], [*first.events])
        assert len(now) == 2

    def test_an_unknown_stream_is_empty(self, store: EventStore, tenant: str) -> None:
        assert list(store.read_stream(StreamId("document", "none"), tenant=tenant)) == []

    def test_all_events_are_read_in_pages(self, store: EventStore, tenant: str) -> None:
        for number in range(7):
            store.append(StreamId("document", str(number % 3)), [received(number)], tenant=tenant)
        seen: list[int] = []
        position = 0
        while page := store.read_all(after_position=position, limit=3, tenant=tenant):
            seen += [event.data["size_bytes"] for event in page]
            position = page[-1].position
        assert seen == list(range(7))

    def test_all_events_are_read_through_filters(self, store: EventStore, tenant: str) -> None:
        blue, both = EventMetadata(tags={"team": "blue"}), EventMetadata(tags={"team": "blue", "env": "test"})
        store.append(A, [received(1), rejected("x", metadata=blue)], tenant=tenant)
        store.append(StreamId("other", "1"), [rejected("y", metadata=both)], tenant=tenant)
        last = store.append(A, [received(2)], tenant=tenant).position

        def found(**filters: Any) -> list[Any]:
            events = store.read_all(tenant=tenant, **filters)
            return [event.data.get("code", event.data.get("size_bytes")) for event in events]

        assert found(types=["document.rejected"]) == ["x", "y"]
        assert found(types=["document.rejected", "document.received"]) == [1, "x", "y", 2]
        assert found(types=[]) == []
        assert found(stream_type="other") == ["y"]
        assert found(tags={"team": "blue"}) == ["x", "y"]
        assert found(tags={"team": "blue", "env": "test"}) == ["y"]
        assert found(tags={"team": "blue"}, stream_type="document") == ["x"]
        assert found(up_to_position=last - 1) == [1, "x", "y"]

    def test_a_story_is_read_by_its_correlation(self, store: EventStore, tenant: str) -> None:
        story = EventMetadata(correlation_id="story-77")
        store.append(A, [received(1, metadata=story), received(2)], tenant=tenant)
        store.append(B, [received(3, metadata=story)], tenant=tenant)
        events = store.read_correlation("story-77", tenant=tenant)
        assert [event.data["size_bytes"] for event in events] == [1, 3]
        later = store.read_correlation("story-77", after_position=events[0].position, tenant=tenant)
        assert [event.data["size_bytes"] for event in later] == [3]

    def test_events_are_found_by_id(self, store: EventStore, tenant: str) -> None:
        events = [received(1), received(2), received(3)]
        store.append(A, events, tenant=tenant)
        wanted = [events[2].event_id, events[0].event_id, uuid.uuid4()]
        assert [event.data["size_bytes"] for event in store.find(wanted, tenant=tenant)] == [1, 3]

    def test_the_head_is_the_newest_position(self, store: EventStore, tenant: str) -> None:
        assert store.head(tenant=tenant) == 0
        assert store.append(A, [received(1), received(2)], tenant=tenant).position == store.head(tenant=tenant)

    def test_tenants_do_not_see_each_other(self, store: EventStore, tenant: str) -> None:
        other = f"{tenant}-other"
        event = received(1, metadata=EventMetadata(correlation_id="secret-1"))
        position = store.append(A, [event], tenant=tenant).position
        assert list(store.read_all(tenant=other)) == []
        assert list(store.read_stream(A, tenant=other)) == []
        assert list(store.read_correlation("secret-1", tenant=other)) == []
        assert list(store.find([event.event_id], tenant=other)) == []
        assert store.head(tenant=other) == 0
        seen = store.read_all(after_position=position - 1, limit=1, tenant=None)
        assert [found.tenant for found in seen] == [tenant]

    # Waiting

    def test_watchers_hear_of_an_append(self, store: EventStore, tenant: str) -> None:
        heard = threading.Event()
        cancel = store.watch(heard.set)
        heard.clear()
        store.append(A, [received()], tenant=tenant)
        assert heard.wait(60)
        cancel()
