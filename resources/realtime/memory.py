"""Realtime in this process's memory: all promises of the ports but durability."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from resources.realtime import topics
from resources.realtime.model import Conversation, Delivery, Message, Notice
from resources.realtime.presence.model import HUB_SILENT, OFFLINE_AFTER, Device, Joined, Presence, Status, presence_of
from resources.realtime.publisher import as_stored, without_duplicates
from resources.realtime.store import unknown_rule
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from uuid import UUID

    from resources.realtime.model import DeliveryStatus, NewMessage, Retention
    from resources.realtime.rules.model import Rule
    from resources.realtime.store import Fanout

log = get_logger(__name__)

_RANK = {"sent": 0, "failed": 1, "delivered": 2, "read": 3}
_MAX_TOPICS = 200


class MemoryFanout:
    """News within one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watchers: dict[int, Callable[[Sequence[Notice]], None]] = {}
        self._number = 0

    def tell(self, notices: Collection[Notice]) -> None:
        with self._lock:
            watchers = list(self._watchers.values())
        if notices:
            for watcher in watchers:
                try:
                    watcher(list(notices))
                except Exception:
                    log.exception("realtime.watcher_failed")

    def watch(self, notice: Callable[[Sequence[Notice]], None]) -> Callable[[], None]:
        with self._lock:
            self._number += 1
            number = self._number
            self._watchers[number] = notice

        def cancel() -> None:
            with self._lock:
                self._watchers.pop(number, None)

        return cancel

    def close(self) -> None:
        with self._lock:
            self._watchers.clear()


