"""What must end one connection, or make it wait, and never the process."""

from __future__ import annotations

import asyncio
import json
import socket
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.exceptions import InvalidStatus

from api.realtime import frames, session
from api.realtime.connection import MOST_CHARACTERS, Connection, Frame
from api.realtime.hub import HubLimits
from resources.errors import InvalidInputError
from resources.realtime.limits import Limiter, TokenBucket
from resources.realtime.memory import MemoryFanout
from resources.realtime.model import NewMessage, Notice, Priority
from resources.realtime.postgres import PostgresMessages
from resources.realtime.presence.model import Device
from resources.realtime.presence.postgres import PostgresPresence
from resources.tenants.model import Principal
from resources.tenants.permissions import Role
from tests.api.events import eventually
from tests.api.realtime.harness import Client, in_loop, sockets
from tests.fixtures.valkey import valkey

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from resources.database.postgres import Database
    from tests.api.realtime.harness import Sockets

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=12), children, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    [
        "topics",
        "topic",
        "payload",
        "content",
        "to",
        "target_user",
        "after",
        "last",
        "message_id",
        "status",
        "headers",
        "ttl",
    ]
)
LIKE_FRAMES = st.fixed_dictionaries(
    {"type": st.sampled_from(sorted(set(frames._COMMANDS) - {"Disconnect"})) | st.text(max_size=10)},
    optional={"data": st.dictionaries(FIELDS, JSON, max_size=5) | JSON, "id": JSON},
).map(json.dumps)


@settings(max_examples=400)
@given(st.text() | JSON.map(json.dumps) | LIKE_FRAMES)
def test_whatever_is_said_is_understood_or_refused(text: str) -> None:
    try:
        frame = frames.opened(text)
        command = frame.command()
    except InvalidInputError as error:
        told = frames.error_text(400, error)
    else:
        told = frames.encode("Status", {})
        assert type(command).__name__ in frames._COMMANDS
        assert frame.id is None or isinstance(frame.id, str | int)
    assert json.loads(told)["type"] in {"Error", "Status"}


@settings(max_examples=60, database=None)
@given(said=st.lists(LIKE_FRAMES | st.text(max_size=50), min_size=1, max_size=8))
def test_nothing_that_is_said_ends_the_process(fuzzed: Sockets, said: list[str]) -> None:
    with fuzzed.client() as client:
        for text in said:
            client.socket.send(text)
        client.say("Ping", timestamp="still there?")
        while (frame := client.next())["type"] != "Pong" or frame["data"]["timestamp"] != "still there?":
            assert frame["type"] in {"Error", "Status", "Ack", "Pong", "Connected", "Broadcast", "DirectMessage"}
            if frame["type"] == "Error":
                assert frame["data"]["code"] in {400, 401, 403, 404, 429, 503}


@pytest.fixture(scope="module")
def fuzzed(database: Database) -> Any:
    with sockets(database, "fuzzed", limits=HubLimits(sessions_per_user=1000)) as served:
        yield served


def test_a_bug_ends_one_connection_alone(
    served: Sockets, monkeypatch: pytest.MonkeyPatch, logs: list[MutableMapping[str, Any]]
) -> None:
    real = session.Session.take

    async def take(self: session.Session, text: str) -> None:
        if "poison" in text:
            raise ZeroDivisionError("a bug")
        await real(self, text)

    monkeypatch.setattr(session.Session, "take", take)
    with served.client() as well, served.client("bert") as struck:
        well.subscribe("news")
        struck.say("Ping", timestamp="poison")
        assert struck.closed()[0] == 1011
        assert well.nothing_came()
        with served.client("bert") as again:
            again.say("Broadcast", topic="news", payload="alive")
            assert well.messages(1) == ["alive"]
    assert any(entry["event"] == "realtime.connection_broke" for entry in logs)


def test_a_flood_is_slowed_down_and_told_when_to_come_back(database: Database, tenant: str) -> None:
    with sockets(database, tenant, limiter=Limiter(connection=(50, 5))) as served, served.client() as client:
        for number in range(20):
            client.say("Ping", timestamp=number)
        error = client.until("Error")
        assert (error["code"], error["error"]) == (429, "rate_limited")
        assert 0 < error["retry_after"] <= 1


def test_at_capacity_nobody_else_comes_in(database: Database, tenant: str) -> None:
    with sockets(database, tenant, limits=HubLimits(capacity=1)) as served, served.client():
        with pytest.raises(InvalidStatus) as refused:
            served.client("bert")
        assert refused.value.response.status_code == 503
        assert json.loads(refused.value.response.body or b"{}")["error"] == "Server at capacity"


def test_who_no_longer_answers_the_heartbeat_is_sent_away(database: Database, tenant: str) -> None:
    limits = HubLimits(heartbeat=0.1)
    with sockets(database, tenant, limits=limits) as served, served.client() as silent, served.client("bert") as never:
        assert silent.until("Ping")["timestamp"]
        silent.say("Pong")
        assert silent.closed()[0] == 1011
        assert never.until("Ping")["timestamp"]  # it never answered, and may stay


