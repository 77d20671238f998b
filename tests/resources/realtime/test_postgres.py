from __future__ import annotations

import json
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from resources.realtime.postgres import PostgresMessages
from resources.realtime.presence.postgres import PostgresPresence
from resources.realtime.rules.postgres import PostgresRealtimeRules
from tests.contracts.messages import MessageContract, PresenceContract, RuleContract, contents, said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.database.postgres import Database
    from resources.realtime.store import MessageStore


def row(message_id: str, content: object) -> str:
    """A message as the function of the database takes it."""
    lists: dict[str, object] = {"targets": [], "required_subscriptions": [], "members": [], "headers": {}}
    flags = {"persist": True, "ack": False, "priority": 1, "type": "custom"}
    return json.dumps([{"message_id": message_id, "topic": "slow", "content": content, **lists, **flags}])


class TestPostgresMessages(MessageContract):
    @pytest.fixture
    def store(self, database: Database) -> Iterator[PostgresMessages]:
        with closing(PostgresMessages(database)) as store:
            yield store

    def test_no_reader_passes_a_message_that_is_not_committed(
        self, store: MessageStore, database: Database, tenant: str
    ) -> None:
        """The slow writer took its place first; the quick one waits for it, so nobody sees 2 before 1."""
        store.publish([said("before")], tenant=tenant)
        done = threading.Event()

        def write() -> None:
            store.publish([said("quick")], tenant=tenant)
            done.set()

        quick = threading.Thread(target=write)
        with database.connect(autocommit=False) as slow:
            slow.execute(
                "SELECT aiw.publish_messages(%s, %s)",
                (tenant, row("0199d9a0-0000-7000-8000-000000000001", "slow")),
            )
            quick.start()
            assert not done.wait(0.1)
            assert contents(store.read(tenant=tenant)) == ["before"]
            slow.commit()
        quick.join(10)
        assert contents(store.read(tenant=tenant)) == ["before", "slow", "quick"]

    def test_a_writer_that_breaks_off_leaves_no_gap(self, store: MessageStore, database: Database, tenant: str) -> None:
        with database.connect(autocommit=False) as broken:
            broken.execute(
                "SELECT aiw.publish_messages(%s, %s)",
                (tenant, row("0199d9a0-0000-7000-8000-000000000002", 1)),
            )
            broken.rollback()
        assert [one.position for one in store.publish([said("next")], tenant=tenant)] == [1]

    def test_a_session_without_a_tenant_sees_nothing(
        self, store: MessageStore, database: Database, tenant: str
    ) -> None:
        store.publish([said("mine")], tenant=tenant)
        with database.transaction() as connection:
            connection.execute("SET LOCAL ROLE aiw_app")
            assert connection.execute("SELECT count(*) FROM aiw.message").fetchone() == (0,)

    def test_watchers_hear_again_after_the_connection_broke(
        self, store: PostgresMessages, database: Database, tenant: str
    ) -> None:
        heard: list[str] = []
        lost, told = threading.Event(), threading.Event()

        def hear(notices: object) -> None:
            for notice in notices:  # type: ignore[attr-defined]  # a sequence of notices
                heard.append(notice.kind)
                if notice.kind == "lost":
                    lost.set()
                elif notice.tenant == tenant:
                    told.set()

        store.watch(hear)
        with database.connect() as killer:
            killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN run_events'"
                " AND datname = current_database()"
            )
        assert lost.wait(20)
        store.publish([said("after")], tenant=tenant)
        assert told.wait(20)


class TestPostgresPresence(PresenceContract):
    @pytest.fixture
    def presence(self, database: Database) -> PostgresPresence:
        return PostgresPresence(database)


class TestPostgresRules(RuleContract):
    @pytest.fixture
    def rules(self, database: Database) -> PostgresRealtimeRules:
        return PostgresRealtimeRules(database)
