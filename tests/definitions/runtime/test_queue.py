"""The queue of runs: each run to one pool, and none lost."""

from __future__ import annotations

import select
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from definitions.runtime.postgres import Listener, RunQueue
from resources.database.postgres import Database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fixtures.servers import PostgresAddress


@pytest.fixture
def queue(own_database: Database) -> Iterator[RunQueue]:
    """An empty queue. It is one for the whole database, so each test leaves it empty."""
    queue = RunQueue(own_database)
    yield queue
    for claim in [*queue.claim("cleaner", limit=10_000), *queue.lost("cleaner", dead=queue.hosts())]:
        queue.finish(claim.run_id, host="cleaner")


def _ids(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


def test_runs_are_claimed_in_the_order_they_came(queue: RunQueue) -> None:
    ids = _ids(3)
    for run_id in ids:
        queue.enqueue(run_id, job="job")
    assert [claim.run_id for claim in queue.claim("a", limit=2)] == ids[:2]
    assert [claim.run_id for claim in queue.claim("a", limit=2)] == ids[2:]


def test_a_higher_priority_goes_first(queue: RunQueue) -> None:
    ordinary, urgent = _ids(2)
    queue.enqueue(ordinary, job="job")
    queue.enqueue(urgent, job="job", priority=5)
    assert [claim.run_id for claim in queue.claim("a", limit=2)] == [urgent, ordinary]


def test_a_run_is_enqueued_once(queue: RunQueue) -> None:
    (run_id,) = _ids(1)
    assert queue.enqueue(run_id, job="job")
    assert not queue.enqueue(run_id, job="job")
    assert len(queue.claim("a", limit=10)) == 1
    assert not queue.enqueue(run_id, job="job")


def test_pools_never_get_the_same_run(queue: RunQueue) -> None:
    ids = _ids(100)
    for run_id in ids:
        queue.enqueue(run_id, job="job")

    def claim_all(host: str) -> list[str]:
        mine: list[str] = []
        while claims := queue.claim(host, limit=3):
            mine += [claim.run_id for claim in claims]
        return mine

    with ThreadPoolExecutor(4) as threads:
        claimed = [run_id for mine in threads.map(claim_all, "abcd") for run_id in mine]
    assert sorted(claimed) == sorted(ids)


def test_a_finished_run_is_gone_and_only_its_host_can_finish_it(queue: RunQueue) -> None:
    (run_id,) = _ids(1)
    queue.enqueue(run_id, job="job")
    queue.claim("a", limit=1)
    assert not queue.finish(run_id, host="b")
    assert queue.finish(run_id, host="a")
    assert queue.find(run_id) is None


def test_only_a_waiting_run_can_be_withdrawn(queue: RunQueue) -> None:
    waiting, claimed = _ids(2)
    queue.enqueue(claimed, job="job")
    queue.claim("a", limit=1)
    queue.enqueue(waiting, job="job")
    assert queue.withdraw(waiting)
    assert not queue.withdraw(claimed)
    assert not queue.withdraw(waiting)


def test_a_released_run_keeps_its_place(queue: RunQueue) -> None:
    first, second = _ids(2)
    for run_id in (first, second):
        queue.enqueue(run_id, job="job")
    queue.claim("a", limit=1)
    assert queue.release(first, host="a")
    claims = queue.claim("b", limit=2)
    assert [(claim.run_id, claim.number) for claim in claims] == [(first, 2), (second, 1)]


def test_a_lease_that_ended_is_lost_to_another_pool(queue: RunQueue) -> None:
    lapsed, alive = _ids(2)
    queue.enqueue(lapsed, job="job")
    queue.claim("a", limit=1, lease=-1)
    queue.enqueue(alive, job="job")
    queue.claim("b", limit=1)
    assert [claim.run_id for claim in queue.lost("c")] == [lapsed]
    assert [claim.run_id for claim in queue.renew("c")] == [lapsed]
    assert not queue.renew("a")


def test_a_pool_that_renews_keeps_its_runs(queue: RunQueue) -> None:
    (run_id,) = _ids(1)
    queue.enqueue(run_id, job="job")
    queue.claim("a", limit=1, lease=-1)
    queue.renew("a")
    assert queue.lost("b") == []


def test_the_claims_of_a_dead_pool_are_taken_over_before_their_lease_ends(queue: RunQueue) -> None:
    (run_id,) = _ids(1)
    queue.enqueue(run_id, job="job")
    queue.claim("dead", limit=1)
    assert queue.hosts() == ["dead"]
    assert [claim.run_id for claim in queue.lost("b", dead=["dead"])] == [run_id]


def test_a_cancel_reaches_the_pool_by_notification_and_at_renewal(queue: RunQueue, own_database: Database) -> None:
    (run_id,) = _ids(1)
    queue.enqueue(run_id, job="job")
    assert not queue.request_cancel(run_id)
    queue.claim("a", limit=1)
    listener = Listener(own_database)
    assert queue.request_cancel(run_id)
    assert select.select([listener], [], [], 10)[0]
    assert listener.cancelled() == [run_id]
    assert [claim.cancelled for claim in queue.renew("a")] == [True]
    listener.close()


def test_a_new_run_wakes_the_pools(queue: RunQueue, own_database: Database) -> None:
    (run_id,) = _ids(1)
    listener = Listener(own_database)
    queue.enqueue(run_id, job="job")
    assert select.select([listener], [], [], 10)[0]
    assert listener.cancelled() == []
    listener.close()


def test_a_run_knows_its_place(queue: RunQueue) -> None:
    first, second = _ids(2)
    for run_id in (first, second):
        queue.enqueue(run_id, job="job")
    place = queue.find(second)
    assert place is not None
    assert (place.host, place.ahead) == (None, 1)
    queue.claim("a", limit=1)
    place = queue.find(first)
    assert place is not None
    assert (place.host, place.overdue) == ("a", 0.0)


def test_no_plan_of_the_server_claims_more_than_was_asked_for(postgres_server: PostgresAddress) -> None:
    """With statistics of one row, the server once evaluated the choice of the next runs for each row of the queue."""
    from tests.fixtures.servers import TEMPLATE

    name = f"aiw_queue_{uuid.uuid4().hex[:12]}"
    with closing(Database(postgres_server.create(name, template=TEMPLATE))) as database:
        queue = RunQueue(database)
        queue.enqueue("run-0", job="job")
        with database.connect() as admin:
            admin.execute("ANALYZE aiw.run_queue")
        for number in range(1, 6):
            queue.enqueue(f"run-{number}", job="job")
        assert [claim.run_id for claim in queue.claim("one", limit=1)] == ["run-0"]
        assert [claim.run_id for claim in queue.claim("one", limit=2)] == ["run-1", "run-2"]
    postgres_server.drop(name)
