from __future__ import annotations

import threading
import uuid
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest

from resources.database.migrations import load, migrate
from resources.errors import UnavailableError
from resources.events.postgres import AS_TENANT, PostgresBatches, PostgresEventStore
from resources.events.projections import PROJECTIONS
from resources.events.projections.postgres import PostgresProjections
from resources.events.projections.projector import Projector
from resources.events.subscriptions.consumer import Consumer
from resources.events.subscriptions.model import Subscription
from resources.events.subscriptions.postgres import PostgresSubscriptions
from resources.events.writer import EventWriter
from tests.contracts.event_store import A, B, EventStoreContract, received

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.database.postgres import Connection, Database
    from tests.fixtures.servers import PostgresAddress


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

    with (
        closing(Database("postgresql://nobody@127.0.0.1:1/none", connect_timeout=0.2)) as nowhere,
        closing(PostgresEventStore(nowhere)) as store,
        pytest.raises(UnavailableError),
    ):
        store.append(A, [received()], tenant=tenant)


@pytest.fixture
def plain_login(postgres_server: PostgresAddress) -> Iterator[Database]:
    """A database whose owner, the platform's login, is no superuser: what a managed server gives."""
    from resources.database.postgres import Database

    name = f"plain_{uuid.uuid4().hex[:12]}"
    with Database(postgres_server.url).connect() as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD 'p'".encode())
        admin.execute(f"GRANT aiw_app, aiw_system TO {name} WITH INHERIT FALSE, SET TRUE".encode())
        admin.execute(f"CREATE DATABASE {name} OWNER {name}".encode())
    parts = urlsplit(postgres_server.url_of(name))
    login = Database(parts._replace(netloc=f"{name}:p@{parts.hostname}:{parts.port}").geturl())
    yield login
    login.close()
    postgres_server.drop(name)
    with Database(postgres_server.url).connect() as admin:
        admin.execute(f"DROP ROLE {name}".encode())


def test_a_login_that_inherits_the_roles_is_refused(
    plain_login: Database, database: Database, postgres_server: PostgresAddress
) -> None:
    from resources.database.postgres import Database as Administration

    assert database  # the roles of the cluster are there
    name = urlsplit(plain_login.url).username
    with Administration(postgres_server.url).connect() as admin:
        admin.execute(f"GRANT aiw_system TO {name} WITH INHERIT TRUE".encode())
    with pytest.raises(psycopg.errors.RaiseException, match="inherits aiw_system"):
        migrate(plain_login, migrations=[found for found in load() if "event" in found.name])


def test_all_of_it_works_for_a_login_that_is_no_superuser(
    plain_login: Database, database: Database, tenant: str
) -> None:
    assert database  # the roles of the cluster are there
    migrate(plain_login, migrations=[found for found in load() if found.name.startswith("event")])
    store = PostgresEventStore(plain_login)
    with EventWriter(PostgresBatches(plain_login)) as writer:
        store.append(A, [received(1)], tenant=tenant)
        writer.append(A, [received(2), received(3)], tenant=tenant)
        writer.append(B, [received(4)], tenant=f"{tenant}-other")
    assert [event.version for event in store.read_stream(A, tenant=tenant)] == [1, 2, 3]
    assert len(store.read_all(tenant=None)) == 4
    with plain_login.connect() as connection:
        assert connection.execute("SELECT count(*) FROM aiw.event").fetchone() == (0,)
    projector = Projector(store, PostgresProjections(plain_login))
    for projection in PROJECTIONS:
        projector.rebuild(projection)
    assert len(PostgresProjections(plain_login).rows("document_catalog", tenant=tenant)) == 3
    seen: list[int] = []
    subscriptions = PostgresSubscriptions(plain_login)
    subscriptions.define(Subscription("s"))
    Consumer(
        "s", events=store, subscriptions=subscriptions, deliver=lambda event: seen.append(event.position)
    ).run_once()
    assert len(seen) == 4
    subscriptions.close()
    store.close()
