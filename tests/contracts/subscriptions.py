"""What every store of subscriptions promises, seen through its consumers. Subclass it and give `store` and `worker`."""

from __future__ import annotations

import threading
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from resources.errors import ConflictError, NotFoundError
from resources.events.model import StreamId
from resources.events.subscriptions.consumer import Consumer
from resources.events.subscriptions.model import Subscription
from tests.contracts.event_store import A, B, received, rejected

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.events.model import RecordedEvent
    from resources.events.store import EventStore
    from resources.events.subscriptions.store import SubscriptionStore

    Worker = Callable[[], SubscriptionStore]


class Clock:
    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class Target:
    """Records what it gets; fails for the documents that it is told to."""

    def __init__(self, *broken: int) -> None:
        self.broken = set(broken)
        self.seen: list[int] = []
        self.data: list[Any] = []

    def __call__(self, event: RecordedEvent) -> None:
        number = event.data.get("size_bytes", -1)
        if number in self.broken:
            raise ValueError(f"cannot digest {number}")
        self.seen.append(number)
        self.data.append(event.data)


class SubscriptionContract:
    @pytest.fixture
    def store(self) -> EventStore:
        raise NotImplementedError

    @pytest.fixture
    def worker(self, store: EventStore) -> Worker:
        raise NotImplementedError

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def subscriptions(self, worker: Worker) -> SubscriptionStore:
        return worker()

    @pytest.fixture
    def define(self, subscriptions: SubscriptionStore, store: EventStore, tenant: str) -> Callable[..., str]:
        def define(**options: Any) -> str:
            name = f"s-{tenant}"
            given = {"tenant": tenant, "start_position": store.head(tenant=None), "backoff": 1.0, **options}
            subscriptions.define(Subscription(name, **given))
            return name

        return define

    @pytest.fixture
    def consume(self, store: EventStore, worker: Worker, clock: Clock) -> Callable[..., Consumer]:
        def consume(name: str, deliver: Callable[[RecordedEvent], None]) -> Consumer:
            return Consumer(name, events=store, subscriptions=worker(), deliver=deliver, now=clock)

        return consume

    def test_each_event_is_delivered_once_in_order_of_its_stream(
        self, store: EventStore, define: Callable[..., str], consume: Callable[..., Consumer], tenant: str
    ) -> None:
        name, target = define(batch=3), Target()
        for number in range(20):
            store.append(StreamId("document", str(number % 4)), [received(number)], tenant=tenant)
        consumer = consume(name, target)
        assert consumer.run_once() == 20
        assert consumer.run_once() == 0
        assert sorted(target.seen) == list(range(20))
        for stream in range(4):
            assert [n for n in target.seen if n % 4 == stream] == list(range(stream, 20, 4))

    def test_a_new_worker_goes_on_where_the_last_one_stopped(
        self, store: EventStore, define: Callable[..., str], consume: Callable[..., Consumer], tenant: str
    ) -> None:
        name, first, second = define(), Target(), Target()
        store.append(A, [received(1)], tenant=tenant)
        consume(name, first).run_once()
        store.append(A, [received(2)], tenant=tenant)
        consume(name, second).run_once()
        assert (first.seen, second.seen) == ([1], [2])

    def test_filters_hold(
        self, store: EventStore, define: Callable[..., str], consume: Callable[..., Consumer], tenant: str
    ) -> None:
        name, target = define(types=("document.received",), stream_type="document"), Target()
        store.append(A, [rejected(), received(1)], tenant=tenant)
        store.append(StreamId("other", "1"), [received(2)], tenant=tenant)
        store.append(A, [received(3)], tenant=f"{tenant}-other")
        consume(name, target).run_once()
        assert target.seen == [1]

    def test_racing_workers_share_the_work_and_keep_each_stream_in_order(
        self, store: EventStore, define: Callable[..., str], worker: Worker, tenant: str
    ) -> None:
        name = define(partitions=8, batch=5)
        for number in range(120):
            store.append(StreamId("document", str(number % 12)), [received(number)], tenant=tenant)
        lock = threading.Lock()
        seen: dict[str, list[int]] = defaultdict(list)
        workers: set[int] = set()
        barrier = threading.Barrier(3)

        def work() -> None:
            def deliver(event: RecordedEvent) -> None:
                with lock:
                    seen[event.stream.id].append(event.data["size_bytes"])
                    workers.add(threading.get_ident())

            consumer = Consumer(name, events=store, subscriptions=worker(), deliver=deliver)
            barrier.wait(60)
            while consumer.run_once():
                pass

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert {stream: sorted(numbers) for stream, numbers in seen.items()} == seen
        assert sum(map(len, seen.values())) == 120

    def test_a_failing_event_is_tried_again_later_and_holds_its_stream_back(
        self, store: EventStore, define: Callable[..., str], consume: Callable[..., Consumer], tenant: str, clock: Clock
    ) -> None:
        name, target = define(partitions=1), Target(2)
        store.append(A, [received(1), received(2), received(3)], tenant=tenant)
        consumer = consume(name, target)
        consumer.run_once()
        consumer.run_once()
        assert target.seen == [1]
        target.broken.clear()
        consumer.run_once()
        assert target.seen == [1]
        clock.sleep(1.1)
        consumer.run_once()
        assert target.seen == [1, 2, 3]

    def test_the_wait_doubles_with_each_attempt(
        self,
        store: EventStore,
        define: Callable[..., str],
        consume: Callable[..., Consumer],
        subscriptions: SubscriptionStore,
        tenant: str,
        clock: Clock,
    ) -> None:
        name = define(partitions=1)
        store.append(A, [received(2)], tenant=tenant)
        consumer = consume(name, Target(2))
        waits = []
        for _ in range(3):
            consumer.run_once()
            until = subscriptions.status(name).partitions[0].not_before
            assert until is not None
            waits.append(round((until - clock.now).total_seconds()))
            clock.now = until
        assert waits == [1, 2, 4]
        assert "cannot digest 2" in str(subscriptions.status(name).partitions[0].error)

    def test_what_keeps_failing_becomes_a_dead_letter_and_the_rest_goes_on(
        self,
        store: EventStore,
        define: Callable[..., str],
        consume: Callable[..., Consumer],
        subscriptions: SubscriptionStore,
        tenant: str,
    ) -> None:
        name, target = define(max_attempts=1), Target(2)
        store.append(A, [received(1), received(2), received(3)], tenant=tenant)
        consume(name, target).run_once()
        assert target.seen == [1, 3]
        (letter,) = subscriptions.dead_letters(name)
        assert (letter.status, letter.attempts, letter.poison) == ("failed", 1, False)
        assert letter.error == "ValueError: cannot digest 2"
        assert letter.tenant == tenant
        assert subscriptions.status(name).dead_letters == 1
        assert subscriptions.dead_letters(name, tenant="somebody-else") == []

    def test_a_dead_letter_can_be_retried(
        self,
        store: EventStore,
        define: Callable[..., str],
        consume: Callable[..., Consumer],
        subscriptions: SubscriptionStore,
        tenant: str,
    ) -> None:
        name, target = define(max_attempts=1), Target(2)
        store.append(A, [received(2)], tenant=tenant)
        consumer = consume(name, target)
        consumer.run_once()
        letter = subscriptions.dead_letters(name)[0]
        subscriptions.retry(letter.id)
        consumer.run_once()
        assert [(found.status, found.attempts) for found in subscriptions.dead_letters(name)] == [("failed", 2)]
        target.broken.clear()
        subscriptions.retry(letter.id)
        consumer.run_once()
        consumer.run_once()
        assert target.seen == [2]
        assert [found.status for found in subscriptions.dead_letters(name)] == ["resolved"]
        with pytest.raises(ConflictError, match="resolved"):
            subscriptions.retry(letter.id)

    def test_a_dead_letter_can_be_edited_and_retried_while_the_fact_stays(
        self,
        store: EventStore,
        define: Callable[..., str],
        consume: Callable[..., Consumer],
        subscriptions: SubscriptionStore,
        tenant: str,
    ) -> None:
        name, target = define(max_attempts=1), Target(2)
        store.append(A, [received(2)], tenant=tenant)
        consumer = consume(name, target)
        consumer.run_once()
        letter = subscriptions.dead_letters(name)[0]
        subscriptions.retry(letter.id, data={"size_bytes": 7})
        consumer.run_once()
        assert target.data == [{"size_bytes": 7}]
        assert store.read_all(tenant=tenant)[0].data["size_bytes"] == 2

    def test_a_dead_letter_can_be_discarded(
        self,
        store: EventStore,
        define: Callable[..., str],
        consume: Callable[..., Consumer],
        subscriptions: SubscriptionStore,
        tenant: str,
    ) -> None:
        name = define(max_attempts=1)
        store.append(A, [received(2)], tenant=tenant)
        consume(name, Target(2)).run_once()
        letter = subscriptions.dead_letters(name)[0]
        subscriptions.discard(letter.id)
        assert [found.id for found in subscriptions.dead_letters(name, status="discarded")] == [letter.id]
        assert subscriptions.status(name).dead_letters == 0
        with pytest.raises(NotFoundError):
            subscriptions.discard(10**12)

    def test_events_handed_over_keep_the_order_of_their_stream_among_workers(
        self,
        store: EventStore,
        define: Callable[..., str],
        worker: Worker,
        subscriptions: SubscriptionStore,
        tenant: str,
    ) -> None:
        name = define()
        first, second, third = store.append(A, [received(1), received(2), received(3)], tenant=tenant).events
        (other,) = store.append(B, [received(4)], tenant=tenant).events
        for event in (third, first, other, second):
            subscriptions.forward(name, event, reason="replayed")
        one, two = worker(), worker()
        mine, theirs = one.claim_letter(name), two.claim_letter(name)
        assert mine is not None
        assert theirs is not None
        assert [mine.position, theirs.position] == [first.position, other.position]
        assert worker().claim_letter(name) is None, "the second of a stream waits for the first"
        one.settle(mine, error=None)
        following = two.claim_letter(name)
        assert following is not None
        assert following.position == second.position

    def test_settled_letters_are_forgotten_and_open_ones_kept(
        self,
        store: EventStore,
        define: Callable[..., str],
        consume: Callable[..., Consumer],
        subscriptions: SubscriptionStore,
        tenant: str,
    ) -> None:
        name = define(max_attempts=1)
        store.append(A, [received(2)], tenant=tenant)
        store.append(B, [received(2)], tenant=tenant)
        consume(name, Target(2)).run_once()
        gone, kept = subscriptions.dead_letters(name)
        subscriptions.discard(gone.id)
        subscriptions.prune_letters(before=datetime.now(UTC) - timedelta(hours=1))
        assert len(subscriptions.dead_letters(name)) == 2
        assert subscriptions.prune_letters(before=datetime.now(UTC) + timedelta(minutes=1)) >= 1
        assert [letter.id for letter in subscriptions.dead_letters(name)] == [kept.id]

    def test_a_stream_that_fails_too_often_is_poison(
        self,
        store: EventStore,
        define: Callable[..., str],
        consume: Callable[..., Consumer],
        subscriptions: SubscriptionStore,
        tenant: str,
    ) -> None:
        name, target = define(max_attempts=1, poison_after=2), Target(1, 2)
        store.append(A, [received(1), received(2), received(3), rejected()], tenant=tenant)
        store.append(B, [received(4)], tenant=tenant)
        consume(name, target).run_once()
        assert sorted(target.seen) == [-1, 4]
        assert [letter.poison for letter in subscriptions.dead_letters(name)] == [False, False, True]

    def test_an_event_that_ends_its_workers_becomes_a_dead_letter(
        self,
        store: EventStore,
        define: Callable[..., str],
        worker: Worker,
        subscriptions: SubscriptionStore,
        tenant: str,
        clock: Clock,
    ) -> None:
        name = define(partitions=1, max_crashes=3)
        store.append(A, [received(1), received(2), received(3)], tenant=tenant)
        seen: list[int] = []

        def deliver(event: RecordedEvent) -> None:
            if event.data["size_bytes"] == 2:
                raise SystemExit
            seen.append(event.data["size_bytes"])

        for _ in range(6):
            dying = worker()
            dying.release = lambda _lease: None  # type: ignore[method-assign,assignment]  # the dead do not tidy up
            consumer = Consumer(name, events=store, subscriptions=dying, deliver=deliver, now=clock)
            try:
                consumer.run_once()
            except SystemExit:
                self.die(dying)
                continue
            break
        (letter,) = subscriptions.dead_letters(name)
        assert letter.poison
        assert "ended" in letter.error
        assert seen[-1] == 3

    def die(self, worker: SubscriptionStore) -> None:
        """What the operating system does to a dead worker's connections."""
        raise NotImplementedError

    def test_a_paused_subscription_waits(
        self,
        store: EventStore,
        define: Callable[..., str],
        consume: Callable[..., Consumer],
        subscriptions: SubscriptionStore,
        tenant: str,
    ) -> None:
        name, target = define(), Target()
        store.append(A, [received(1)], tenant=tenant)
        subscriptions.pause(name)
        consumer = consume(name, target)
        assert consumer.run_once() == 0
        assert subscriptions.status(name).paused
        subscriptions.resume(name)
        assert consumer.run_once() == 1

    def test_lag_is_told_in_events_and_seconds(
        self,
        store: EventStore,
        define: Callable[..., str],
        consume: Callable[..., Consumer],
        subscriptions: SubscriptionStore,
        tenant: str,
    ) -> None:
        name = define()
        stored = store.append(A, [received(1), received(2)], tenant=tenant)
        now = stored.events[0].recorded_at + timedelta(seconds=90)
        lag = subscriptions.lag(name, now=now)
        assert (lag.events, round(lag.seconds)) == (2, 90)
        consume(name, Target()).run_once()
        lag = subscriptions.lag(name, now=now)
        assert (lag.events, lag.seconds) == (0, 0.0)

    def test_a_reset_delivers_again(
        self,
        store: EventStore,
        define: Callable[..., str],
        consume: Callable[..., Consumer],
        subscriptions: SubscriptionStore,
        tenant: str,
    ) -> None:
        name, target = define(), Target()
        first = store.append(A, [received(1), received(2)], tenant=tenant).events[0].position
        consumer = consume(name, target)
        consumer.run_once()
        subscriptions.reset(name, position=first)
        consumer.run_once()
        assert target.seen == [1, 2, 2]

    def test_a_lease_that_was_lost_moves_nothing(
        self, store: EventStore, define: Callable[..., str], subscriptions: SubscriptionStore, tenant: str, clock: Clock
    ) -> None:
        name = define(partitions=1)
        event = store.append(A, [received(1)], tenant=tenant).events[0]
        lease = subscriptions.claim(name, head=event.position, now=clock.now)
        assert lease is not None
        subscriptions.reset(name, position=event.position)
        with pytest.raises(ConflictError):
            subscriptions.bury(lease, event, error="x", poison=False)
        assert subscriptions.status(name).position == event.position

    def test_the_number_of_partitions_is_fixed(self, define: Callable[..., str]) -> None:
        define(partitions=2)
        define(partitions=2, batch=7)
        with pytest.raises(ConflictError, match="partitions"):
            define(partitions=3)

    def test_an_unknown_subscription_is_not_found(self, subscriptions: SubscriptionStore, clock: Clock) -> None:
        for verb in (
            lambda: subscriptions.status("nothing"),
            lambda: subscriptions.pause("nothing"),
            lambda: subscriptions.claim("nothing", head=1, now=clock.now),
        ):
            with pytest.raises(NotFoundError):
                verb()

    def test_a_removed_subscription_is_gone(self, define: Callable[..., str], subscriptions: SubscriptionStore) -> None:
        name = define()
        assert name in [status.subscription.name for status in subscriptions.list()]
        subscriptions.remove(name)
        assert name not in [status.subscription.name for status in subscriptions.list()]

    def test_a_running_consumer_gets_new_events(
        self, store: EventStore, define: Callable[..., str], consume: Callable[..., Consumer], tenant: str
    ) -> None:
        name, stop, got = define(), threading.Event(), threading.Event()
        consumer = consume(name, lambda _: got.set())
        thread = threading.Thread(target=consumer.run, args=(stop,), kwargs={"poll": 0.05})
        thread.start()
        store.append(A, [received(1)], tenant=tenant)
        assert got.wait(60)
        stop.set()
        thread.join(10)
        assert not thread.is_alive()
