from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from resources.errors import InvalidInputError, LimitExceededError, NotPermittedError
from resources.realtime import topics
from resources.realtime.memory import MemoryRealtimeRules
from resources.realtime.model import NewMessage, Priority, checked
from resources.realtime.rules.model import Actions, Conditions, RateLimit, Router, Rule, Table, Targets, Transform

MESSAGE = NewMessage(
    topic="sensors.door",
    content={"door": {"open": True}, "level": 3},
    sender="anna",
    routing_key="house.door",
    type="notification",
    headers={"room": "hall"},
)


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        ({}, True),
        ({"routing_key": r"house\..*"}, True),
        ({"routing_key": "house"}, False),
        ({"topic": r"sensors\.(door|window)"}, True),
        ({"sender": "a.*"}, True),
        ({"sender": "b.*"}, False),
        ({"types": ("notification", "error")}, True),
        ({"types": ("error",)}, False),
        ({"senders": ("bert", "anna")}, True),
        ({"senders": ("bert",)}, False),
        ({"headers": {"room": "hall"}}, True),
        ({"headers": {"room": "attic"}}, False),
        ({"content": {"door.open": True, "level": 3}}, True),
        ({"content": {"door.open": True, "level": 4}}, False),
        ({"content": {"door.open.wide": True}}, False),
    ],
)
def test_a_rule_applies_when_all_that_it_says_holds(conditions: dict[str, Any], holds: bool) -> None:
    _, applied = Table([Rule(name="r", when=Conditions(**conditions))]).route(MESSAGE)
    assert applied == (("r",) if holds else ())


def test_every_action_changes_the_message() -> None:
    actions = Actions(
        targets=Targets(user_ids=("bert",), required_subscriptions=("news",), max_targets=5),
        transform=Transform(routing_key="k", topic="alarms", add_headers={"a": "b"}, priority=Priority.HIGH),
        persist=False,
        priority=Priority.CRITICAL,
    )
    message, _ = Table([Rule(name="r", then=actions)]).route(MESSAGE)
    assert (message.topic, message.routing_key, message.headers) == ("alarms", "k", {"room": "hall", "a": "b"})
    assert (message.targets, message.required_subscriptions, message.max_targets) == (("bert",), ("news",), 5)
    assert (message.persist, message.priority) == (False, Priority.CRITICAL)
    assert message.message_id == MESSAGE.message_id


def test_rules_come_by_priority_and_a_terminal_one_ends_it() -> None:
    rules = [
        Rule(name="low", priority=1),
        Rule(name="off", priority=9, enabled=False),
        Rule(name="high", priority=5),
        Rule(name="end", priority=3, terminal=True),
    ]
    assert Table(rules).route(MESSAGE)[1] == ("high", "end")


def test_the_default_applies_when_no_other_did() -> None:
    rules = [Rule(name="default", default=True, priority=9), Rule(name="b", when=Conditions(sender="bert"))]
    assert Table(rules).route(MESSAGE)[1] == ("default",)
    assert Table([*rules, Rule(name="a", when=Conditions(sender="anna"))]).route(MESSAGE)[1] == ("a",)


def test_a_rate_holds_messages_back_and_refills() -> None:
    now = 0.0
    table = Table([Rule(name="r", then=Actions(rate_limit=RateLimit(per_second=2, burst=2)))], clock=lambda: now)
    for _ in range(2):
        table.route(MESSAGE)
    with pytest.raises(LimitExceededError) as error:
        table.route(MESSAGE)
    assert error.value.retry_after == 0.5
    now = 0.5
    table.route(MESSAGE)


def test_what_is_remembered_of_a_route_says_nothing_of_its_content() -> None:
    table = Table([Rule(name="open", when=Conditions(content={"n": 1}))])
    assert [table.route(NewMessage(topic="a", content={"n": n}))[1] for n in (1, 2, 1)] == [("open",), (), ("open",)]


