"""Messages in PostgreSQL (migrations 0040 and 0125)."""

from __future__ import annotations

from collections import defaultdict
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, timedelta
from typing import TYPE_CHECKING, Any

import orjson

from resources.database.postgres import in_our_words
from resources.realtime import topics
from resources.realtime.fanout.postgres import PostgresFanout, tell_gently
from resources.realtime.model import Conversation, Delivery, Message, Notice, Priority
from resources.realtime.publisher import as_stored, without_duplicates

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from resources.database.postgres import Connection, Database
    from resources.realtime.model import DeliveryStatus, NewMessage, Retention
    from resources.realtime.store import Fanout

WHAT = "the messages"
AGAIN = "Try again, with the same message ids."
_COLUMNS = """m.topic, m.content, m.message_id, m.sender, m.type, m.routing_key, m.priority, m.headers, m.targets,
    m.required_subscriptions, m.max_targets, m.ttl, m.persist, m.ack, m.tenant, m.position, m.created_at, m.expires_at"""
_FROM = f"SELECT {_COLUMNS} FROM aiw.message m WHERE m.tenant = %(tenant)s"
_VISIBLE = " AND (m.targets = '{}' OR %(user)s = ANY (m.targets) OR m.sender = %(user)s)"
_PUBLISH = "SELECT id, place, at FROM aiw.publish_messages(%s, %s, %s)"
_HEADS = "SELECT tenant, position FROM aiw.message_head WHERE tenant = ANY (%s)"
_HEAD = "SELECT position FROM aiw.message_head WHERE tenant = %s"
# Jumps from topic to topic along the index, however many messages each has.
_TOPICS = """WITH RECURSIVE known(topic) AS (
        (SELECT topic FROM aiw.message WHERE tenant = %(tenant)s AND topic >= %(prefix)s ORDER BY topic LIMIT 1)
        UNION ALL
        SELECT (SELECT m.topic FROM aiw.message m WHERE m.tenant = %(tenant)s AND m.topic > known.topic
            ORDER BY m.topic LIMIT 1) FROM known WHERE starts_with(known.topic, %(prefix)s)
    ) SELECT topic FROM known WHERE topic ~ %(regex)s LIMIT %(limit)s"""
_LAST = f"""SELECT last.* FROM unnest(%(topics)s::text[]) AS wanted(topic),
    LATERAL (SELECT {_COLUMNS} FROM aiw.message m WHERE m.tenant = %(tenant)s AND m.topic = wanted.topic COLLATE "C"
        AND m.persist {{visible}} ORDER BY m.position DESC LIMIT 1) AS last
    WHERE last.expires_at IS NULL OR last.expires_at > %(now)s ORDER BY last.position"""
_SEARCH = f"""{_FROM} AND m.persist
    AND aiw.message_words(m.content) @@ websearch_to_tsquery('simple'::regconfig, %(query)s)"""
_UNDELIVERED = f"""SELECT d.user_id, {_COLUMNS} FROM aiw.message_delivery d JOIN aiw.message m USING (tenant, position)
    WHERE d.tenant = %(tenant)s AND d.user_id = ANY (%(users)s) AND d.status = 'sent' AND m.persist
        AND (d.expires_at IS NULL OR d.expires_at > %(now)s) ORDER BY d.position"""
_CONFIRM = "SELECT * FROM aiw.confirm_messages(%s, %s::uuid[], %s::text[], %s::text[], %s)"
_DELIVERIES = """SELECT d.message_id, d.user_id, d.status, d.updated_at FROM aiw.message m
    JOIN aiw.message_delivery d USING (tenant, position)
    WHERE m.tenant = %s AND m.message_id = %s ORDER BY d.user_id"""
_CONVERSATIONS = """SELECT topic, members, position, updated_at FROM aiw.conversation
    WHERE tenant = %s AND members @> ARRAY[%s]::text[] ORDER BY position DESC LIMIT 1000"""
_EXPIRED = """SELECT tenant, message_id, user_id FROM aiw.message_delivery
    WHERE status = 'sent' AND expires_at <= %s LIMIT 10000"""
_SWEEP = """DELETE FROM aiw.message WHERE (created_at <= %(transient)s AND NOT persist)
    OR created_at <= %(messages)s"""

_MAX_TOPICS = 200


