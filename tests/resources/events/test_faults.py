"""What goes wrong in earnest: killed processes, a killed server, commits that fail, clocks that go back."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from resources.database.migrations import migrate
from resources.database.postgres import Database
from resources.errors import PlatformError, UnavailableError, UpstreamError
from resources.events import envelope
from resources.events.model import EventMetadata, NewEvent, StreamId
from resources.events.postgres import PostgresBatches, PostgresEventStore
from resources.events.projections.model import Projection, Rows
from resources.events.projections.postgres import PostgresProjections
from resources.events.projections.projector import Projector
from resources.events.subscriptions.model import Subscription
from resources.events.subscriptions.postgres import PostgresSubscriptions
from resources.events.writer import EventWriter
from resources.servers.postgres import EmbeddedPostgres
from tests.contracts.event_store import A, received

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.events.model import RecordedEvent

ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(database: Database) -> PostgresEventStore:
    return PostgresEventStore(database)


def all_events(store: PostgresEventStore, tenant: str) -> list[RecordedEvent]:
    events: list[RecordedEvent] = []
    while page := store.read_all(after_position=events[-1].position if events else 0, tenant=tenant):
        events += page
    return events


def assert_order_holds(events: list[RecordedEvent]) -> None:
    versions: dict[StreamId, list[int]] = defaultdict(list)
    for event in events:
        versions[event.stream].append(event.version)
    for found in versions.values():
        assert found == list(range(1, len(found) + 1))
    assert all(envelope.is_intact(event) for event in events)


def test_a_killed_writer_loses_nothing_it_acknowledged_and_leaves_no_half_append(
    store: PostgresEventStore, database_url: str, tenant: str
) -> None:
    command = [sys.executable, "-m", "tests.resources.events.fault_writer", database_url, tenant]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout is not None
        acknowledged = [process.stdout.readline() for _ in range(random.randint(40, 120))]
        process.send_signal(signal.SIGKILL)
        acknowledged += process.stdout.readlines()[:-1]  # the last line may be torn
    # The server may still be busy with the last batch; an append of our own waits for its lock.
    store.append(StreamId("document", "after"), [received()], tenant=f"{tenant}-after")
    events = all_events(store, tenant)
    assert_order_holds(events)
    assert {line.split()[0] for line in acknowledged} <= {str(event.position) for event in events}
    assert len(events) % 5 == 0
    numbers = [event.data["size_bytes"] for event in events]
    assert numbers == list(range(len(numbers)))


def test_a_killed_server_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    server.start()
    first = Database(server.url)
    migrate(first)
    acknowledged: list[int] = []
    counted = threading.Event()

    def write() -> None:
        store, number = PostgresEventStore(first), 0
        try:
            while True:
                stored = store.append(StreamId("document", str(number % 3)), [received(number)], tenant="single")
                acknowledged.append(stored.position)
                number += 1
        except PlatformError:
            return

    def write_batches() -> None:
        with EventWriter(PostgresBatches(first), max_events=100) as writer:
            try:
                for number in range(0, 10**9, 20):
                    futures = [writer.submit(A, [received(number + n)], tenant="batch") for n in range(20)]
                    acknowledged.extend(future.result()[0].position for future in futures)
                    if len(acknowledged) > 500:
                        counted.set()
            except PlatformError:
                return

    threads = [threading.Thread(target=write), threading.Thread(target=write_batches)]
    for thread in threads:
        thread.start()
    assert counted.wait(60)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    first.close()
    server.stop()

    with EmbeddedPostgres(tmp_path / "postgres") as again:
        second = Database(again.url)
        store = PostgresEventStore(second)
        events = [*all_events(store, "single"), *all_events(store, "batch")]
        assert_order_holds([event for event in events if event.tenant == "single"])
        assert_order_holds([event for event in events if event.tenant == "batch"])
        assert set(acknowledged) <= {event.position for event in events}
        newest = max(event.position for event in events)
        assert store.append(A, [received()], tenant="single").position > newest
        second.close()


def test_a_consumer_killed_between_effect_and_checkpoint_makes_its_events_come_again_in_order(
    store: PostgresEventStore, database: Database, database_url: str, tenant: str, tmp_path: Path
) -> None:
    subscriptions, name, effects = PostgresSubscriptions(database), f"kill-{tenant}", tmp_path / "effects"
    start = store.head(tenant=None)
    subscriptions.define(Subscription(name, tenant=tenant, start_position=start, partitions=2, max_crashes=10))
    for number in range(40):
        store.append(StreamId("document", str(number % 4)), [received(number)], tenant=tenant)
    command = [sys.executable, "-m", "tests.resources.events.fault_consumer", database_url, name, str(effects)]
    for die_after in ("13", "7", "1000"):
        subprocess.run([*command, die_after], cwd=ROOT, check=False)
    seen: dict[str, list[int]] = defaultdict(list)
    for line in effects.read_text().splitlines():
        stream, version = line.split()
        seen[stream].append(int(version))
    assert {stream: sorted(set(versions)) for stream, versions in seen.items()} == {
        str(number): list(range(1, 11)) for number in range(4)
    }
    for versions in seen.values():
        # Each event first comes after all that precede it in its stream.
        assert [version for place, version in enumerate(versions) if version not in versions[:place]] == list(
            range(1, 11)
        )
    assert sum(map(len, seen.values())) > 40
    assert subscriptions.status(name).position >= all_events(store, tenant)[-1].position
    assert subscriptions.status(name).dead_letters == 0


@contextmanager
def commits_fail(database: Database, tenant: str, errcode: str) -> Iterator[None]:
    """Let every commit of the tenant's events fail, as a full disk does."""
    name = f"fail_{tenant.replace('-', '_')}"
    with database.connect() as connection:
        connection.execute(
            f"""CREATE FUNCTION aiw.{name}() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = '{errcode}'; END $$;
            CREATE CONSTRAINT TRIGGER {name} AFTER INSERT ON aiw.event DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW WHEN (new.tenant = '{tenant}') EXECUTE FUNCTION aiw.{name}()""".encode()
        )
    try:
        yield
    finally:
        with database.connect() as connection:
            connection.execute(f"DROP TRIGGER {name} ON aiw.event; DROP FUNCTION aiw.{name}".encode())


