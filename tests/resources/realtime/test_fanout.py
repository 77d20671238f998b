"""News between processes: by NOTIFY, by Redis, and by NOTIFY where Redis is away."""

from __future__ import annotations

import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import redis

from resources.errors import InvalidInputError, UnavailableError
from resources.realtime.fanout.postgres import PostgresFanout
from resources.realtime.fanout.redis import RedisFanout
from resources.realtime.memory import MemoryFanout
from resources.realtime.model import Notice
from resources.realtime.postgres import PostgresMessages
from resources.realtime.presence.postgres import PostgresPresence
from resources.realtime.rules.model import Rule
from resources.realtime.rules.postgres import PostgresRealtimeRules
from tests.contracts.fanout import Ear, FanoutContract
from tests.contracts.messages import MessageContract, PresenceContract, RuleContract, contents, said
from tests.fixtures.valkey import valkey

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.database.postgres import Database


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="aiw-") as name, valkey(Path(name)) as url:
        yield url


@pytest.fixture(scope="module")
def over_redis(redis_url: str, database: Database) -> Iterator[RedisFanout]:
    with closing(RedisFanout(redis_url, beside=PostgresFanout(database))) as fanout:
        yield fanout


@pytest.fixture(scope="module")
def over_redis_elsewhere(redis_url: str, database: Database) -> Iterator[RedisFanout]:
    with closing(RedisFanout(redis_url, beside=PostgresFanout(database))) as fanout:
        yield fanout


@pytest.fixture(scope="module")
def by_notify(database: Database) -> Iterator[list[PostgresFanout]]:
    with closing(PostgresFanout(database)) as one, closing(PostgresFanout(database)) as another:
        yield [one, another]


class TestMemory(FanoutContract):
    @pytest.fixture
    def here(self) -> MemoryFanout:
        return MemoryFanout()

    @pytest.fixture
    def there(self, here: MemoryFanout) -> MemoryFanout:
        return here


class TestPostgres(FanoutContract):
    @pytest.fixture
    def here(self, by_notify: list[PostgresFanout]) -> PostgresFanout:
        return by_notify[0]

    @pytest.fixture
    def there(self, by_notify: list[PostgresFanout]) -> PostgresFanout:
        return by_notify[1]


class TestRedis(FanoutContract):
    @pytest.fixture
    def here(self, over_redis: RedisFanout) -> RedisFanout:
        return over_redis

    @pytest.fixture
    def there(self, over_redis_elsewhere: RedisFanout) -> RedisFanout:
        return over_redis_elsewhere

    def test_who_tells_by_notify_is_heard_as_well(self, there: RedisFanout, database: Database, tenant: str) -> None:
        ear = Ear(tenant)
        there.watch(ear)
        PostgresFanout(database).tell([Notice("rules", tenant)])
        ear.wait_for(Notice("rules", tenant))

    def test_another_database_of_the_server_is_another_platform(
        self, here: RedisFanout, there: RedisFanout, redis_url: str, database: Database, tenant: str
    ) -> None:
        ear = Ear(tenant)
        there.watch(ear)
        with closing(RedisFanout(f"{redis_url}?db=1", beside=PostgresFanout(database))) as other:
            other.tell([Notice("message", tenant, ("1",))])
        here.tell([Notice("rules", tenant)])
        ear.wait_for(Notice("rules", tenant))
        assert ear.heard == [Notice("rules", tenant)]

    def test_a_broken_connection_is_told_and_news_come_again(
        self, here: RedisFanout, there: RedisFanout, redis_url: str, tenant: str
    ) -> None:
        ear = Ear(tenant)
        there.watch(ear)
        with closing(redis.Redis.from_url(redis_url)) as killer:
            killer.client_kill_filter(_type="pubsub")
        assert ear.lost.wait(30)
        here.tell([Notice("rules", tenant)])
        ear.wait_for(Notice("rules", tenant))

    def test_while_the_server_is_away_news_go_by_notify(self, database: Database, tenant: str) -> None:
        ear = Ear(tenant)
        with tempfile.TemporaryDirectory(prefix="aiw-") as name:
            url = f"unix://{name}/s"
            with (
                closing(RedisFanout(url, beside=PostgresFanout(database), pause=0.0)) as here,
                closing(RedisFanout(url, beside=PostgresFanout(database), pause=0.0)) as there,
            ):
                with valkey(Path(name)):
                    there.watch(ear)
                    here.tell([Notice("message", tenant, ("1",))])
                    ear.wait_for(Notice("message", tenant, ("1",)))
                here.tell([Notice("message", tenant, ("2",))])
                ear.wait_for(Notice("message", tenant, ("2",)))
                (Path(name) / "s").unlink(missing_ok=True)
                with valkey(Path(name)):
                    assert ear.lost.wait(30)
                    here.tell([Notice("message", tenant, ("3",))])
                    ear.wait_for(Notice("message", tenant, ("3",)))

    def test_an_address_that_is_none_is_refused_without_being_told(self, database: Database) -> None:
        with pytest.raises(InvalidInputError, match="AIW_REALTIME__REDIS_URL") as refused:
            RedisFanout("http://user:planted-secret@example.org", beside=PostgresFanout(database))
        assert "planted-secret" not in str(refused.value)


class TestMessagesOverRedis(MessageContract):
    @pytest.fixture
    def store(self, database: Database, over_redis: RedisFanout) -> PostgresMessages:
        return PostgresMessages(database, over_redis)

    def test_what_is_stored_is_stored_though_nobody_can_be_told(self, database: Database, tenant: str) -> None:
        class Deaf(MemoryFanout):
            def tell(self, _: object) -> None:
                raise UnavailableError("nobody there", dependency="redis")

        messages = PostgresMessages(database, Deaf())
        messages.publish([said(1)], tenant=tenant)
        assert contents(messages.read(tenant=tenant)) == [1]


class TestPresenceOverRedis(PresenceContract):
    @pytest.fixture
    def presence(self, database: Database, over_redis: RedisFanout) -> PostgresPresence:
        return PostgresPresence(database, over_redis)

    def test_changes_are_told(self, presence: PostgresPresence, over_redis: RedisFanout, tenant: str) -> None:
        ear = Ear(tenant)
        over_redis.watch(ear)
        presence.join([self.device(tenant, at=datetime.now(UTC))])
        ear.wait_for(Notice("presence", tenant, ("anna",)))


class TestRulesOverRedis(RuleContract):
    @pytest.fixture
    def rules(self, database: Database, over_redis: RedisFanout) -> PostgresRealtimeRules:
        return PostgresRealtimeRules(database, over_redis)

    def test_changes_are_told(self, rules: PostgresRealtimeRules, over_redis: RedisFanout, tenant: str) -> None:
        ear = Ear(tenant)
        over_redis.watch(ear)
        rules.save(Rule(name="a"), tenant=tenant)
        ear.wait_for(Notice("rules", tenant))