def test_who_never_reads_is_sent_away_and_the_others_get_all(database: Database, tenant: str) -> None:
    """Its queue is bounded; it comes back and goes on after the last position."""
    total, text = 400, "x" * 20_000
    with sockets(database, tenant, limits=HubLimits(queue=50)) as served:
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = served.url.removeprefix("ws://").removesuffix("/ws").split(":")
        deaf.connect((host, int(port)))
        with (
            Client(served.address("deaf"), sock=deaf, max_queue=1, close_timeout=0.1) as client,
            served.client("bert") as reader,
        ):
            assert client.next()["type"] == "Status"
            client.subscribe("news")
            reader.subscribe("news")
            for first in range(0, total, 20):
                new = [NewMessage(topic="news", content=[number, text]) for number in range(first, first + 20)]
                served.publisher.publish_all(new, tenant=tenant)
                assert [content[0] for content in reader.messages(20)] == list(range(first, first + 20))
            eventually(lambda: in_loop(served.hub, lambda: served.hub.open) == 1)


def test_a_server_that_ends_says_so_and_clients_go_on_elsewhere(database: Database, tenant: str) -> None:
    with sockets(database, tenant) as first:
        client = first.client()
        client.subscribe("news")
        first.publisher.publish(NewMessage(topic="news", content=1), tenant=tenant)
        position = client.until("Broadcast")["position"]
    code, reason = client.closed()
    client.close()
    assert (code, "come back" in reason) == (1012, True)
    with sockets(database, tenant) as second:
        second.publisher.publish(NewMessage(topic="news", content=2), tenant=tenant)
        with second.client() as client:
            client.say("Subscribe", topics=["news"], after=position)
            assert client.messages(1) == [2]


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="aiw-") as name, valkey(Path(name)) as url:
        yield url


@pytest.mark.parametrize("way", ["notify", "redis"])
def test_two_processes_on_one_database_tell_the_same(database: Database, tenant: str, redis_url: str, way: str) -> None:
    by = redis_url if way == "redis" else None
    with (
        sockets(database, tenant, redis_url=by) as one,
        sockets(database, tenant, redis_url=by) as two,
        one.client() as anna,
        two.client("bert") as bert,
    ):
        anna.subscribe("presence")
        bert.subscribe("news")
        anna.say("Broadcast", topic="news", payload="over there")
        assert bert.messages(1) == ["over there"]
        bert.say("DirectMessage", target_user="anna", payload="hello")
        assert anna.until("DirectMessage")["payload"] == "hello"
        assert bert.until("DeliveryConfirmation")["status"] == "Delivered"
        bert.say("TypingStart", conversation_id="dm_anna_bert")
        assert anna.until("TypingIndicator")["typing"]


def test_lost_notifications_cost_time_and_no_message(database: Database, tenant: str) -> None:
    with sockets(database, tenant) as served, served.client() as client:
        client.subscribe("news")
        with database.connect() as killer:
            killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'LISTEN run_events'"
                " AND datname = current_database()"
            )
        new = [NewMessage(topic="news", content=number) for number in range(5)]
        served.publisher.publish_all(new, tenant=tenant)
        assert client.messages(5) == [0, 1, 2, 3, 4]


def test_what_redis_lost_is_read_from_the_database(database: Database, tenant: str, redis_url: str) -> None:
    with sockets(database, tenant, redis_url=redis_url) as served, served.client() as client:
        client.subscribe("news")
        for number in range(0, 20, 2):
            with closing(redis.Redis.from_url(redis_url)) as killer:
                killer.client_kill_filter(_type="pubsub")
            new = [NewMessage(topic="news", content=content) for content in (number, number + 1)]
            served.publisher.publish_all(new, tenant=tenant)
        assert client.messages(20) == list(range(20))


def test_what_nobody_told_of_is_found_all_the_same(database: Database, tenant: str) -> None:
    """Who stored it died before it could tell."""
    with sockets(database, tenant, limits=HubLimits(beat=0.1)) as served, served.client() as client:
        client.subscribe("news")
        silent = PostgresMessages(database, MemoryFanout())
        silent.publish([NewMessage(topic="news", content="untold")], tenant=tenant)
        assert client.messages(1) == ["untold"]


def test_who_came_and_went_is_told_once_it_may_have_been_missed(database: Database, tenant: str) -> None:
    silent, now = PostgresPresence(database, MemoryFanout()), datetime.now(UTC)
    with sockets(database, tenant, limits=HubLimits(beat=0.1)) as served, served.client("anna") as anna:
        anna.subscribe("presence")

        def status_of_bert() -> str:
            in_loop(served.hub, lambda: served.hub._hear([Notice("lost")]))
            while (told := anna.until("PresenceUpdate"))["user_id"] != "bert":
                pass
            return str(told["status"])

        silent.join([Device(f"device of {tenant}", tenant, "bert", f"hub of {tenant}", now, now)])
        assert status_of_bert() == "online"
        silent.leave([f"device of {tenant}"])
        assert status_of_bert() == "offline"


