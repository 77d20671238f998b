"""Realtime in PostgreSQL (migration 0040)."""

from __future__ import annotations

from collections import defaultdict
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import orjson
import psycopg
from psycopg.types.json import Jsonb

from resources.errors import NotFoundError, UnavailableError, UpstreamError
from resources.events.model import DEFAULT_TENANT
from resources.realtime import topics
from resources.realtime.listener import CHANNEL, Listener
from resources.realtime.model import RUN_TENANT_TAG, Conversation, Delivery, Message, Notice, Priority, RunEntry
from resources.realtime.presence import HUB_SILENT, OFFLINE_AFTER, Device, Joined, Presence, Status, presence_of
from resources.realtime.publisher import as_stored, without_duplicates
from resources.realtime.rules import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from uuid import UUID

    from resources.database.postgres import Connection, Database
    from resources.realtime.model import DeliveryStatus, NewMessage, Retention

_AS_TENANT = "SELECT set_config('role', 'aiw_app', true), set_config('aiw.tenant', %s, true)"
_AS_SYSTEM = "SELECT set_config('role', 'aiw_system', true)"
_COLUMNS = """m.topic, m.content, m.message_id, m.sender, m.type, m.routing_key, m.priority, m.headers, m.targets,
    m.required_subscriptions, m.max_targets, m.ttl, m.persist, m.ack, m.tenant, m.position, m.created_at, m.expires_at"""
_FROM = f"SELECT {_COLUMNS} FROM aiw.message m WHERE m.tenant = %(tenant)s"
_VISIBLE = " AND (m.targets = '{}' OR %(user)s = ANY (m.targets) OR m.sender = %(user)s)"
_PUBLISH = "SELECT id, place, at FROM aiw.publish_messages(%s, %s)"
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
_CONFIRM = "SELECT aiw.confirm_messages(%s, %s::uuid[], %s::text[], %s::text[])"
_DELIVERIES = """SELECT d.message_id, d.user_id, d.status, d.updated_at FROM aiw.message m
    JOIN aiw.message_delivery d USING (tenant, position)
    WHERE m.tenant = %s AND m.message_id = %s ORDER BY d.user_id"""
_CONVERSATIONS = """SELECT topic, members, position, updated_at FROM aiw.conversation
    WHERE tenant = %s AND members @> ARRAY[%s]::text[] ORDER BY position DESC LIMIT 1000"""
_NOTIFY = f"SELECT pg_notify('{CHANNEL}', payload) FROM unnest(%s::text[]) AS payload"
_EXPIRED = """SELECT tenant, message_id, user_id FROM aiw.message_delivery
    WHERE status = 'sent' AND expires_at <= %s LIMIT 10000"""
_SWEEP = """DELETE FROM aiw.message WHERE (created_at <= %(transient)s AND NOT persist)
    OR created_at <= %(messages)s"""

_SAVE_RULE = """INSERT INTO aiw.realtime_rule (tenant, name, definition) VALUES (%s, %s, %s)
    ON CONFLICT (tenant, name) DO UPDATE SET definition = excluded.definition, changed_at = now()"""
_DELETE_RULE = "DELETE FROM aiw.realtime_rule WHERE tenant = %s AND name = %s"
_RULES = "SELECT definition FROM aiw.realtime_rule WHERE tenant = %s ORDER BY name"

_DEVICE = "id, tenant, user_id, hub, joined_at, active_at, status, note"
_JOIN = f"""INSERT INTO aiw.presence_device ({_DEVICE})
    SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[],
        %s::text[], %s::text[])
    ON CONFLICT (id) DO UPDATE SET active_at = excluded.active_at"""
_BEAT = """INSERT INTO aiw.realtime_hub (hub, seen_at) SELECT unnest(%s::text[]), %s
    ON CONFLICT (hub) DO UPDATE SET seen_at = greatest(realtime_hub.seen_at, excluded.seen_at)"""
