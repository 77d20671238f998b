from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from resources.events.memory import MemoryEventStore
from resources.events.postgres import PostgresEventStore
from resources.events.subscriptions.memory import MemorySubscriptions
from resources.events.subscriptions.postgres import PostgresSubscriptions
from tests.contracts.subscriptions import SubscriptionContract

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.database.postgres import Database
    from resources.events.store import EventStore
    from resources.events.subscriptions.store import SubscriptionStore
    from tests.contracts.subscriptions import Worker


class TestMemorySubscriptions(SubscriptionContract):
    @pytest.fixture
    def store(self) -> EventStore:
        return MemoryEventStore()

    @pytest.fixture
    def worker(self, store: EventStore) -> Worker:
        shared = MemorySubscriptions(store)
        return lambda: cast("SubscriptionStore", _Share(shared))

    def die(self, worker: SubscriptionStore) -> None:
        cast("_Share", worker).let_go()


class _Share:
    """One worker's view of the common memory."""

    def __init__(self, shared: MemorySubscriptions) -> None:
        self._shared = shared

    def __getattr__(self, name: str) -> object:
        return getattr(self._shared, name)

    def let_go(self) -> None:
        for partitions in self._shared._partitions.values():
            for partition in partitions:
                partition.held = False


class TestPostgresSubscriptions(SubscriptionContract):
    @pytest.fixture
    def store(self, database: Database) -> Iterator[EventStore]:
        store = PostgresEventStore(database)
        yield store
        store.close()

    @pytest.fixture
    def worker(self, database: Database) -> Iterator[Worker]:
        workers: list[PostgresSubscriptions] = []

        def worker() -> PostgresSubscriptions:
            workers.append(PostgresSubscriptions(database))
            return workers[-1]

        yield worker
        for each in workers:
            each.close()

    def die(self, worker: SubscriptionStore) -> None:
        assert isinstance(worker, PostgresSubscriptions)
        worker.close()
