from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from resources.errors import InvalidInputError, NotFoundError
from resources.events.memory import MemoryEventStore
from resources.events.model import EventMetadata, StreamId, new_event_id
from resources.events.postgres import PostgresEventStore
from resources.events.replays.memory import MemoryReplays
from resources.events.replays.model import ReplayRequest, Selection
from resources.events.replays.postgres import PostgresReplays
from resources.events.replays.replayer import Replayer, Target
from tests.contracts.event_store import A, B, received, rejected

if TYPE_CHECKING:
    from resources.events.model import RecordedEvent
    from resources.events.projections.model import Progress
    from resources.events.replays.store import ReplayStore
    from resources.events.store import EventStore


@pytest.fixture(params=["memory", "postgres"])
def store(request: pytest.FixtureRequest) -> EventStore:
    return MemoryEventStore() if request.param == "memory" else PostgresEventStore(request.getfixturevalue("database"))


@pytest.fixture
def replays(store: EventStore, request: pytest.FixtureRequest) -> ReplayStore:
    if isinstance(store, MemoryEventStore):
        return MemoryReplays()
    return PostgresReplays(request.getfixturevalue("database"))


class Seen(list["RecordedEvent"]):
    def numbers(self) -> list[int]:
        return [event.data.get("size_bytes", -1) for event in self]


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def acted() -> Seen:
    return Seen()


@pytest.fixture
def replayer(store: EventStore, replays: ReplayStore, seen: Seen, acted: Seen) -> Replayer:
    targets = {"rows": Target(seen.append, effects=False), "runs": Target(acted.append, effects=True)}
    return Replayer(store, replays, targets, batch=200)


@pytest.fixture
def story(store: EventStore, tenant: str) -> list[int]:
    told = EventMetadata(correlation_id="story-1")
    positions = [
        store.append(
            stream, [received(number, metadata=told if number % 2 else EventMetadata())], tenant=tenant
        ).position
        for number, stream in enumerate([A, B, A, B, A, B])
    ]
    return [*positions, store.append(A, [rejected()], tenant=tenant).position]


def test_a_replay_delivers_what_was_selected_in_order(
    replayer: Replayer, seen: Seen, story: list[int], tenant: str
) -> None:
    selections = {
        "all": (Selection(tenant), [0, 1, 2, 3, 4, 5, -1]),
        "range": (Selection(tenant, after_position=story[1], up_to_position=story[3]), [2, 3]),
        "types": (Selection(tenant, types=("document.rejected",)), [-1]),
        "stream": (Selection(tenant, stream=A), [0, 2, 4, -1]),
        "stream and types": (Selection(tenant, stream=A, types=("document.received",)), [0, 2, 4]),
        "stream and range": (Selection(tenant, stream=A, after_position=story[0], up_to_position=story[4]), [2, 4]),
        "story": (Selection(tenant, correlation_id="story-1"), [1, 3, 5]),
    }
    for selection, expected in selections.values():
        seen.clear()
        status = replayer.run(ReplayRequest(selection, ("rows",)))
        assert seen.numbers() == expected
        assert (status.state, status.events) == ("completed", len(expected))


def test_a_replayed_event_carries_the_id_of_its_replay(
    replayer: Replayer, store: EventStore, seen: Seen, story: list[int], tenant: str
) -> None:
    request = ReplayRequest(Selection(tenant), ("rows",))
    replayer.run(request)
    assert {event.replay_id for event in seen} == {str(request.id)}
    assert {event.replay_id for event in store.read_all(tenant=tenant)} == {None}
    assert len(story) == len(seen)


def test_effects_happen_again_only_when_asked(
    replayer: Replayer, seen: Seen, acted: Seen, story: list[int], tenant: str
) -> None:
    replayer.run(ReplayRequest(Selection(tenant), ("rows", "runs")))
    assert (len(seen), len(acted)) == (len(story), 0)
    replayer.run(ReplayRequest(Selection(tenant), ("rows", "runs"), effects=True))
    assert (len(seen), len(acted)) == (2 * len(story), len(story))