_COUNT_SESSIONS = """SELECT w.tenant, w.user_id, count(*) FROM
    (SELECT DISTINCT * FROM unnest(%s::text[], %s::text[]) AS u(tenant, user_id)) AS w
    JOIN aiw.presence_device d ON d.tenant = w.tenant AND d.user_id = w.user_id
    JOIN aiw.realtime_hub h ON h.hub = d.hub AND h.seen_at > %s GROUP BY 1, 2"""
_COUNT_SOCKETS = """SELECT d.tenant, count(*) FROM aiw.presence_device d
    JOIN aiw.realtime_hub h ON h.hub = d.hub AND h.seen_at > %s WHERE d.tenant = ANY (%s) GROUP BY 1"""
_ONE_AT_A_TIME = """SELECT pg_advisory_xact_lock(hashtextextended(tenant, 7301402653)) FROM
    (SELECT DISTINCT tenant FROM unnest(%s::text[]) AS u(tenant) ORDER BY tenant) AS wanted"""
_COUNT_DEVICES = "SELECT count(*) FROM aiw.presence_device WHERE hub = %s"
_LEAVE = "DELETE FROM aiw.presence_device WHERE id = ANY (%s) RETURNING tenant, user_id"
_UPDATE_DEVICE = """UPDATE aiw.presence_device SET active_at = %(at)s, status = coalesce(%(status)s, status),
    note = CASE WHEN %(status)s::text IS NULL THEN note ELSE %(note)s END
    WHERE id = %(id)s RETURNING tenant, user_id"""
_DEVICES = f"""SELECT {_DEVICE} FROM aiw.presence_device d
    WHERE d.tenant = %(tenant)s AND (%(users)s::text[] IS NULL OR d.user_id = ANY (%(users)s))
        AND EXISTS (SELECT FROM aiw.realtime_hub h WHERE h.hub = d.hub AND h.seen_at > %(alive)s)"""
_LOST_DEVICES = """DELETE FROM aiw.presence_device d
    WHERE NOT EXISTS (SELECT FROM aiw.realtime_hub h WHERE h.hub = d.hub AND h.seen_at > %s)
        AND d.joined_at <= %s RETURNING tenant, user_id"""
_LOST_HUBS = "DELETE FROM aiw.realtime_hub WHERE seen_at <= %s"

_RUN_LOG = """SELECT e.id, e.event, e."timestamp", e.step_key, e.dagster_event_type, t.value FROM dagster.event_logs e
    LEFT JOIN dagster.run_tags t ON t.run_id = e.run_id AND t.key = %(tag)s
    WHERE e.run_id = %(run)s AND e.id > %(after)s AND e.id <= %(up_to)s ORDER BY e.id LIMIT 1000"""

_MAX_TOPICS = 200