class MemoryMessages:
    """Messages in a list for each tenant."""

    def __init__(self, fanout: Fanout | None = None) -> None:
        self._fanout = fanout or MemoryFanout()
        self._lock = threading.Lock()
        self._log: dict[str, list[Message]] = defaultdict(list)
        self._heads: dict[str, int] = defaultdict(int)
        self._by_id: dict[tuple[str, UUID], Message] = {}
        self._deliveries: dict[tuple[str, UUID, str], Delivery] = {}

    def publish(self, messages: Sequence[NewMessage], *, tenant: str) -> Sequence[Message]:
        now = datetime.now(UTC)
        with self._lock:
            for new in without_duplicates(messages):
                if (tenant, new.message_id) in self._by_id:
                    continue
                self._heads[tenant] += 1
                expires = None if new.ttl is None else now + timedelta(seconds=new.ttl)
                fields: dict[str, Any] = as_stored(
                    new, tenant=tenant, position=self._heads[tenant], created_at=now, expires_at=expires
                )
                fields["content"] = orjson.loads(orjson.dumps(new.content))
                message = Message(**fields)
                self._log[tenant].append(message)
                self._by_id[tenant, new.message_id] = message
                for user in new.targets if new.ack else ():
                    self._deliveries[tenant, new.message_id, user] = Delivery(new.message_id, user, "sent", now)
            answer = [self._by_id[tenant, new.message_id] for new in messages]
            head = self._heads[tenant]
        self.tell([Notice("message", tenant, (str(head),))])
        return answer

    def read(
        self,
        *,
        tenant: str,
        after: int = 0,
        up_to: int | None = None,
        patterns: Collection[str] | None = None,
        user: str | None = None,
        transient: bool = False,
        limit: int = 500,
    ) -> Sequence[Message]:
        found = [
            message
            for message in self._all(tenant)
            if message.position > after
            and (up_to is None or message.position <= up_to)
            and (transient or message.persist)
            and (patterns is None or topics.any_fits(patterns, message.topic))
            and _may_see(user, message)
        ]
        return found[:limit]

    def find(self, message_ids: Collection[UUID], *, tenant: str, user: str | None = None) -> Sequence[Message]:
        asked = set(message_ids)
        found = (message for message in self._all(tenant) if message.message_id in asked and message.persist)
        return [message for message in found if _may_see(user, message)]

    def history(
        self,
        topic: str,
        *,
        tenant: str,
        user: str | None = None,
        before: int | None = None,
        before_time: datetime | None = None,
        limit: int = 50,
    ) -> Sequence[Message]:
        found = [
            message
            for message in self._all(tenant)
            if message.topic == topic
            and message.persist
            and (before is None or message.position < before)
            and (before_time is None or message.created_at < before_time)
            and _may_see(user, message)
        ]
        return found[-limit:]

    def last_values(
        self, patterns: Collection[str], *, tenant: str, user: str | None, now: datetime
    ) -> Sequence[Message]:
        newest: dict[str, Message] = {}
        for message in self.read(tenant=tenant, patterns=patterns, user=user, limit=2**31):
            if not topics.is_direct(message.topic):
                newest[message.topic] = message
        found = [newest[topic] for topic in sorted(newest)[:_MAX_TOPICS] if newest[topic].live_at(now)]
        return sorted(found, key=lambda message: message.position)

    def search(self, query: str, *, tenant: str, user: str | None, limit: int = 50) -> Sequence[Message]:
        words = _words(query)
        found = [
            message
            for message in self._all(tenant)
            if message.persist and _may_see(user, message) and words and words <= _words(str(message.content))
        ]
        return found[::-1][:limit]

    def head(self, *, tenant: str) -> int:
        with self._lock:
            return self._heads[tenant]

    def heads(self, tenants: Collection[str]) -> Mapping[str, int]:
        with self._lock:
            return {tenant: self._heads[tenant] for tenant in tenants if self._heads[tenant]}

    def undelivered(self, users: Collection[str], *, tenant: str, now: datetime) -> Sequence[tuple[str, Message]]:
        with self._lock:
            waiting = [
                (user, self._by_id[of, message_id])
                for (of, message_id, user), delivery in self._deliveries.items()
                if of == tenant and user in users and delivery.status == "sent"
            ]
        live = [(user, message) for user, message in waiting if message.persist and message.live_at(now)]
        return sorted(live, key=lambda item: item[1].position)

    def direct(self, user: str, *, tenant: str, after: int, up_to: int, limit: int = 500) -> Sequence[Message]:
        found = [
            message
            for message in self._all(tenant)
            if after < message.position <= up_to and user in message.targets and message.persist
        ]
        return found[:limit]

    def confirm(self, confirmations: Collection[tuple[UUID, str, DeliveryStatus]], *, tenant: str) -> int:
        notices = []
        with self._lock:
            for message_id, user, status in confirmations:
                known = self._deliveries.get((tenant, message_id, user))
                if known is None or _RANK[status] <= _RANK[known.status]:
                    continue
                self._deliveries[tenant, message_id, user] = Delivery(message_id, user, status, datetime.now(UTC))
                sender = self._by_id[tenant, message_id].sender or ""
                notices.append(Notice("delivery", tenant, (str(message_id), user, status, sender)))
        self.tell(notices)
        return len(notices)

    def deliveries(self, message_id: UUID, *, tenant: str) -> Sequence[Delivery]:
        with self._lock:
            return [
                delivery
                for (of, known, _), delivery in sorted(self._deliveries.items())
                if (of, known) == (tenant, message_id)
            ]

    def conversations(self, user: str, *, tenant: str) -> Sequence[Conversation]:
        newest: dict[str, Message] = {}
        for message in self._all(tenant):
            if user in (topics.members(message.topic) or ()):
                newest[message.topic] = message
        found = [
            Conversation(topic, topics.members(topic) or (), message.position, message.created_at)
            for topic, message in newest.items()
        ]
        return sorted(found, key=lambda conversation: -conversation.position)

    def tell(self, notices: Collection[Notice]) -> None:
        self._fanout.tell(notices)

    def sweep(self, now: datetime, *, retention: Retention) -> int:
        failed = []
        with self._lock:
            for (tenant, message_id, user), delivery in self._deliveries.items():
                if delivery.status == "sent" and not self._by_id[tenant, message_id].live_at(now):
                    failed.append((tenant, message_id, user))
        for tenant, message_id, user in failed:
            self.confirm([(message_id, user, "failed")], tenant=tenant)
        gone = 0
        with self._lock:
            for tenant, log in self._log.items():
                kept = [
                    message
                    for message in log
                    if now - message.created_at < (retention.messages if message.persist else retention.transient)
                ]
                gone += len(log) - len(kept)
                for gone_id in {one.message_id for one in log} - {one.message_id for one in kept}:
                    del self._by_id[tenant, gone_id]
                    for key in [key for key in self._deliveries if key[:2] == (tenant, gone_id)]:
                        del self._deliveries[key]
                self._log[tenant] = kept
        return gone

    def watch(self, notice: Callable[[Sequence[Notice]], None]) -> Callable[[], None]:
        return self._fanout.watch(notice)

    def _all(self, tenant: str) -> list[Message]:
        with self._lock:
            return list(self._log[tenant])