@pytest.mark.parametrize(("errcode", "expected"), [("disk_full", UnavailableError), ("raise_exception", UpstreamError)])
def test_a_commit_that_fails_stores_nothing_and_leaves_nothing_wrong(
    store: PostgresEventStore, database: Database, tenant: str, errcode: str, expected: type[PlatformError]
) -> None:
    other = f"{tenant}-other"
    store.append(A, [received(1)], tenant=tenant)
    with EventWriter(PostgresBatches(database)) as writer:
        with commits_fail(database, tenant, errcode):
            with pytest.raises(expected, match="no space left"):
                store.append(A, [received(2)], tenant=tenant)
            with pytest.raises(expected):
                writer.append(A, [received(3)], tenant=tenant)
            assert writer.append(A, [received(4)], tenant=other).version == 1
        assert store.append(A, [received(5)], tenant=tenant).version == 2
        assert writer.append(A, [received(6)], tenant=tenant).version == 3
    assert [event.data["size_bytes"] for event in all_events(store, tenant)] == [1, 5, 6]


@pytest.mark.parametrize("through", ["store", "writer"])
def test_a_clock_that_goes_back_reorders_nothing(
    store: PostgresEventStore, database: Database, tenant: str, through: str
) -> None:
    first = store.append(A, [received(1)], tenant=tenant).events[0]
    with database.connect() as connection:
        connection.execute(
            """INSERT INTO aiw.event (position, version, schema_version, occurred_at, recorded_at, event_id, tenant,
                stream_type, stream_id, type, checksum, metadata, data)
            SELECT aiw.take_event_positions(1), 2, 1, occurred_at, now() + interval '1 hour', gen_random_uuid(), tenant,
                stream_type, stream_id, type, checksum, metadata, data FROM aiw.event WHERE position = %s""",
            (first.position,),
        )
    if through == "store":
        store.append(A, [received(3)], tenant=tenant)
    else:
        with EventWriter(PostgresBatches(database)) as writer:
            writer.append(A, [received(3)], tenant=tenant)
    times = [event.recorded_at for event in store.read_stream(A, tenant=tenant)]
    assert times == sorted(times)
    assert len(store.read_stream(A, up_to_time=first.recorded_at, tenant=tenant)) == 1


@pytest.mark.parametrize("through", ["store", "writer"])
def test_an_event_of_a_mebibyte_is_kept_whole(
    store: PostgresEventStore, database: Database, tenant: str, through: str
) -> None:
    text = random.Random(1).randbytes(2**19).hex()
    event = NewEvent(
        "workflow.completed",
        {"workflow_id": "w", "duration_ms": 1, "nodes_executed": 1, "output_data": text},
        metadata=EventMetadata(tags={"size": "large"}),
    )
    if through == "store":
        store.append(A, [event], tenant=tenant)
    else:
        with EventWriter(PostgresBatches(database)) as writer:
            writer.append(A, [event], tenant=tenant)
    found = store.read_all(tenant=tenant)[0]
    assert found.data["output_data"] == text
    assert envelope.is_intact(found)


class _Sum(Projection):
    types = frozenset({"service.call_completed"})

    def __init__(self, tenant: str, factor: int, version: int) -> None:
        self.name = f"sum-{tenant}"  # type: ignore[misc]  # one a test
        self.version = version  # type: ignore[misc]  # releases of the same projection
        self.factor = factor

    def keys(self, event: RecordedEvent) -> tuple[str, ...]:
        return (event.data["service"],)

    def apply(self, event: RecordedEvent, rows: Rows) -> None:
        row = rows.row(event.tenant, event.data["service"])
        row["sum"] = row.get("sum", 0) + self.factor * event.data["duration_ms"]


def test_a_projection_with_a_bug_is_mended_by_a_rebuild(
    store: PostgresEventStore, database: Database, tenant: str
) -> None:
    call = {"call_id": "c", "service": "s", "tool": "t"}
    events = [NewEvent("service.call_completed", call | {"duration_ms": number}) for number in range(1, 11)]
    store.append(A, events, tenant=tenant)
    projections = PostgresProjections(database)
    projector = Projector(store, projections)
    wrong, right = _Sum(tenant, -1, version=1), _Sum(tenant, 1, version=2)
    projector.update(wrong)
    assert projections.get(wrong.name, "s", tenant=tenant) == {"sum": -55}
    projector.update(right)
    assert projections.get(right.name, "s", tenant=tenant) == {"sum": 55}


def test_a_server_that_is_cut_off_is_unavailable_and_comes_back(
    store: PostgresEventStore, database: Database, tenant: str
) -> None:
    store.append(A, [received(1)], tenant=tenant)
    with database.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert store.append(A, [received(2)], tenant=tenant).version == 2
