from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg
import pytest

from resources.errors import UnavailableError
from resources.events.postgres import AS_TENANT, PostgresEventStore
from tests.contracts.event_store import A, B, EventStoreContract, received

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.database.postgres import Connection, Database


@pytest.fixture
def store(database: Database) -> Iterator[PostgresEventStore]:
    store = PostgresEventStore(database)
    yield store
    store.close()


class TestPostgresEventStore(EventStoreContract):
    @pytest.fixture
    def store(self, database: Database) -> Iterator[PostgresEventStore]:
        store = PostgresEventStore(database)
        yield store
        store.close()


def _insert_by_hand(connection: Connection, tenant: str) -> None:
    connection.execute(
        """INSERT INTO aiw.event (position, version, schema_version, occurred_at, recorded_at, event_id, tenant,
            stream_type, stream_id, type, checksum, metadata, data)
        VALUES (aiw.take_event_positions(1), 1, 1, now(), now(), gen_random_uuid(), %s, 'document', 'held', 'x.y',
            sha256(''), '{}', '{}')""",
        (tenant,),
    )


def test_no_reader_passes_an_append_that_is_still_open(
    database: Database, store: PostgresEventStore, tenant: str
) -> None:
    with database.connect(autocommit=False) as slow:
        _insert_by_hand(slow, tenant)
        answers: list[int] = []
        fast = threading.Thread(target=lambda: answers.append(store.append(B, [received()], tenant=tenant).position))
        fast.start()
        fast.join(0.1)
        assert fast.is_alive()
        assert list(store.read_all(tenant=tenant)) == []
        slow.commit()
        fast.join(5)
    seen = store.read_all(tenant=tenant)
    assert [event.stream.id for event in seen] == ["held", "b"]
    assert seen[0].position < seen[1].position == answers[0]


def test_an_append_that_is_rolled_back_leaves_the_order_whole(
    database: Database, store: PostgresEventStore, tenant: str
) -> None:
    before = store.append(A, [received(1)], tenant=tenant).position
    with database.connect(autocommit=False) as connection:
        _insert_by_hand(connection, tenant)
        connection.rollback()
    after = store.append(A, [received(2)], tenant=tenant)
    assert after.version == 2
    assert after.position > before


@pytest.mark.parametrize(
    "change", ["UPDATE aiw.event SET type = 'x.y'", "DELETE FROM aiw.event", "TRUNCATE aiw.event CASCADE"]
)
def test_the_database_refuses_to_change_facts(
    database: Database, store: PostgresEventStore, tenant: str, change: str
) -> None:
    store.append(A, [received()], tenant=tenant)
    with pytest.raises(psycopg.errors.RestrictViolation, match="facts"), database.connect() as connection:
        connection.execute(change.encode())
    with database.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        with pytest.raises(psycopg.errors.RestrictViolation, match="facts"):
            connection.execute(change.encode())


def test_a_session_without_a_tenant_sees_nothing(database: Database, store: PostgresEventStore, tenant: str) -> None:
    store.append(A, [received()], tenant=tenant)
    with database.connect() as connection:
        connection.execute("SET ROLE aiw_app")
        assert connection.execute("SELECT count(*) FROM aiw.event").fetchone() == (0,)


def test_a_query_that_forgets_the_tenant_still_sees_one_alone(
    database: Database, store: PostgresEventStore, tenant: str
) -> None:
    store.append(A, [received()], tenant=tenant)
    store.append(A, [received()], tenant=f"{tenant}-other")
    with database.transaction() as connection:
        connection.execute(AS_TENANT, (tenant,))
        assert connection.execute("SELECT DISTINCT tenant FROM aiw.event").fetchall() == [(tenant,)]


def test_a_tenants_session_cannot_write_for_another(database: Database, tenant: str) -> None:
    with database.connect(autocommit=False) as connection:
        connection.execute(AS_TENANT, (tenant,))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            _insert_by_hand(connection, "somebody-else")


def test_the_role_does_not_outlive_the_append(database: Database, store: PostgresEventStore, tenant: str) -> None:
    store.append(A, [received()], tenant=tenant, durable=False)
    with database.transaction() as connection:
        settings = "SELECT current_user = session_user, current_setting('synchronous_commit')"
        assert connection.execute(settings).fetchone() == (True, "on")


def test_a_store_out_of_reach_is_unavailable(tenant: str) -> None:
    from resources.database.postgres import Database

    store = PostgresEventStore(Database("postgresql://nobody@127.0.0.1:1/none", connect_timeout=0.2))
    with pytest.raises(UnavailableError):
        store.append(A, [received()], tenant=tenant)