class MemoryPresence:
    """Devices in a dictionary. `tell` hears of every change."""

    def __init__(self, tell: Callable[[Collection[Notice]], None] = lambda _: None) -> None:
        self._lock = threading.Lock()
        self._devices: dict[str, Device] = {}
        self._seen: dict[str, datetime] = {}
        self._tell = tell

    def join(self, devices: Sequence[Device]) -> Sequence[Joined]:
        counts = []
        with self._lock:
            for device in devices:
                self._devices[device.id] = device
                self._seen[device.hub] = max(device.joined_at, self._seen.get(device.hub, device.joined_at))
                users = {one.user for one in self._devices.values() if one.tenant == device.tenant}
                found = {user: len(self._of(device.tenant, user, device.joined_at, HUB_SILENT)) for user in users}
                counts.append(Joined(found[device.user], sum(found.values())))
        self._changed(devices)
        return counts

    def leave(self, ids: Collection[str]) -> None:
        with self._lock:
            gone = [self._devices.pop(one) for one in ids if one in self._devices]
        self._changed(gone)

    def update(self, id: str, *, at: datetime, status: Status | None = None, note: str | None = None) -> None:
        with self._lock:
            known = self._devices.get(id)
            if known is None:
                return
            changes: dict[str, Any] = {"active_at": at}
            if status is not None:
                changes |= {"status": status, "note": note}
            self._devices[id] = msgspec.structs.replace(known, **changes)
        self._changed([known])

    def beat(self, hub: str, *, at: datetime) -> int:
        with self._lock:
            self._seen[hub] = at
            return sum(device.hub == hub for device in self._devices.values())

    def find(self, users: Collection[str] | None, *, tenant: str, now: datetime) -> Sequence[Presence]:
        with self._lock:
            known = {device.user for device in self._devices.values() if device.tenant == tenant}
            return [
                presence_of(user, self._of(tenant, user, now, OFFLINE_AFTER), now)
                for user in sorted(known if users is None else set(users))
            ]

    def devices(self, users: Collection[str] | None, *, tenant: str, now: datetime) -> Sequence[Device]:
        with self._lock:
            known = {device.user for device in self._devices.values() if device.tenant == tenant}
            found = [self._of(tenant, user, now, OFFLINE_AFTER) for user in known if users is None or user in users]
        return sorted((one for several in found for one in several), key=lambda device: (device.user, device.id))

    def sweep(self, now: datetime) -> int:
        with self._lock:
            gone = [
                device for device in self._devices.values() if now - self._seen.get(device.hub, now) >= OFFLINE_AFTER
            ]
        self.leave([device.id for device in gone])
        return len(gone)

    def _of(self, tenant: str, user: str, now: datetime, silent: timedelta) -> list[Device]:
        return [
            device
            for device in self._devices.values()
            if (device.tenant, device.user) == (tenant, user) and now - self._seen.get(device.hub, now) < silent
        ]

    def _changed(self, devices: Iterable[Device]) -> None:
        changed = {(device.tenant, device.user) for device in devices}
        self._tell([Notice("presence", tenant, (user,)) for tenant, user in changed])


class MemoryRealtimeRules:
    """Rules in a dictionary. `tell` hears of every change."""

    def __init__(self, tell: Callable[[Collection[Notice]], None] = lambda _: None) -> None:
        self._rules: dict[tuple[str, str], Rule] = {}
        self._tell = tell
        self._lock = threading.Lock()

    def save(self, rule: Rule, *, tenant: str, unless: Callable[[Rule | None], None] | None = None) -> None:
        with self._lock:
            if unless is not None:
                unless(self._rules.get((tenant, rule.name)))
            self._rules[tenant, rule.name] = rule
        self._tell([Notice("rules", tenant)])

    def get(self, name: str, *, tenant: str) -> Rule:
        found = self._rules.get((tenant, name))
        if found is None:
            raise unknown_rule(name)
        return found

    def remove(self, name: str, *, tenant: str, unless: Callable[[Rule | None], None] | None = None) -> None:
        with self._lock:
            found = self.get(name, tenant=tenant)
            if unless is not None:
                unless(found)
            del self._rules[tenant, name]
        self._tell([Notice("rules", tenant)])

    def list(self, *, tenant: str) -> Sequence[Rule]:
        return [rule for (of, _), rule in sorted(self._rules.items()) if of == tenant]


def _may_see(user: str | None, message: Message) -> bool:
    return user is None or not message.targets or user in message.targets or user == message.sender


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