class PostgresMessages:
    """Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.listener = Listener(database)

    def publish(self, messages: Sequence[NewMessage], *, tenant: str) -> Sequence[Message]:
        if not messages:
            return []
        new = without_duplicates(messages)
        payload = orjson.dumps([_as_row(message) for message in new])
        with _autocommit(self._database) as connection:
            rows = connection.execute(_PUBLISH, (tenant, payload.decode()), prepare=True).fetchall()
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
            row = connection.execute(_CONFIRM, (tenant, ids, users, statuses)).fetchone()
        return row[0] if row else 0

    def deliveries(self, message_id: UUID, *, tenant: str) -> Sequence[Delivery]:
        with self._as_tenant(tenant) as connection:
            return [Delivery(*row) for row in connection.execute(_DELIVERIES, (tenant, message_id))]

    def conversations(self, user: str, *, tenant: str) -> Sequence[Conversation]:
        with self._as_tenant(tenant) as connection:
            rows = connection.execute(_CONVERSATIONS, (tenant, user))
            return [Conversation(topic, tuple(members), position, at) for topic, members, position, at in rows]

    def tell(self, notices: Collection[Notice]) -> None:
        if notices:
            with _autocommit(self._database) as connection:
                connection.execute(_NOTIFY, ([_payload(notice) for notice in notices],))

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
        return self.listener.watch(notice)

    def close(self) -> None:
        """Stop listening."""
        self.listener.close()

    def _messages(self, query: str, parameters: dict[str, Any]) -> list[Message]:
        with self._as_tenant(parameters["tenant"]) as connection:
            return [_message(row) for row in connection.execute(query, parameters)]

    def _as_tenant(self, tenant: str) -> AbstractContextManager[Connection]:
        return _transaction(self._database, tenant)

    def _as_system(self) -> AbstractContextManager[Connection]:
        return _transaction(self._database, None)


class PostgresPresence:
    """Devices in an unlogged table, which a crash of the server empties: `beat` tells then that they must join again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def join(self, devices: Sequence[Device]) -> Sequence[Joined]:
        if not devices:
            return []
        rows = [msgspec.structs.astuple(device) for device in devices]
        columns = [list(column) for column in zip(*rows, strict=True)]
        newest = max(device.joined_at for device in devices)
        with _transaction(self._database, None) as connection:
            connection.execute(_BEAT, (sorted({device.hub for device in devices}), newest))
            connection.execute(_ONE_AT_A_TIME, (columns[1],))
            connection.execute(_JOIN, columns)
            sockets = dict(connection.execute(_COUNT_SOCKETS, (newest - HUB_SILENT, columns[1])).fetchall())
            found = connection.execute(_COUNT_SESSIONS, (columns[1], columns[2], newest - HUB_SILENT)).fetchall()
            self._tell(connection, {(device.tenant, device.user) for device in devices})
        sessions = {(tenant, user): count for tenant, user, count in found}
        joined = []
        for device in reversed(devices):  # whoever came later in the batch was not there yet
            whose = device.tenant, device.user
            joined.append(Joined(sessions.get(whose, 0), sockets.get(device.tenant, 0)))
            sessions[whose] = sessions.get(whose, 0) - 1
            sockets[device.tenant] = sockets.get(device.tenant, 0) - 1
        return joined[::-1]

    def leave(self, ids: Collection[str]) -> None:
        if ids:
            with _transaction(self._database, None) as connection:
                self._tell(connection, set(connection.execute(_LEAVE, (list(ids),)).fetchall()))

    def update(self, id: str, *, at: datetime, status: Status | None = None, note: str | None = None) -> None:
        with _transaction(self._database, None) as connection:
            found = connection.execute(_UPDATE_DEVICE, {"id": id, "at": at, "status": status, "note": note})
            self._tell(connection, set(found.fetchall()))

    def beat(self, hub: str, *, at: datetime) -> int:
        with _transaction(self._database, None) as connection:
            connection.execute(_BEAT, ([hub], at))
            row = connection.execute(_COUNT_DEVICES, (hub,)).fetchone()
        return row[0] if row else 0

    def devices(self, users: Collection[str] | None, *, tenant: str, now: datetime) -> Sequence[Device]:
        wanted = None if users is None else sorted(users)
        with _transaction(self._database, tenant, system=True) as connection:
            rows = connection.execute(_DEVICES, {"tenant": tenant, "users": wanted, "alive": now - OFFLINE_AFTER})
            return sorted((_device(row) for row in rows), key=lambda device: (device.user, device.id))

    def find(self, users: Collection[str] | None, *, tenant: str, now: datetime) -> Sequence[Presence]:
        by_user: dict[str, list[Device]] = {user: [] for user in users or ()}
        for device in self.devices(users, tenant=tenant, now=now):
            by_user.setdefault(device.user, []).append(device)
        return [presence_of(user, by_user[user], now) for user in sorted(by_user)]

    def sweep(self, now: datetime) -> int:
        silent = now - OFFLINE_AFTER
        with _transaction(self._database, None) as connection:
            lost = connection.execute(_LOST_DEVICES, (silent, silent)).fetchall()
            connection.execute(_LOST_HUBS, (silent - timedelta(hours=1),))
            self._tell(connection, set(lost))
        return len(lost)

    def _tell(self, connection: Connection, users: set[tuple[str, str]]) -> None:
        payloads = [_payload(Notice("presence", tenant, (user,))) for tenant, user in sorted(users)]
        if payloads:
            connection.execute(_NOTIFY, (payloads,))


