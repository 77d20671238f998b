from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from resources.errors import ConcurrencyError, ConflictError, InvalidInputError, UnavailableError, UpstreamError
from resources.events.catalog import CATALOG
from resources.events.model import Expected, StreamId
from resources.events.postgres import PostgresBatches, PostgresEventStore
from resources.events.writer import EventWriter
from tests.contracts.event_store import A, B, EventStoreContract, received, rejected

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from resources.database.postgres import Database
    from resources.events.batches import Unit
    from resources.events.store import EventStore
    from resources.events.writer import Outcome


class WritesThroughTheWriter(PostgresEventStore):
    """The store, but for appends."""

    def __init__(self, database: Database, *, copy: bool) -> None:
        super().__init__(database)
        self.writer = EventWriter(PostgresBatches(database, copy=copy))

    def append(self, *args: Any, **options: Any) -> Any:
        return self.writer.append(*args, **options)

    def append_all(self, *args: Any, **options: Any) -> Any:
        return self.writer.append_all(*args, **options)

    def close(self) -> None:
        self.writer.close()
        super().close()


class TestWriterByCopy(EventStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> Iterator[EventStore]:
        store = WritesThroughTheWriter(database, copy=True)
        yield store
        store.close()


class TestWriterByInsert(EventStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> Iterator[EventStore]:
        store = WritesThroughTheWriter(database, copy=False)
        yield store
        store.close()


@pytest.fixture
def store(database: Database) -> PostgresEventStore:
    return PostgresEventStore(database)


@pytest.fixture
def writer(database: Database) -> Iterator[EventWriter]:
    with EventWriter(PostgresBatches(database)) as writer:
        yield writer


class _Held:
    """Batches that wait for a lock, so that everything submitted meanwhile shares one batch."""

    def __init__(self, database: Database) -> None:
        self._connection = database.connect(autocommit=False)

    def __enter__(self) -> None:
        self._connection.execute("SELECT aiw.lock_event_order()")

    def __exit__(self, *_: object) -> None:
        self._connection.commit()
        self._connection.close()


def test_appends_in_one_batch_see_each_other(
    database: Database, writer: EventWriter, store: PostgresEventStore, tenant: str
) -> None:
    with _Held(database):
        first = writer.submit(B, [received(0)], tenant=tenant)
        futures = [writer.submit(A, [received(n)], expected_version=n, tenant=tenant) for n in range(5)]
    assert [future.result(5)[0].version for future in futures] == [1, 2, 3, 4, 5]
    assert first.result(5)[0].version == 1
    assert [event.data["size_bytes"] for event in store.read_all(tenant=tenant)] == [0, 0, 1, 2, 3, 4]


def test_a_conflicting_append_in_a_batch_fails_alone(
    database: Database, writer: EventWriter, store: PostgresEventStore, tenant: str
) -> None:
    with _Held(database):
        writer.submit(B, [received(0)], tenant=tenant)
        good = [writer.submit(A, [received(1)], expected_version=0, tenant=tenant)]
        bad = writer.submit(A, [received(2)], expected_version=0, tenant=tenant)
        good.append(writer.submit(A, [received(3)], expected_version=Expected.EXISTS, tenant=tenant))
    with pytest.raises(ConcurrencyError) as caught:
        bad.result(5)
    assert caught.value.actual == 1
    assert [future.result(5)[0].version for future in good] == [1, 2]
    assert [event.version for event in store.read_stream(A, tenant=tenant)] == [1, 2]


def test_a_repeated_append_in_a_batch_is_answered_with_what_is_stored(
    database: Database, writer: EventWriter, store: PostgresEventStore, tenant: str
) -> None:
    old = received(1)
    stored = store.append(A, [old], expected_version=0, tenant=tenant)
    twice = received(2)
    with _Held(database):
        writer.submit(B, [received(0)], tenant=tenant)
        repeated = writer.submit(A, [old], expected_version=0, tenant=tenant)
        new = [writer.submit(B, [twice], tenant=tenant) for _ in range(2)]
        stolen = writer.submit(B, [rejected(event_id=old.event_id)], tenant=tenant)
    assert repeated.result(5) == (stored,)
    assert new[0].result(5) == new[1].result(5)
    with pytest.raises(ConflictError, match="another event"):
        stolen.result(5)
    assert len(store.read_all(tenant=tenant)) == 3


def test_streams_written_by_others_are_no_surprise(writer: EventWriter, store: PostgresEventStore, tenant: str) -> None:
    versions = []
    for number in range(3):
        versions.append(writer.append(A, [received(number)], tenant=tenant).version)
        versions.append(store.append(A, [received(number)], tenant=tenant).version)
    assert versions == [1, 2, 3, 4, 5, 6]


def test_an_append_that_the_database_refuses_fails_alone(
    database: Database, writer: EventWriter, store: PostgresEventStore, tenant: str
) -> None:
    constraint = f"poison_{tenant.replace('-', '_')}"
    with database.connect() as connection:
        connection.execute(
            f"ALTER TABLE aiw.event ADD CONSTRAINT {constraint} CHECK (stream_id <> 'poison-{tenant}') NOT VALID".encode()
        )
    try:
        with _Held(database):
            writer.submit(B, [received(0)], tenant=tenant)
            good = [writer.submit(A, [received(n)], tenant=tenant) for n in range(3)]
            bad = writer.submit(StreamId("document", f"poison-{tenant}"), [received(9)], tenant=tenant)
            good += [writer.submit(A, [received(n)], tenant=tenant) for n in range(3, 6)]
        with pytest.raises(UpstreamError, match=constraint):
            bad.result(5)
        assert [future.result(5)[0].version for future in good] == [1, 2, 3, 4, 5, 6]
        assert len(store.read_all(tenant=tenant)) == 7
    finally:
        with database.connect() as connection:
            connection.execute(f"ALTER TABLE aiw.event DROP CONSTRAINT {constraint}".encode())


class _Traceable(PostgresBatches):
    @property
    def backend(self) -> int:
        assert self._connection is not None
        return self._connection.info.backend_pid


def test_a_lost_connection_loses_and_doubles_nothing(
    database: Database, store: PostgresEventStore, tenant: str
) -> None:
    batches = _Traceable(database)
    writer = EventWriter(batches)
    futures = []
    for number in range(30):
        futures.append(writer.submit(A, [received(number)], tenant=tenant))
        if number % 10 == 9:
            futures[-1].result(5)
            with database.connect() as connection:
                connection.execute("SELECT pg_terminate_backend(%s)", (batches.backend,))
    assert [future.result(5)[0].version for future in futures] == list(range(1, 31))
    assert len(store.read_stream(A, tenant=tenant)) == 30
    writer.close()


def test_invalid_events_are_refused_before_they_join_a_batch(writer: EventWriter, tenant: str) -> None:
    with pytest.raises(InvalidInputError):
        writer.submit(A, [], tenant=tenant)


def test_closing_writes_what_was_submitted(database: Database, store: PostgresEventStore, tenant: str) -> None:
    with EventWriter(PostgresBatches(database), max_events=3) as writer:
        futures = [writer.submit(A, [received(n)], tenant=tenant, durable=False) for n in range(20)]
    assert all(future.done() for future in futures)
    assert len(store.read_stream(A, tenant=tenant)) == 20
    with pytest.raises(UnavailableError, match="closed"):
        writer.submit(A, [received()], tenant=tenant)


class _CommitsButLosesTheAnswer(PostgresBatches):
    lost = 0

    def _write(self, units: Sequence[Unit], *, durable: bool, careful: bool) -> list[Outcome]:
        outcomes = super()._write(units, durable=durable, careful=careful)
        if not careful:
            self.lost += 1
            raise UnavailableError("The answer was lost.", dependency="database")
        return outcomes


def test_a_commit_whose_answer_is_lost_is_found_again(
    database: Database, store: PostgresEventStore, tenant: str
) -> None:
    batches = _CommitsButLosesTheAnswer(database)
    with EventWriter(batches) as writer:
        answer = writer.append(A, [received(1)], expected_version=0, tenant=tenant)
    assert batches.lost == 1
    assert list(store.read_all(tenant=tenant)) == list(answer.events)


class _Down:
    catalog = CATALOG

    def write(self, units: Sequence[Unit], *, durable: bool) -> list[Outcome]:
        del units, durable
        raise UnavailableError("It is down.", dependency="database")

    def close(self) -> None:
        pass


def test_every_caller_hears_of_a_store_that_is_down(tenant: str) -> None:
    with EventWriter(_Down()) as writer:
        futures = [writer.submit(A, [received(n)], tenant=tenant) for n in range(3)]
        for future in futures:
            with pytest.raises(UnavailableError):
                future.result(5)