class PostgresMessages:
    """Safe to share between threads."""

    def __init__(self, database: Database, fanout: Fanout | None = None) -> None:
        """`fanout` tells of messages; None = NOTIFY, in their commit."""
        self._database = database
        self._by_notify = fanout is None
        self._fanout = fanout or PostgresFanout(database)

    def publish(self, messages: Sequence[NewMessage], *, tenant: str) -> Sequence[Message]:
        if not messages:
            return []
        new = without_duplicates(messages)
        payload = orjson.dumps([_as_row(message) for message in new])
        with _autocommit(self._database) as connection:
            parameters = tenant, payload.decode(), self._by_notify
            rows = connection.execute(_PUBLISH, parameters, prepare=True).fetchall()
        if not self._by_notify:
            newest = max(position for _, position, _ in rows)
            tell_gently(self._fanout, [Notice("message", tenant, (str(newest),))])
        places = {message_id: (position, at) for message_id, position, at in rows}
        return [_published(message, tenant, *places[message.message_id]) for message in messages]

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
        query = f"{_FROM} AND m.position > %(after)s"
        parameters: dict[str, Any] = {"tenant": tenant, "after": after, "user": user, "limit": limit}
        if up_to is not None:
            query += " AND m.position <= %(up_to)s"
            parameters["up_to"] = up_to
        if not transient:
            query += " AND m.persist"
        if patterns is not None:
            query += " AND (m.topic = ANY (%(exact)s) OR m.topic ~ ANY (%(regexes)s))"
            parameters["exact"] = [pattern for pattern in patterns if not topics.is_pattern(pattern)]
            parameters["regexes"] = [topics.as_regex(pattern) for pattern in patterns if topics.is_pattern(pattern)]
        if user is not None:
            query += _VISIBLE
        return self._messages(f"{query} ORDER BY m.position LIMIT %(limit)s", parameters)

    def find(self, message_ids: Collection[UUID], *, tenant: str, user: str | None = None) -> Sequence[Message]:
        query = f"{_FROM} AND m.message_id = ANY (%(ids)s) AND m.persist"
        parameters: dict[str, Any] = {"tenant": tenant, "ids": list(message_ids), "user": user}
        return self._messages(f"{query}{'' if user is None else _VISIBLE} ORDER BY m.position", parameters)

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
        query = f"{_FROM} AND m.topic = %(topic)s AND m.persist"
        parameters: dict[str, Any] = {"tenant": tenant, "topic": topic, "user": user, "limit": limit}
        if before is not None:
            query += " AND m.position < %(before)s"
            parameters["before"] = before
        if before_time is not None:
            query += " AND m.created_at < %(before_time)s"
            parameters["before_time"] = before_time
        if user is not None:
            query += _VISIBLE
        return self._messages(f"{query} ORDER BY m.position DESC LIMIT %(limit)s", parameters)[::-1]

    def last_values(
        self, patterns: Collection[str], *, tenant: str, user: str | None, now: datetime
    ) -> Sequence[Message]:
        with self._as_tenant(tenant) as connection:
            names = {pattern for pattern in patterns if not topics.is_pattern(pattern)}
            for pattern in patterns:
                if topics.is_pattern(pattern):
                    limit = {"limit": _MAX_TOPICS, "regex": topics.as_regex(pattern)}
                    fitting = {"tenant": tenant, "prefix": pattern.partition("*")[0], **limit}
                    found = connection.execute(_TOPICS, fitting)
                    names |= {topic for (topic,) in found if not topics.is_direct(topic)}
            query = _LAST.format(visible="" if user is None else _VISIBLE)
            wanted = {"tenant": tenant, "topics": sorted(names)[:_MAX_TOPICS], "user": user, "now": now}
            return [_message(row) for row in connection.execute(query, wanted)]

    def search(self, query: str, *, tenant: str, user: str | None, limit: int = 50) -> Sequence[Message]:
        statement = _SEARCH + ("" if user is None else _VISIBLE) + " ORDER BY m.position DESC LIMIT %(limit)s"
        return self._messages(statement, {"tenant": tenant, "query": query, "user": user, "limit": limit})

    def head(self, *, tenant: str) -> int:
        with self._as_tenant(tenant) as connection:
            row = connection.execute(_HEAD, (tenant,)).fetchone()
        return row[0] if row else 0

    def heads(self, tenants: Collection[str]) -> Mapping[str, int]:
        with self._as_system() as connection:
            return dict(connection.execute(_HEADS, (list(tenants),)).fetchall())

    def undelivered(self, users: Collection[str], *, tenant: str, now: datetime) -> Sequence[tuple[str, Message]]:
        with self._as_tenant(tenant) as connection:
            rows = connection.execute(_UNDELIVERED, {"tenant": tenant, "users": list(users), "now": now})
            return [(user, _message(row)) for user, *row in rows]

    def direct(self, user: str, *, tenant: str, after: int, up_to: int, limit: int = 500) -> Sequence[Message]:
        query = f"""{_FROM} AND m.position > %(after)s AND m.position <= %(up_to)s AND m.persist
            AND %(user)s = ANY (m.targets) ORDER BY m.position LIMIT %(limit)s"""
        return self._messages(query, {"tenant": tenant, "user": user, "after": after, "up_to": up_to, "limit": limit})

    def confirm(self, confirmations: Collection[tuple[UUID, str, DeliveryStatus]], *, tenant: str) -> int:
        if not confirmations:
            return 0
        ids, users, statuses = (list(column) for column in zip(*confirmations, strict=True))
        with self._as_tenant(tenant) as connection:
            rows = connection.execute(_CONFIRM, (tenant, ids, users, statuses, self._by_notify)).fetchall()
        if rows and not self._by_notify:
            tell_gently(self._fanout, [Notice("delivery", tenant, row) for row in rows])
        return len(rows)

    def deliveries(self, message_id: UUID, *, tenant: str) -> Sequence[Delivery]:
        with self._as_tenant(tenant) as connection:
            return [Delivery(*row) for row in connection.execute(_DELIVERIES, (tenant, message_id))]

    def conversations(self, user: str, *, tenant: str) -> Sequence[Conversation]:
        with self._as_tenant(tenant) as connection:
            rows = connection.execute(_CONVERSATIONS, (tenant, user))
            return [Conversation(topic, tuple(members), position, at) for topic, members, position, at in rows]

    def tell(self, notices: Collection[Notice]) -> None:
        self._fanout.tell(notices)

    def sweep(self, now: datetime, *, retention: Retention) -> int:
        with self._as_system() as connection:
            expired = connection.execute(_EXPIRED, (now,)).fetchall()
        failed: dict[str, list[tuple[UUID, str, DeliveryStatus]]] = defaultdict(list)
        for tenant, message_id, user in expired:
            failed[tenant].append((message_id, user, "failed"))
        for tenant, confirmations in failed.items():
            self.confirm(confirmations, tenant=tenant)
        bounds = {"transient": now - retention.transient, "messages": now - retention.messages}
        with self._as_system() as connection:
            return connection.execute(_SWEEP, bounds).rowcount

    def watch(self, notice: Callable[[Sequence[Notice]], None]) -> Callable[[], None]:
        return self._fanout.watch(notice)

    def close(self) -> None:
        """Stop listening."""
        self._fanout.close()

    def _messages(self, query: str, parameters: dict[str, Any]) -> list[Message]:
        with self._as_tenant(parameters["tenant"]) as connection:
            return [_message(row) for row in connection.execute(query, parameters)]

    def _as_tenant(self, tenant: str) -> AbstractContextManager[Connection]:
        return self._database.scoped(tenant, WHAT, again=AGAIN)

    def _as_system(self) -> AbstractContextManager[Connection]:
        return self._database.scoped(None, WHAT, again=AGAIN)


