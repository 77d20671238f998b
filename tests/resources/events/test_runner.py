"""Replays in the background: made once, gone on with after a stop, and told how they ended."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from resources.events.catalog import WorkflowCreated
from resources.events.memory import MemoryEventStore
from resources.events.model import StreamId
from resources.events.postgres import PostgresEventStore
from resources.events.projections.memory import MemoryProjections
from resources.events.projections.postgres import PostgresProjections
from resources.events.projections.projector import Projector
from resources.events.projections.workflows import WorkflowExecutionHistory
from resources.events.replays.memory import MemoryReplays
from resources.events.replays.model import ReplayRequest, Selection
from resources.events.replays.postgres import PostgresReplays
from resources.events.replays.runner import ReplayRunner
from resources.events.subscriptions.memory import MemorySubscriptions
from resources.events.subscriptions.model import Subscription
from resources.events.subscriptions.postgres import PostgresSubscriptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.database.postgres import Database
    from resources.events.model import RecordedEvent
    from resources.events.projections.model import Rows
    from resources.events.projections.store import ProjectionStore
    from resources.events.replays.store import ReplayStore
    from resources.events.store import EventStore
    from resources.events.subscriptions.store import SubscriptionStore


class Fragile(WorkflowExecutionHistory):
    """Fails for executions of one type."""

    poison: str

    def apply(self, event: RecordedEvent, rows: Rows) -> None:
        if event.data.get("workflow_type") == self.poison:
            raise ValueError("cannot digest it")
        super().apply(event, rows)


class Bench:
    """All stores of one kind, and a runner between them. The projection has a name that no other test uses."""

    def __init__(
        self,
        events: EventStore,
        replays: ReplayStore,
        subscriptions: SubscriptionStore,
        rows: ProjectionStore,
        tenant: str,
    ) -> None:
        self.projection = type("Own", (Fragile,), {"name": f"history_{tenant}", "poison": f"poison-{tenant}"})()
        self.events, self.replays, self.subscriptions, self.rows, self.tenant = (
            events,
            replays,
            subscriptions,
            rows,
            tenant,
        )
        self.runner = ReplayRunner(
            events=events,
            replays=replays,
            subscriptions=subscriptions,
            projector=Projector(events, rows, batch=2),
            rows=rows,
            projections=[self.projection],
        )

    def create(self, *ids: str, kind: str = "tea") -> None:
        for id_ in ids:
            fact = WorkflowCreated(workflow_id=id_, workflow_type=kind)
            self.events.append(StreamId("workflow", id_), [fact.new()], tenant=self.tenant)

    def rebuild(self) -> ReplayRequest:
        return ReplayRequest(Selection(tenant=self.tenant), (f"projection:{self.projection.name}",))


@pytest.fixture(params=["memory", "postgres"])
def bench(request: pytest.FixtureRequest, tenant: str) -> Iterator[Bench]:
    if request.param == "memory":
        events = MemoryEventStore()
        yield Bench(events, MemoryReplays(), MemorySubscriptions(events), MemoryProjections(), tenant)
        return
    database: Database = request.getfixturevalue("own_database")  # a rebuild reads the events of all tests
    with closing(PostgresEventStore(database)) as store:
        replays, rows = PostgresReplays(database), PostgresProjections(database)
        yield Bench(store, replays, PostgresSubscriptions(database), rows, tenant)


def test_a_rebuild_that_was_stopped_goes_on_and_counts_each_event_once(bench: Bench) -> None:
    bench.create(*(f"w-{number}" for number in range(5)))
    request = bench.rebuild()
    bench.runner.start(request)
    stop = threading.Event()
    stop.set()
    stopped = bench.runner.run(request.id, stop=stop)
    assert stopped.state == "running"
    assert 0 < stopped.position <= bench.events.head(tenant=None)
    done = bench.runner.run(request.id)
    assert done.state == "completed"
    status = bench.rows.status(bench.projection.name)
    assert (status.state, status.rebuilding) == ("active", None)
    assert status.events == done.events
    assert len(bench.rows.rows(bench.projection.name, tenant=bench.tenant)) == 5


def test_a_rebuild_that_fails_says_where_and_leaves_the_rows_in_use(bench: Bench) -> None:
    bench.create("w-1")
    bench.runner.run(bench.runner.start(bench.rebuild()).request.id)
    bench.create("bad", kind=bench.projection.poison)
    failed = bench.runner.run(bench.runner.start(bench.rebuild()).request.id)
    assert failed.state == "failed"
    assert "cannot digest it" in (failed.error or "")
    assert bench.rows.get(bench.projection.name, "w-1", tenant=bench.tenant) is not None


def test_a_cancelled_replay_is_not_begun(bench: Bench) -> None:
    bench.create("w-1")
    request = bench.rebuild()
    bench.runner.start(request)
    bench.runner.cancel(request.id, tenant=bench.tenant)
    assert bench.runner.run(request.id).state == "cancelled"


def test_one_process_at_a_time_works_on_a_replay(bench: Bench) -> None:
    bench.create("w-1")
    request = bench.rebuild()
    bench.runner.start(request)
    with bench.replays.hold(request.id) as mine:
        assert mine
        assert bench.runner.run(request.id).state == "running"
    assert bench.runner.run(request.id).state == "completed"


def test_waiting_replays_are_made_until_the_worker_is_stopped(bench: Bench) -> None:
    bench.create("w-1", "w-2")
    name = f"inbox-{bench.tenant}"
    bench.subscriptions.define(Subscription(name, tenant=bench.tenant))
    request = ReplayRequest(Selection(tenant=bench.tenant), (f"subscription:{name}",), effects=True)
    bench.runner.start(request)
    stop = threading.Event()
    worker = threading.Thread(target=lambda: bench.runner.run_pending(stop, poll=0.01))
    worker.start()
    while bench.replays.get(request.id).state == "running":
        stop.wait(0.01)
    stop.set()
    worker.join()
    letters = bench.subscriptions.dead_letters(name)
    assert [(letter.status, letter.replay_id) for letter in letters] == [("retrying", request.id)] * 2


def test_an_event_is_forwarded_once_unless_a_replay_asks_again(bench: Bench) -> None:
    bench.create("w-1")
    (event,) = bench.events.read_all(tenant=bench.tenant)
    name = f"inbox-{bench.tenant}"
    bench.subscriptions.define(Subscription(name, tenant=bench.tenant))
    for _ in range(2):
        bench.subscriptions.forward(name, event, reason="by a rule")
    (letter,) = bench.subscriptions.dead_letters(name)
    assert (letter.status, letter.attempts, letter.error) == ("retrying", 0, "by a rule")
    bench.subscriptions.discard(letter.id)
    bench.subscriptions.forward(name, event, reason="by a rule")
    assert bench.subscriptions.dead_letters(name)[0].status == "discarded"
    replay_id = bench.rebuild().id
    bench.subscriptions.forward(name, event, reason="by a replay", replay_id=replay_id)
    (again,) = bench.subscriptions.dead_letters(name)
    assert (again.status, again.replay_id) == ("retrying", replay_id)
    assert again.as_delivered(event).replay_id == str(replay_id)