class PostgresRealtimeRules:
    """Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, rule: Rule, *, tenant: str) -> None:
        with _transaction(self._database, tenant) as connection:
            connection.execute(_SAVE_RULE, (tenant, rule.name, Jsonb(rule.model_dump(mode="json"))))
            connection.execute(_NOTIFY, ([_payload(Notice("rules", tenant))],))

    def remove(self, name: str, *, tenant: str) -> None:
        with _transaction(self._database, tenant) as connection:
            if connection.execute(_DELETE_RULE, (tenant, name)).rowcount == 0:
                raise NotFoundError(f"There is no rule {name!r}.")
            connection.execute(_NOTIFY, ([_payload(Notice("rules", tenant))],))

    def list(self, *, tenant: str) -> Sequence[Rule]:
        with _transaction(self._database, tenant) as connection:
            return [Rule.model_validate(definition) for (definition,) in connection.execute(_RULES, (tenant,))]


class PostgresRunLog:
    """Dagster's log of runs, in the schema `dagster` of the same database. Reads it, and nothing else."""

    def __init__(self, database: Database, *, default_tenant: str = DEFAULT_TENANT) -> None:
        self._database = database
        self._default_tenant = default_tenant

    def read(self, run_id: str, *, after: int, up_to: int) -> Sequence[RunEntry]:
        """Entries of a run above `after`, in order, a thousand at most. Raises UnavailableError, UpstreamError."""
        wanted = {"run": run_id, "after": after, "up_to": up_to, "tag": RUN_TENANT_TAG}
        with self._database.transaction() as connection, _in_our_words():
            rows = connection.execute(_RUN_LOG, wanted).fetchall()
        return [_entry(row, self._default_tenant) for row in rows]


@contextmanager
def _transaction(database: Database, tenant: str | None, *, system: bool = False) -> Iterator[Connection]:
    with database.transaction() as connection, _in_our_words():
        if tenant is None or system:
            connection.execute(_AS_SYSTEM)
        else:
            connection.execute(_AS_TENANT, (tenant,))
        yield connection


@contextmanager
def _autocommit(database: Database) -> Iterator[Connection]:
    """A connection on which each statement is its own transaction: one round trip instead of three."""
    with database.transaction() as connection, _in_our_words():
        connection.autocommit = True
        try:
            yield connection
        finally:
            if not connection.closed:
                connection.autocommit = False


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except psycopg.OperationalError as error:
        raise UnavailableError(
            f"The messages cannot be reached ({_first_line(error)}). Try again, with the same message ids.",
            dependency="database",
        ) from error
    except psycopg.Error as error:
        raise UpstreamError(f"The database refused what the messages asked: {_first_line(error)}") from error


def _first_line(error: psycopg.Error) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _payload(notice: Notice) -> str:
    return orjson.dumps([notice.kind, notice.tenant, notice.ids]).decode()


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


def _entry(row: Sequence[Any], default_tenant: str) -> RunEntry:
    entry_id, event, at, step, kind, tenant = row
    known = orjson.loads(event)
    told = known.get("dagster_event") or {}
    content = {
        "event": "dagster.log" if kind is None else f"dagster.{kind.lower()}",
        "step": step,
        "level": known.get("level"),
        "message": known.get("user_message") or told.get("message"),
    }
    return RunEntry(entry_id, tenant or default_tenant, at.replace(tzinfo=UTC), content)


def _device(row: Sequence[Any]) -> Device:
    device_id, tenant, user, hub, joined_at, active_at, status, note = row
    return Device(device_id, tenant, user, hub, joined_at, active_at, Status(status), note)