@contextmanager
def _autocommit(database: Database) -> Iterator[Connection]:
    """A connection on which each statement is its own transaction: one round trip instead of three."""
    with database.transaction() as connection, in_our_words(WHAT, again=AGAIN):
        connection.autocommit = True
        try:
            yield connection
        finally:
            if not connection.closed:
                connection.autocommit = False


def _as_row(message: NewMessage) -> dict[str, object]:
    members = topics.members(message.topic) if topics.is_direct(message.topic) and message.targets else None
    return as_stored(message, members=members or ())


def _published(message: NewMessage, tenant: str, position: int, at: datetime) -> Message:
    expires = None if message.ttl is None else at + timedelta(seconds=message.ttl)
    fields: dict[str, Any] = as_stored(
        message, tenant=tenant, position=position, created_at=at.astimezone(UTC), expires_at=expires
    )
    return Message(**fields)


def _message(row: Sequence[Any]) -> Message:
    (
        topic, content, message_id, sender, type_, routing_key, priority, headers, targets, required, max_targets, ttl,
        persist, ack, tenant, position, created_at, expires_at,
    ) = row  # fmt: skip
    return Message(
        topic=topic,
        content=content,
        message_id=message_id,
        sender=sender,
        type=type_,
        routing_key=routing_key,
        priority=Priority(priority),
        headers=headers,
        targets=tuple(targets),
        required_subscriptions=tuple(required),
        max_targets=max_targets,
        ttl=ttl,
        persist=persist,
        ack=ack,
        tenant=tenant,
        position=position,
        created_at=created_at.astimezone(UTC),
        expires_at=expires_at,
    )
