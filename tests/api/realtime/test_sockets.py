"""Sockets on a real server: both dialects, and what is said to whom."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import InvalidStatus

from resources.errors import PlatformError
from resources.realtime.model import NewMessage, Priority, as_direct
from resources.realtime.rules.model import Actions, Conditions, RateLimit, Rule, Targets, Transform
from resources.realtime.rules.postgres import PostgresRealtimeRules
from tests.api.events import eventually
from tests.api.realtime.harness import Client, Sockets, in_loop, sockets

if TYPE_CHECKING:
    from resources.database.postgres import Database


def publish(served: Sockets, content: Any, topic: str = "news", **fields: Any) -> int:
    return served.publisher.publish(NewMessage(topic=topic, content=content, **fields), tenant=served.tenant).position


def test_the_first_frame_tells_who_one_is_to_the_server(served: Sockets) -> None:
    with served.client() as client:
        data = client.greeting["data"]
        assert client.greeting["type"] == "Status"
        assert data["status"] == "connected"
        assert data["details"]["protocol_version"] == "1.0"
        assert data["details"]["connection_id"]
        assert data["details"]["server_time"].endswith("Z")
    with served.client(dialect="rich") as client:
        assert client.greeting["type"] == "Connected"
        assert client.greeting["data"]["user_id"] == "anna"


def test_a_message_reaches_who_subscribed_and_nobody_else(served: Sockets) -> None:
    with served.client() as anna, served.client("bert") as bert, served.client("carl") as carl:
        bert.subscribe("orders.*")
        carl.subscribe("orders")
        anna.say("Broadcast", id="m-1", topic="orders.created", payload={"n": 1})
        ack = anna.until("Ack")
        assert (ack["message_id"], ack["status"]) == ("m-1", "sent")
        data = bert.until("Broadcast")
        assert (data["topic"], data["payload"], data["from"]) == ("orders.created", {"n": 1}, "anna")
        assert data["position"] == ack["position"]
        assert carl.nothing_came()


def test_who_speaks_gets_no_copy_but_its_other_devices_do(served: Sockets) -> None:
    with served.client() as one, served.client() as other:
        for client in (one, other):
            client.subscribe("news")
        one.say("Broadcast", topic="news", payload=1)
        assert other.messages(1) == [1]
        one.until("Ack")
        assert one.nothing_came()


def test_tenants_hear_nothing_of_each_other(served: Sockets) -> None:
    with served.client() as mine, served.client(tenant=f"{served.tenant}-other") as other:
        mine.subscribe("**")
        other.subscribe("**")
        other.say("Broadcast", topic="news", payload="theirs")
        other.say("DirectMessage", to="anna", content="theirs")
        other.until("Ack")
        other.until("Ack")
        publish(served, "mine")
        assert mine.messages(1) == ["mine"]


def test_the_rich_dialect_names_its_frames(served: Sockets) -> None:
    with served.client("bert", dialect="rich") as bert, served.client() as anna:
        anna.say("Connect", user_id="anna", metadata={})
        assert anna.until("Connected")["user_id"] == "anna"
        bert.subscribe("news")
        anna.say("TopicMessage", topic="news", content="all", message_id="mine")
        assert anna.until("Ack")["client_id"] == "mine"
        assert bert.until("TopicMessageReceived")["content"] == "all"
        anna.say("DirectMessage", to="bert", content="you", message_id=str(uuid.uuid4()))
        assert bert.until("MessageReceived")["content"] == "you"
        anna.say("BroadcastMessage", content="everybody")
        assert bert.until("BroadcastReceived")["content"] == "everybody"
        anna.say("Disconnect", reason="tea")
        assert anna.closed() == (1000, "tea")


def test_a_direct_message_goes_to_all_devices_and_is_confirmed(served: Sockets) -> None:
    with served.client() as anna, served.client("bert") as phone, served.client("bert") as desk:
        anna.say("DirectMessage", target_user="bert", payload="psst")
        for device in (phone, desk):
            data = device.until("DirectMessage")
            assert (data["from"], data["payload"], data["topic"]) == ("anna", "psst", "dm_anna_bert")
        assert anna.until("DeliveryConfirmation")["status"] == "Delivered"
        phone.say("Ack", message_id=data["message_id"])
        assert anna.until("DeliveryConfirmation") == {
            "message_id": data["message_id"],
            "status": "Read",
            "user_id": "bert",
        }


def test_a_direct_message_to_nobody_is_refused_or_waits(served: Sockets) -> None:
    with served.client() as anna:
        anna.say("DirectMessage", target_user="bert", payload="lost", id=7)
        error = anna.until("Error")
        assert (error["code"], error["error"]) == (404, "user_absent")
        anna.say("DirectMessage", to="bert", content="waits")
        anna.until("Ack")
        with served.client("bert") as bert:
            assert bert.until("DirectMessage")["payload"] == "waits"
            assert anna.until("DeliveryConfirmation")["status"] == "Delivered"
        with served.client("bert") as bert:
            assert bert.nothing_came()


def test_who_comes_back_gets_what_was_said_in_between_once(served: Sockets) -> None:
    with served.client() as client:
        client.subscribe("news")
        last = publish(served, 0)
        assert client.messages(1) == [0]
    for number in range(1, 6):
        publish(served, number)
    publish(served, "other", topic="elsewhere")
    with served.client() as client:
        client.say("Subscribe", topics=["news"], after=last)
        assert client.messages(5) == [1, 2, 3, 4, 5]
        assert client.until("Status")["status"] == "subscribed"
        publish(served, 6)
        assert client.messages(1) == [6]
        assert client.nothing_came()


def test_a_long_absence_is_made_up_for_from_the_database(served: Sockets) -> None:
    new = [NewMessage(topic="news", content=number) for number in range(2500)]
    served.publisher.publish_all(new, tenant=served.tenant)
    with served.client() as client:
        client.say("Subscribe", topics=["news"], after=100)
        assert client.messages(2400) == list(range(100, 2500))


def test_direct_messages_are_resumed_by_position_too(served: Sockets) -> None:
    def write(text: str) -> int:
        return served.publisher.publish(as_direct("anna", "bert", text), tenant=served.tenant).position

    first = write("seen")
    with served.client("bert") as bert:
        assert bert.until("DirectMessage")["payload"] == "seen"
    write("missed")
    with served.client("bert", after=first) as bert:
        assert bert.until("DirectMessage")["payload"] == "missed"
        assert bert.nothing_came()


def test_the_last_value_comes_first_when_it_is_wanted(served: Sockets) -> None:
    publish(served, "old", topic="weather.rome")
    publish(served, "new", topic="weather.rome")
    publish(served, "rain", topic="weather.oslo")
    with served.client() as client:
        client.say("Subscribe", topics=["weather.*"], last=True)
        assert client.messages(2) == ["new", "rain"]


def test_unsubscribed_means_nothing_more_comes(served: Sockets) -> None:
    with served.client() as client:
        client.subscribe("news", "sports")
        client.say("Unsubscribe", topics=["news"])
        assert client.until("Status")["details"]["topics"] == ["sports"]
        publish(served, "no")
        publish(served, "yes", topic="sports")
        assert client.messages(1) == ["yes"]


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("nonsense", 400),
        ("[]", 400),
        ('{"type": "Fly", "data": {}}', 400),
        ('{"type": "Subscribe", "data": {}}', 400),
        ('{"type": "Subscribe", "data": {"topics": ["no spaces"]}}', 400),
        ('{"type": "Subscribe", "data": {"topics": ["dm_a_b"]}}', 400),
        ('{"type": "Subscribe", "data": {"topics": ["**"], "after": 1}}', 400),
        ('{"type": "Broadcast", "data": {"topic": "runs.1", "payload": 1}}', 403),
        ('{"type": "Broadcast", "data": {"topic": "a", "payload": "\\u0000"}}', 400),
        ('{"type": "Broadcast", "data": {"topic": "a", "payload": 1, "ttl": 0}}', 400),
        ('{"type": "DirectMessage", "data": {"payload": 1}}', 400),
        ('{"type": "Ack", "data": {"message_id": "x"}}', 400),
        ('{"type": "UpdatePresence", "data": {"status": "flying"}}', 400),
        ('{"type": "TypingStart", "data": {"conversation_id": "dm_x_y"}}', 404),
        ("[" * 20000, 400),
        ('{"type": "Ping", "data": ' + '{"a":' * 5000 + "1" + "}" * 5000 + "}", 400),
    ],
)
def test_a_wrong_frame_is_told_and_the_socket_lives_on(served: Sockets, frame: str, code: int) -> None:
    with served.client() as client:
        client.socket.send(frame)
        assert client.until("Error")["code"] == code
        assert client.nothing_came()


def test_a_wrong_frame_is_answered_by_its_id(served: Sockets) -> None:
    with served.client() as client:
        for wrong in ({"type": "Fly"}, {"type": "Subscribe", "data": {"topics": 1}}, {"type": "Ping", "data": []}):
            client.socket.send(json.dumps({**wrong, "id": "mine"}))
            assert client.until("Error")["id"] == "mine"


def test_the_longest_topic_is_subscribed_to_by_its_name(served: Sockets) -> None:
    longest = ".".join("abcdefghijklmnop")
    with served.client() as anna, served.client("bert") as bert:
        anna.subscribe(longest)
        bert.say("Broadcast", topic=longest, payload=1)
        assert anna.messages(1) == [1]


def test_binary_frames_are_told(served: Sockets) -> None:
    with served.client() as client:
        client.socket.send(b"\x00\x01")
        assert client.until("Error")["code"] == 400
        assert client.nothing_came()


def test_who_may_only_read_does_not_write(served: Sockets) -> None:
    with served.client(role="viewer") as client:
        client.say("Broadcast", topic="news", payload=1)
        assert client.until("Error")["code"] == 403
    with served.client(role="member") as client:
        client.say("BroadcastMessage", content=1)
        assert client.until("Error")["code"] == 403


def test_a_frame_that_is_too_large_ends_the_socket_alone(served: Sockets) -> None:
    with served.client() as other, served.client() as client:
        client.socket.send("x" * (64 * 1024 + 1))
        assert client.closed()[0] == 1009
        assert other.nothing_came()


def test_invalid_unicode_ends_the_socket_alone(served: Sockets) -> None:
    with served.client() as other, served.client() as client:
        client.socket.send(b"\xff\xfe", text=True)
        assert client.closed()[0] == 1007
        assert other.nothing_came()


# The handshake.


@pytest.mark.parametrize(
    ("query", "status"), [("", 401), ("?token=", 401), ("?token=wrong", 401), ("?token=t/deaf-user/deaf", 403)]
)
def test_the_handshake_is_refused_with_a_status(served: Sockets, query: str, status: int) -> None:
    with pytest.raises(InvalidStatus) as refused:
        Client(served.url + query)
    assert refused.value.response.status_code == status
    problem = json.loads(refused.value.response.body or b"{}")
    assert problem["status"] == status
    assert problem["error"]


@pytest.mark.parametrize("wish", [{"dialect": "klingon"}, {"after": "-1"}, {"after": "x"}, {"after": "9" * 19}])
def test_a_wish_that_cannot_be_understood_is_refused(served: Sockets, wish: dict[str, str]) -> None:
    with pytest.raises(InvalidStatus) as refused:
        served.client(**wish)
    assert refused.value.response.status_code == 422


def test_a_token_comes_in_four_ways(served: Sockets) -> None:
    token = f"{served.tenant}/anna/member"
    ways: list[tuple[str, dict[str, Any]]] = [
        (f"?token={token}", {}),
        (f"?access_token={token}", {}),
        ("", {"additional_headers": {"Authorization": f"Bearer {token}"}}),
    ]
    for query, options in ways:
        with Client(served.url + query, **options) as client:
            assert client.next()["type"] == "Status"


def test_a_token_as_subprotocol_is_answered_as_browsers_want(served: Sockets, database: Database) -> None:
    class Dotted:
        async def __call__(self, token: str | None, headers: Any) -> Any:
            app_token = (token or "").replace(".", "/")
            from tests.api.realtime.harness import ScriptedAuthenticator

            return await ScriptedAuthenticator()(app_token, headers)

    with sockets(database, served.tenant) as own:
        own.app.state.authenticate = Dotted()
        protocol = f"access_token.{served.tenant}.anna.member"
        with Client(own.url, subprotocols=[protocol]) as client:
            assert client.socket.subprotocol == protocol
            assert client.next()["type"] == "Status"


def test_a_user_has_five_sessions_at_most(served: Sockets) -> None:
    clients = [served.client() for _ in range(5)]
    with pytest.raises(InvalidStatus) as refused:
        served.client()
    assert refused.value.response.status_code == 429
    clients.pop().close()
    eventually(lambda: connects(served))
    with served.client("bert") as other:
        assert other.nothing_came()
    for client in clients:
        client.close()


def connects(served: Sockets) -> bool:
    try:
        with served.client():
            return True
    except InvalidStatus:
        return False


# Presence and typing.


def test_presence_is_told_to_who_asked(served: Sockets) -> None:
    with served.client() as anna:
        anna.subscribe("presence")
        with served.client("bert") as bert:
            assert until_user(anna, "bert")["status"] == "online"
            bert.say("UpdatePresence", status="Busy", message="thinking")
            update = until_user(anna, "bert")
            assert (update["status"], update["message"]) == ("busy", "thinking")
            with served.client("bert"):
                assert until_user(anna, "bert")["devices"] == 2
            assert until_user(anna, "bert")["devices"] == 1
        assert until_user(anna, "bert")["status"] == "offline"


def until_user(client: Client, user: str) -> dict[str, Any]:
    while (update := client.until("PresenceUpdate"))["user_id"] != user:
        pass
    return update


def test_typing_is_shown_to_the_other(served: Sockets) -> None:
    with served.client() as anna, served.client("bert") as bert, served.client("carl") as carl:
        for state in ("Start", "End"):
            anna.say(f"Typing{state}", conversation_id="dm_anna_bert")
            indicator = bert.until("TypingIndicator")
            assert (indicator["user_id"], indicator["typing"]) == ("anna", state == "Start")
        assert carl.nothing_came()


# Rules.


@pytest.fixture
def rules(database: Database) -> PostgresRealtimeRules:
    return PostgresRealtimeRules(database)


def test_rules_change_and_aim_messages(served: Sockets, rules: PostgresRealtimeRules) -> None:
    rules.save(
        Rule(
            name="alarm",
            when=Conditions(topic=r"sensors\..*", content={"level": "high"}),
            then=Actions(
                transform=Transform(topic="alarms", add_headers={"rule": "alarm"}),
                priority=Priority.CRITICAL,
                targets=Targets(user_ids=("bert",)),
            ),
        ),
        tenant=served.tenant,
    )
    with served.client() as anna, served.client("bert") as bert, served.client("carl") as carl:
        for client in (bert, carl):
            client.subscribe("sensors.**", "alarms")
        anna.say("Broadcast", topic="sensors.door", payload={"level": "low"})
        anna.say("Broadcast", topic="sensors.door", payload={"level": "high"})
        assert carl.messages(1) == [{"level": "low"}]
        assert carl.nothing_came()
        assert bert.messages(1) == [{"level": "low"}]
        data = bert.until("Broadcast")
        assert (data["topic"], data["priority"], data["headers"]) == ("alarms", "critical", {"rule": "alarm"})


def test_a_new_rule_and_a_new_subscriber_count_at_once(served: Sockets, rules: PostgresRealtimeRules) -> None:
    with served.client() as anna, served.client("bert") as bert:
        bert.subscribe("b")
        anna.say("Broadcast", topic="a", payload=1)
        anna.until("Ack")
        rules.save(Rule(name="a-to-b", then=Actions(transform=Transform(topic="b"))), tenant=served.tenant)

        def moved() -> bool:
            anna.say("Broadcast", topic="a", payload=2)
            anna.until("Ack")
            return bool(served.publisher.messages.history("b", tenant=served.tenant))

        eventually(moved)
        assert bert.messages(1) == [2]
        with served.client("carl") as carl:
            carl.subscribe("b")
            anna.say("Broadcast", topic="a", payload=3)
            assert carl.messages(1) == [3]


def test_a_rule_bounds_who_gets_it_and_keeps_it_from_being_kept(served: Sockets, rules: PostgresRealtimeRules) -> None:
    only_one = Actions(targets=Targets(max_targets=1), persist=False)
    rules.save(Rule(name="first-come", when=Conditions(types=("custom",)), then=only_one), tenant=served.tenant)
    with served.client() as anna, served.client("bert") as bert, served.client("carl") as carl:
        for client in (bert, carl):
            client.subscribe("jobs")
        anna.say("Broadcast", topic="jobs", payload="who?")
        assert anna.until("Ack")["status"] == "sent"
        publish(served, "all", topic="jobs", type="control")
        first = [client.until("Broadcast") for client in (bert, carl)]
        assert sorted(data["payload"] for data in first) == ["all", "who?"]
        assert [data["position"] for data in first if data["payload"] == "who?"] == [None]
    assert [one.content for one in served.publisher.messages.history("jobs", tenant=served.tenant)] == ["all"]


def test_a_rule_of_a_rate_says_when_to_come_back(served: Sockets, rules: PostgresRealtimeRules) -> None:
    rules.save(Rule(name="slow", then=Actions(rate_limit=RateLimit(per_second=0.01))), tenant=served.tenant)
    with served.client() as anna:
        anna.say("Broadcast", topic="a", payload=1)
        anna.until("Ack")
        anna.say("Broadcast", topic="a", payload=2)
        error = anna.until("Error")
        assert (error["code"], error["error"]) == (429, "rule_rate_limited")
        assert error["retry_after"] > 50


def test_only_who_is_subscribed_to_all_that_is_required_gets_it(served: Sockets) -> None:
    with served.client() as anna, served.client("bert") as bert:
        anna.subscribe("news", "extra.*")
        bert.subscribe("news")
        publish(served, "more", required_subscriptions=("extra.news",))
        assert anna.messages(1) == ["more"]
        assert bert.nothing_came()


def test_what_requires_subscriptions_does_so_when_it_comes_later(served: Sockets) -> None:
    publish(served, "more", required_subscriptions=("extra.news",))
    publish(served, "all", topic="broadcast", required_subscriptions=("extra.news",))
    with served.client(after=0) as client:
        client.say("Subscribe", topics=["news", "broadcast"], after=0, last=True)
        assert client.next()["type"] == "Status"
        client.say("Subscribe", topics=["extra.*", "news"], after=0)
        assert client.messages(1) == ["more"]


def test_what_came_by_itself_does_not_come_once_more(served: Sockets) -> None:
    publish(served, "said")
    publish(served, "aimed", targets=("anna",))
    publish(served, "for all", topic="broadcast")
    with served.client(after=0) as client:
        client.say("Subscribe", topics=["news", "broadcast"], after=0)
        assert client.messages(3) == ["aimed", "for all", "said"]
        assert client.next()["type"] == "Status"
    with served.client() as client:
        client.say("Subscribe", topics=["news", "broadcast"], after=0)
        assert client.messages(3) == ["said", "aimed", "for all"]


def test_an_expired_message_is_not_delivered(served: Sockets) -> None:
    position = publish(served, "short", ttl=0.001)
    publish(served, "long")
    with served.client() as client:
        client.say("Subscribe", topics=["news"], after=position - 1)
        assert client.messages(1) == ["long"]


def test_what_nobody_is_connected_for_costs_no_room(served: Sockets) -> None:
    with served.client() as client:
        assert client.nothing_came()
        assert served.tenant in served.hub._rooms
    eventually(lambda: served.tenant not in served.hub._rooms)
    assert in_loop(served.hub, lambda: served.hub._facts.wanted) == 0
    with pytest.raises(PlatformError):
        publish(served, 1, topic="not a topic")