def test_devices_that_the_database_forgot_are_written_again_and_streams_are_none(
    database: Database, tenant: str
) -> None:
    async def write(_: Frame) -> None:
        pass

    with sockets(database, tenant, limits=HubLimits(beat=0.1)) as served, served.client("anna"):
        hub = served.hub
        assert hub._loop is not None
        principal = Principal(tenant, "bert", "bert", Role.VIEWER, frozenset())
        coming = hub.enter(principal, write, lambda: None, present=False)
        stream = asyncio.run_coroutine_threadsafe(coming, hub._loop).result(20)
        hub.presence.leave([one.id for one in hub.presence.devices(None, tenant=tenant, now=datetime.now(UTC))])
        eventually(lambda: bool(hub.presence.devices(None, tenant=tenant, now=datetime.now(UTC))))
        assert [one.user for one in hub.presence.devices(None, tenant=tenant, now=datetime.now(UTC))] == ["anna"]
        in_loop(hub, lambda: hub.leave(stream))


def test_more_than_a_frame_is_not_even_gathered(served: Sockets) -> None:
    """A head that promises a gigabyte, and a message of pieces that never ends."""
    with served.client() as promising, served.client() as piecemeal, served.client("bert") as other:
        promising.socket.socket.sendall(b"\x81\xff" + (1 << 30).to_bytes(8, "big") + b"\0\0\0\0")
        assert promising.closed()[0] == 1009
        piece = b"\x00\xfe" + (8192).to_bytes(2, "big") + b"\0\0\0\0" + b"x" * 8192
        piecemeal.socket.socket.sendall(b"\x01" + piece[1:] + piece * 8)
        assert piecemeal.closed()[0] == 1009
        assert other.nothing_came()


def test_a_flood_of_subscriptions_is_bounded(database: Database, tenant: str) -> None:
    with sockets(database, tenant, limits=HubLimits(patterns=20)) as served, served.client() as client:
        for number in range(30):
            client.say("Subscribe", topics=[f"t{number}.**"])
        assert client.until("Error")["error"] == "too_many_topics"
        assert in_loop(served.hub, lambda: {len(one.patterns) for one in served.hub._rooms[tenant].connections}) == {20}
        client.say("Unsubscribe", topics=["t0.**"])
        client.say("Subscribe", topics=["other"])
        while client.until("Status")["details"].get("topics", [])[:1] != ["other"]:
            pass


# The queue, without a server.


PRINCIPAL = Principal("t", "anna", "anna", Role.VIEWER, frozenset())


def connection(size: int) -> tuple[Connection, list[str]]:
    ended: list[str] = []

    async def write(_: Frame) -> None:
        raise AssertionError("nothing is sent before the loop goes on")

    made = Connection("c", PRINCIPAL, write, lambda: ended.append("end"), bucket=TokenBucket(1, 1), size=size)
    return made, ended


async def test_what_matters_least_is_left_out_first() -> None:
    made, ended = connection(3)
    low, high = Frame("low", priority=Priority.LOW), Frame("high", priority=Priority.HIGH)
    assert all(made.offer(one) for one in (low, high, Frame("kept", place="m1")))
    assert made.offer(Frame("normal"))
    assert [frame.text for frame in made._queue] == ["high", "kept", "normal"]
    assert not made.offer(Frame("too low", priority=Priority.LOW))
    assert ended == []
    made.close(1000, "")


async def test_what_has_a_position_is_never_left_out() -> None:
    made, ended = connection(2)
    assert made.offer(Frame("passing"))
    assert made.offer(Frame("1", place="m1"))
    assert made.offer(Frame("2", place="m2"))
    assert not made.offer(Frame("passing"))
    assert not made.offer(Frame("3", place="m3", priority=Priority.CRITICAL))
    assert made.closing is not None
    assert made.closing[0] == 1013
    assert ended == ["end"]


async def test_what_waits_is_bounded_in_size_too() -> None:
    made, _ = connection(1000)
    half = "x" * (MOST_CHARACTERS // 2)
    assert [made.offer(Frame(half)), made.half_full] == [True, False]
    assert [made.offer(Frame(half, place="m1")), made.half_full] == [True, True]
    assert not made.offer(Frame("passing", priority=Priority.LOW))
    assert made.offer(Frame("2", place="m2"))
    assert [len(frame.text) for frame in made._queue] == [len(half), 1]
    assert not made.offer(Frame(f"{half}3", place="m3"))
    assert made.closing is not None
    assert made.closing[0] == 1013


def test_buckets_refill_with_time() -> None:
    now = time.monotonic()
    limiter = Limiter(everybody=(10, 10), user=(10, 10), connection=(1, 2), clock=lambda: now)
    bucket = limiter.bucket()
    assert [limiter.take("t", "u", bucket) for _ in range(3)] == [0, 0, 1.0]
    now += 1
    assert limiter.take("t", "u", bucket) == 0
    other = limiter.bucket()
    assert limiter.take("t", "u", other) == 0
    limiter.sweep()
    assert limiter._users
    now += 10
    limiter.sweep()
    assert not limiter._users
