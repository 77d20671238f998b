"""What every log of messages, every store of presence and of rules promises. Subclass and give the store."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from resources.errors import NotFoundError
from resources.realtime.model import NewMessage, Notice, Retention, as_direct
from resources.realtime.presence.model import AWAY_AFTER, OFFLINE_AFTER, Device, Joined, Status
from resources.realtime.rules.model import Actions, Rule

if TYPE_CHECKING:
    from resources.realtime.model import Message
    from resources.realtime.store import MessageStore, PresenceStore, RuleStore

FOR_EVER = Retention(messages=timedelta(days=1), transient=timedelta(days=1))


def said(content: Any = "hello", topic: str = "orders.created", **fields: Any) -> NewMessage:
    return NewMessage(topic=topic, content=content, **fields)


def contents(messages: Any) -> list[Any]:
    return [message.content for message in messages]


class MessageContract:
    @pytest.fixture
    def store(self) -> MessageStore:
        raise NotImplementedError

    def test_positions_have_no_gaps_and_begin_with_one(self, store: MessageStore, tenant: str) -> None:
        assert store.head(tenant=tenant) == 0
        first = store.publish([said(1), said(2)], tenant=tenant)
        second = store.publish([said(3)], tenant=tenant)
        assert [message.position for message in [*first, *second]] == [1, 2, 3]
        assert store.head(tenant=tenant) == 3

    def test_what_was_published_is_read(self, store: MessageStore, tenant: str) -> None:
        new = said(
            {"text": "grüße", "n": [1, 2.5, None]},
            sender="anna",
            type="agent",
            routing_key="a.b",
            headers={"x": "y"},
            required_subscriptions=("news",),
            max_targets=3,
            ttl=60.0,
        )
        (published,) = store.publish([new], tenant=tenant)
        (read,) = store.read(tenant=tenant)
        assert read == published
        assert read.expires_at == read.created_at + timedelta(seconds=60)

    def test_an_id_is_stored_once(self, store: MessageStore, tenant: str) -> None:
        new = said("once")
        (first,) = store.publish([new], tenant=tenant)
        again = store.publish([new, said("more"), new], tenant=tenant)
        assert [message.position for message in again] == [first.position, 2, first.position]
        assert contents(store.read(tenant=tenant)) == ["once", "more"]

    def test_tenants_see_nothing_of_each_other(self, store: MessageStore, tenant: str) -> None:
        other = f"{tenant}-other"
        (mine,) = store.publish([said("mine")], tenant=tenant)
        store.publish([said("theirs", message_id=mine.message_id)], tenant=other)
        assert contents(store.read(tenant=tenant)) == ["mine"]
        assert contents(store.history("orders.created", tenant=other)) == ["theirs"]
        assert store.search("mine", tenant=other, user=None) == []

    def test_reading_goes_on_after_a_position(self, store: MessageStore, tenant: str) -> None:
        store.publish([said(number) for number in range(5)], tenant=tenant)
        assert contents(store.read(tenant=tenant, after=2)) == [2, 3, 4]
        assert contents(store.read(tenant=tenant, after=2, up_to=4)) == [2, 3]
        assert contents(store.read(tenant=tenant, limit=2)) == [0, 1]

    @pytest.mark.parametrize(
        ("patterns", "found"),
        [
            (["a"], ["a"]),
            (["a.*"], ["a.b", "a.c"]),
            (["a.**"], ["a.b", "a.c", "a.b.c"]),
            (["*"], ["a", "b"]),
            (["**"], ["a", "b", "a.b", "a.c", "a.b.c"]),
            (["*.b", "b"], ["b", "a.b"]),
            (["*.*.c"], ["a.b.c"]),
            ([], []),
        ],
    )
    def test_patterns_choose_topics(
        self, store: MessageStore, tenant: str, patterns: list[str], found: list[str]
    ) -> None:
        names = ["a", "b", "a.b", "a.c", "a.b.c"]
        store.publish([said(name, topic=name) for name in names], tenant=tenant)
        assert contents(store.read(tenant=tenant, patterns=patterns)) == found
        last = store.last_values(patterns, tenant=tenant, user=None, now=datetime.now(UTC))
        assert contents(last) == found

    def test_history_gives_the_newest_oldest_first(self, store: MessageStore, tenant: str) -> None:
        published = store.publish([said(number) for number in range(5)], tenant=tenant)
        store.publish([said("other", topic="other")], tenant=tenant)
        assert contents(store.history("orders.created", tenant=tenant, limit=2)) == [3, 4]
        assert contents(store.history("orders.created", tenant=tenant, limit=2, before=4)) == [1, 2]
        assert store.history("orders.created", tenant=tenant, before_time=published[0].created_at) == []

    def test_the_last_value_of_each_topic_unless_it_is_expired(self, store: MessageStore, tenant: str) -> None:
        store.publish([said("old", topic="a"), said("new", topic="a"), said("short", topic="b", ttl=5)], tenant=tenant)
        now = datetime.now(UTC)
        assert contents(store.last_values(["*"], tenant=tenant, user=None, now=now)) == ["new", "short"]
        later = now + timedelta(seconds=6)
        assert contents(store.last_values(["a", "b"], tenant=tenant, user=None, now=later)) == ["new"]

    def test_words_are_found_in_the_content(self, store: MessageStore, tenant: str) -> None:
        store.publish([said({"text": "green tea is ready"}), said({"text": "black coffee"})], tenant=tenant)
        assert contents(store.search("Tea ready", tenant=tenant, user=None)) == [{"text": "green tea is ready"}]
        assert store.search("milk", tenant=tenant, user=None) == []

    def test_only_its_people_see_a_direct_message(self, store: MessageStore, tenant: str) -> None:
        (sent,) = store.publish([as_direct("anna", "bert", "psst")], tenant=tenant)
        assert sent.topic == "dm_anna_bert"
        for user, expected in [("anna", ["psst"]), ("bert", ["psst"]), ("carl", []), (None, ["psst"])]:
            assert contents(store.history(sent.topic, tenant=tenant, user=user)) == expected
            assert contents(store.read(tenant=tenant, user=user)) == expected
            assert contents(store.search("psst", tenant=tenant, user=user)) == expected

    def test_a_direct_message_waits_until_it_is_delivered(self, store: MessageStore, tenant: str) -> None:
        (sent,) = store.publish([as_direct("anna", "bert", "psst", ttl=60)], tenant=tenant)
        now = datetime.now(UTC)
        assert [(user, one.content) for user, one in store.undelivered(["bert", "x"], tenant=tenant, now=now)] == [
            ("bert", "psst")
        ]
        assert store.undelivered(["bert"], tenant=tenant, now=now + timedelta(seconds=61)) == []
        assert store.confirm([(sent.message_id, "bert", "delivered")], tenant=tenant) == 1
        assert store.undelivered(["bert"], tenant=tenant, now=now) == []
        assert contents(store.direct("bert", tenant=tenant, after=0, up_to=9)) == ["psst"]
        assert store.direct("bert", tenant=tenant, after=sent.position, up_to=9) == []

    def test_a_delivery_never_goes_back(self, store: MessageStore, tenant: str) -> None:
        (sent,) = store.publish([as_direct("anna", "bert", "psst")], tenant=tenant)
        heard: list[Notice] = []
        told = threading.Event()

        def hear(notices: Any) -> None:
            heard.extend(notice for notice in notices if (notice.kind, notice.tenant) == ("delivery", tenant))
            if heard:
                told.set()

        cancel = store.watch(hear)
        assert store.confirm([(sent.message_id, "bert", "delivered"), (sent.message_id, "bert", "read")], tenant=tenant)
        assert store.confirm([(sent.message_id, "bert", "delivered")], tenant=tenant) == 0
        assert store.confirm([(sent.message_id, "carl", "read")], tenant=tenant) == 0
        (delivery,) = store.deliveries(sent.message_id, tenant=tenant)
        assert (delivery.user, delivery.status) == ("bert", "read")
        assert told.wait(60)
        assert heard[-1].ids == (str(sent.message_id), "bert", "read", "anna")
        cancel()

    def test_conversations_are_told_newest_first(self, store: MessageStore, tenant: str) -> None:
        store.publish([as_direct("anna", "bert", 1), as_direct("carl", "anna", 2)], tenant=tenant)
        store.publish([as_direct("bert", "anna", 3)], tenant=tenant)
        found = store.conversations("anna", tenant=tenant)
        assert [(one.members, one.position) for one in found] == [(("anna", "bert"), 3), (("anna", "carl"), 2)]
        assert [one.topic for one in store.conversations("carl", tenant=tenant)] == ["dm_anna_carl"]

    def test_what_does_not_persist_is_seen_by_those_who_are_there(self, store: MessageStore, tenant: str) -> None:
        store.publish([said("gone", persist=False), said("kept")], tenant=tenant)
        assert contents(store.read(tenant=tenant)) == ["kept"]
        assert contents(store.read(tenant=tenant, transient=True)) == ["gone", "kept"]
        assert contents(store.history("orders.created", tenant=tenant)) == ["kept"]

    def test_a_sweep_removes_what_is_old_and_gives_expired_deliveries_up(
        self, store: MessageStore, tenant: str
    ) -> None:
        (direct,) = store.publish([as_direct("anna", "bert", "psst", ttl=5)], tenant=tenant)
        store.publish([said("gone", persist=False), said("kept")], tenant=tenant)
        now = datetime.now(UTC)
        store.sweep(now + timedelta(seconds=6), retention=FOR_EVER)
        assert [one.status for one in store.deliveries(direct.message_id, tenant=tenant)] == ["failed"]
        assert len(store.read(tenant=tenant, transient=True)) == 3
        store.sweep(now + timedelta(seconds=1), retention=Retention(timedelta(days=1), timedelta(0)))
        assert contents(store.read(tenant=tenant, transient=True)) == ["psst", "kept"]

    def test_positions_go_on_after_all_was_removed(self, store: MessageStore, tenant: str) -> None:
        store.publish([said(1, persist=False)], tenant=tenant)
        store.sweep(datetime.now(UTC) + timedelta(seconds=1), retention=Retention(timedelta(days=1), timedelta(0)))
        (next_one,) = store.publish([said(2)], tenant=tenant)
        assert next_one.position == 2

    def test_watchers_hear_of_every_message(self, store: MessageStore, tenant: str) -> None:
        heard: list[Notice] = []
        told = threading.Event()

        def hear(notices: Any) -> None:
            heard.extend(notice for notice in notices if notice.tenant == tenant)
            if any(notice.kind == "typing" for notice in heard):
                told.set()

        cancel = store.watch(hear)
        store.publish([said(1), said(2)], tenant=tenant)
        store.tell([Notice("typing", tenant, ("dm_a_b", "a", "start"))])
        assert told.wait(60)
        cancel()
        assert heard == [Notice("message", tenant, ("2",)), Notice("typing", tenant, ("dm_a_b", "a", "start"))]

    def test_many_writers_leave_no_gap_and_readers_meet_none(self, store: MessageStore, tenant: str) -> None:
        seen: list[Message] = []
        done = threading.Event()

        def write(writer: int) -> None:
            for number in range(25):
                store.publish([said([writer, number])], tenant=tenant)

        def read() -> None:
            while not done.is_set():
                seen.extend(store.read(tenant=tenant, after=seen[-1].position if seen else 0))
            seen.extend(store.read(tenant=tenant, after=seen[-1].position if seen else 0))

        reader = threading.Thread(target=read)
        writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for thread in [reader, *writers]:
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        reader.join()
        assert [message.position for message in seen] == list(range(1, 101))
        for writer in range(4):
            assert [one.content[1] for one in seen if one.content[0] == writer] == list(range(25))


class PresenceContract:
    @pytest.fixture
    def presence(self) -> PresenceStore:
        raise NotImplementedError

    @staticmethod
    def device(tenant: str, user: str = "anna", *, at: datetime, hub: str | None = None) -> Device:
        return Device(uuid.uuid4().hex, tenant, user, hub or f"hub-{tenant}", at, at)

    def test_a_user_is_there_until_the_last_device_leaves(self, presence: PresenceStore, tenant: str) -> None:
        now = datetime.now(UTC)
        one, two = self.device(tenant, at=now), self.device(tenant, at=now)
        assert presence.join([one]) == [Joined(1, 1)]
        assert presence.join([two]) == [Joined(2, 2)]
        presence.leave([one.id])
        (anna,) = presence.find(["anna"], tenant=tenant, now=now)
        assert (anna.status, anna.devices) == (Status.ONLINE, 1)
        presence.leave([two.id])
        (anna,) = presence.find(["anna"], tenant=tenant, now=now)
        assert (anna.status, anna.devices) == (Status.OFFLINE, 0)

    def test_each_who_joins_is_told_how_many_there_were_then(self, presence: PresenceStore, tenant: str) -> None:
        now = datetime.now(UTC)
        presence.join([self.device(f"{tenant}-other", at=now)])
        found = presence.join([self.device(tenant, user, at=now) for user in ("anna", "bert", "anna")])
        assert found == [Joined(1, 1), Joined(1, 2), Joined(2, 3)]

    def test_no_two_who_join_at_once_are_told_the_same(self, presence: PresenceStore, tenant: str) -> None:
        now = datetime.now(UTC)
        devices = [self.device(tenant, at=now, hub=f"hub-{number}-{tenant}") for number in range(8)]
        with ThreadPoolExecutor(8) as pool:
            found = [joined for (joined,) in pool.map(lambda device: presence.join([device]), devices)]
        assert sorted(joined.of_tenant for joined in found) == list(range(1, 9))
        assert sorted(joined.of_user for joined in found) == list(range(1, 9))

    def test_one_can_say_how_one_is(self, presence: PresenceStore, tenant: str) -> None:
        now = datetime.now(UTC)
        one, two = self.device(tenant, at=now), self.device(tenant, at=now)
        presence.join([one, two])
        presence.update(one.id, at=now, status=Status.BUSY, note="thinking")
        (anna,) = presence.find(None, tenant=tenant, now=now)
        assert (anna.status, anna.note) == (Status.BUSY, "thinking")
        presence.update(one.id, at=now)
        assert presence.find(["anna"], tenant=tenant, now=now)[0].status is Status.BUSY

    def test_who_does_nothing_is_away(self, presence: PresenceStore, tenant: str) -> None:
        now = datetime.now(UTC)
        device = self.device(tenant, at=now)
        presence.join([device])
        later = now + AWAY_AFTER
        presence.beat(device.hub, at=later)
        assert presence.find(["anna"], tenant=tenant, now=later)[0].status is Status.AWAY
        presence.update(device.id, at=later)
        assert presence.find(["anna"], tenant=tenant, now=later)[0].status is Status.ONLINE

    def test_devices_of_a_dead_process_do_not_count_and_are_swept(self, presence: PresenceStore, tenant: str) -> None:
        now = datetime.now(UTC)
        presence.join([self.device(tenant, at=now - OFFLINE_AFTER, hub=f"dead-{tenant}")])
        assert presence.join([self.device(tenant, at=now)]) == [Joined(1, 1)]
        assert presence.find(["anna"], tenant=tenant, now=now)[0].devices == 1
        presence.sweep(now)
        assert presence.beat(f"dead-{tenant}", at=now) == 0
        assert presence.beat(f"hub-{tenant}", at=now) == 1

    def test_tenants_do_not_see_each_others_people(self, presence: PresenceStore, tenant: str) -> None:
        now = datetime.now(UTC)
        presence.join([self.device(tenant, at=now), self.device(f"{tenant}-other", "bert", at=now)])
        assert [one.user for one in presence.find(None, tenant=tenant, now=now)] == ["anna"]


class RuleContract:
    @pytest.fixture
    def rules(self) -> RuleStore:
        raise NotImplementedError

    def test_rules_are_kept_by_name(self, rules: RuleStore, tenant: str) -> None:
        rules.save(Rule(name="b"), tenant=tenant)
        rules.save(Rule(name="a", priority=3), tenant=tenant)
        rules.save(Rule(name="b", then=Actions(persist=False)), tenant=tenant)
        rules.save(Rule(name="c"), tenant=f"{tenant}-other")
        assert rules.list(tenant=tenant) == [Rule(name="a", priority=3), Rule(name="b", then=Actions(persist=False))]

    def test_a_rule_can_be_removed_once(self, rules: RuleStore, tenant: str) -> None:
        rules.save(Rule(name="b"), tenant=tenant)
        rules.remove("b", tenant=tenant)
        assert rules.list(tenant=tenant) == []
        with pytest.raises(NotFoundError):
            rules.remove("b", tenant=tenant)