def test_a_plan_tells_what_would_happen_and_does_nothing(
    replayer: Replayer, replays: ReplayStore, seen: Seen, story: list[int], tenant: str
) -> None:
    request = ReplayRequest(Selection(tenant), ("rows", "runs"), rate=2.0)
    plan = replayer.plan(request)
    assert (plan.events, plan.seconds) == (len(story), len(story) / 2)
    assert plan.by_type == {"document.received": 6, "document.rejected": 1}
    assert (plan.targets, plan.left_out) == (("rows",), ("runs",))
    assert not seen
    with pytest.raises(NotFoundError):
        replays.get(request.id)


def test_the_rate_is_kept(replayer: Replayer, story: list[int], tenant: str) -> None:
    started = time.monotonic()
    replayer.run(ReplayRequest(Selection(tenant), ("rows",), rate=40.0))
    assert time.monotonic() - started >= (len(story) - 1) / 40


def test_a_replay_can_be_cancelled_and_stays_so(
    replayer: Replayer, store: EventStore, replays: ReplayStore, seen: Seen, tenant: str
) -> None:
    store.append(StreamId("document", "long"), [received(number) for number in range(450)], tenant=tenant)
    request = ReplayRequest(Selection(tenant), ("rows",))
    told: list[Progress] = []

    def cancel(progress: Progress) -> None:
        told.append(progress)
        replayer.cancel(request)

    replayer.run(request, progress=cancel)
    assert replays.get(request.id).state == "cancelled"
    assert len(seen) == 400
    assert told[0].events == 200
    assert 0 < told[0].share < 1
    assert replayer.run(request).state == "cancelled"
    assert len(seen) == 400


def test_an_interrupted_replay_goes_on_where_it_stood(
    replayer: Replayer, store: EventStore, replays: ReplayStore, seen: Seen, tenant: str
) -> None:
    long = StreamId("document", "long")
    store.append(long, [received(number) for number in range(450)], tenant=tenant)
    stop = threading.Event()
    for selection in (Selection(tenant), Selection(tenant, stream=long)):
        seen.clear()
        stop.clear()
        request = ReplayRequest(selection, ("rows",))
        half = replayer.run(request, stop=stop, progress=lambda _: stop.set())
        assert (half.state, half.events) == ("running", 200)
        assert replayer.run(request).state == "completed"
        assert seen.numbers() == list(range(450))
        assert replays.get(request.id).events == 450
    assert [status.state for status in replays.list(state="completed", limit=2)] == ["completed"] * 2


def test_a_failing_target_ends_the_replay_and_says_where(
    store: EventStore, replays: ReplayStore, story: list[int], tenant: str
) -> None:
    def fail(event: RecordedEvent) -> None:
        if event.data.get("size_bytes") == 3:
            raise ValueError("no")

    replayer = Replayer(store, replays, {"broken": Target(fail, effects=False)})
    request = ReplayRequest(Selection(tenant), ("broken",))
    with pytest.raises(ValueError, match="no"):
        replayer.run(request)
    status = replays.get(request.id)
    assert (status.state, status.error, status.position) == ("failed", "ValueError: no", story[2])


def test_wrong_requests_are_refused(replayer: Replayer, replays: ReplayStore, tenant: str) -> None:
    with pytest.raises(InvalidInputError, match="nowhere"):
        replayer.run(ReplayRequest(Selection(tenant), ("nowhere",)))
    with pytest.raises(InvalidInputError, match="no target"):
        replayer.plan(ReplayRequest(Selection(tenant), ()))
    with pytest.raises(InvalidInputError, match="no tenant"):
        replayer.plan(ReplayRequest(Selection(stream=A), ("rows",)))
    for verb in (
        lambda: replays.finish(new_event_id(), "failed"),
        lambda: replays.advance(new_event_id(), position=1, events=1),
    ):
        with pytest.raises(NotFoundError):
            verb()