def test_changed_rules_count_after_five_seconds_or_when_told() -> None:
    now = 0.0
    rules = MemoryRealtimeRules()
    router = Router(rules, clock=lambda: now)
    moved = NewMessage(topic="a", content=1)

    def topic() -> str:
        return router.route(moved, tenant="t").topic

    assert topic() == "a"
    rules.save(Rule(name="r", then=Actions(transform=Transform(topic="b"))), tenant="t")
    assert topic() == "a"
    router.forget("t")
    assert topic() == "b"
    rules.remove("r", tenant="t")
    now = 6.0
    assert topic() == "a"


@pytest.mark.parametrize(
    "expression", ["(", "a)|(b", "(?x) a #", r"(a)\1", "(?=a)a", "(a{50}){3}", r"\w{101,}", r"\Z", "a[", "\\"]
)
def test_what_is_no_expression_or_too_large_is_refused(expression: str) -> None:
    with pytest.raises(ValidationError, match=r"is not a regular expression|repetitions"):
        Conditions(topic=expression)


@pytest.mark.parametrize(
    ("expression", "topic"),
    [
        ("a.+b", "a.b"),
        ("(a|b)+c", "abac"),
        (r"^sensors\.[a-z]+\.(open|closed)$", "sensors.door.open"),
        ("(ab)?c{2,4}", "abccc"),
        ("(?i)A|b", "a"),
        (r"\d{4}", "2026"),
    ],
)
def test_an_expression_matches_a_text_as_a_whole(expression: str, topic: str) -> None:
    conditions = Conditions(topic=expression)
    assert conditions.hold_for_route(NewMessage(topic=topic, content=1))
    assert not conditions.hold_for_route(NewMessage(topic=f"{topic}/", content=1))
    assert not conditions.hold_for_route(NewMessage(topic=f"{topic}\n", content=1))


@pytest.mark.parametrize("expression", ["(a|a)*b", "(a+)+b", "(a*)*b", "(?:a+a?)*b", "(.*)(.*)(.*)(.*)b"])
def test_no_expression_takes_for_ever(expression: str) -> None:
    assert not Conditions(topic=expression).hold_for_route(NewMessage(topic="a" * 200, content=1))


@pytest.mark.parametrize("pair", [("a", "b"), ("a_b", "c"), ("ä.b", "c d"), ("a~", "_"), ("x@y.z", "X")])
def test_a_conversation_tells_its_members_and_nobody_elses(pair: tuple[str, str]) -> None:
    topic = topics.direct_topic(*pair)
    assert topics.check_topic(topic) == topics.direct_topic(pair[1], pair[0])
    assert set(topics.members(topic) or ()) == set(pair)


def test_no_two_pairs_share_a_conversation() -> None:
    assert topics.direct_topic("a_b", "c") != topics.direct_topic("a", "b_c")


def test_an_index_knows_patterns_and_forgets_who_leaves() -> None:
    index: topics.TopicIndex[str] = topics.TopicIndex()
    index.add("a.b", "exact")
    index.add("a.*", "star")
    index.add("a.**", "deep")
    assert set(index.matching("a.b")) == {"exact", "star", "deep"}
    assert set(index.matching("a.b.c")) == {"deep"}
    assert index.matching("a") == ()
    index.add("a.b", "late")
    index.remove("a.*", "star")
    assert set(index.matching("a.b")) == {"exact", "deep", "late"}
    index.add("*", "nosy")
    assert index.matching("dm_a_b") == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"topic": "no topic"},
        {"content": object()},
        {"content": {"a": "\x00"}},
        {"ttl": 0},
        {"targets": tuple(map(str, range(1001)))},
        {"type": "progress", "content": 101},
        {"sender": "\ud800"},
        {"routing_key": "x" * 201},
    ],
)
def test_a_message_that_cannot_be_stored_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        checked(NewMessage(**{"topic": "a", "content": 1, **fields}))


def test_secret_headers_are_left_out() -> None:
    headers = {"Authorization": "x", "cookie": "x", "X-API-Key": "x", "kept": "y"}
    assert checked(NewMessage(topic="a", content=1, headers=headers)).headers == {"kept": "y"}


def test_nobody_publishes_to_the_platforms_topics() -> None:
    for topic in ("runs.1", "documents", "presence", "broadcast", "dm_a_b"):
        with pytest.raises(NotPermittedError):
            topics.check_publishable(topic)
