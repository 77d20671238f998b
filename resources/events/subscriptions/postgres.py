"""Subscriptions in PostgreSQL (migration 0012).

A lease is an advisory lock of the worker's own session: when the worker dies, however it dies, the server gives the partition
to the next. What a worker that only seems dead still tries to write is refused, because each step names the position that it
starts from.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec
import orjson
from psycopg.types.json import Json, Jsonb

from resources.events.model import StreamId
from resources.events.postgres import AS_SYSTEM, in_our_words
from resources.events.subscriptions.model import (
    DeadLetter,
    Lag,
    Lease,
    LetterStatus,
    PartitionStatus,
    Subscription,
    SubscriptionStatus,
    lease_lost,
    letter_settled,
    partitions_differ,
    unknown_letter,
    unknown_subscription,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from resources.database.postgres import Connection, Database
    from resources.events.model import RecordedEvent
    from resources.events.subscriptions.store import PoisonKey

from contextlib import contextmanager

_DEFINE = """INSERT INTO aiw.subscription (name, definition) VALUES (%s, %s)
    ON CONFLICT (name) DO UPDATE SET definition = excluded.definition"""
_PARTITIONS = """INSERT INTO aiw.subscription_partition (subscription, partition, position)
    SELECT %s, number, %s FROM generate_series(0, %s - 1) AS number ON CONFLICT DO NOTHING"""
_GET = "SELECT definition, paused FROM aiw.subscription WHERE name = %s"
_NAMES = "SELECT name FROM aiw.subscription ORDER BY name"
_STATUS = """SELECT partition, position, attempts, error, not_before FROM aiw.subscription_partition
    WHERE subscription = %s ORDER BY partition"""
_OPEN_LETTERS = """SELECT count(*) FROM aiw.dead_letter
    WHERE subscription = %s AND status IN ('failed', 'retrying')"""
_PAUSE = "UPDATE aiw.subscription SET paused = %s WHERE name = %s"
_RESET = """UPDATE aiw.subscription_partition SET position = %s, attempts = 0, claims = 0, not_before = NULL, error = NULL,
    updated_at = now() WHERE subscription = %s"""
_REMOVE = "DELETE FROM aiw.subscription WHERE name = %s"

_DUE = """SELECT partition FROM aiw.subscription_partition
    WHERE subscription = %s AND position < %s AND (not_before IS NULL OR not_before <= %s) ORDER BY position"""
_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%s, 7301402613))"
_UNLOCK = "SELECT pg_advisory_unlock(hashtextextended(%s, 7301402613))"
_CLAIM = """UPDATE aiw.subscription_partition SET claims = claims + 1
    WHERE subscription = %s AND partition = %s AND position < %s AND (not_before IS NULL OR not_before <= %s)
    RETURNING position, attempts, claims, not_before"""
_RELEASE = "UPDATE aiw.subscription_partition SET claims = 0 WHERE subscription = %s AND partition = %s AND claims > 0"
_ADVANCE = """UPDATE aiw.subscription_partition
    SET position = %s, attempts = 0, claims = 0, not_before = NULL, error = NULL, updated_at = now()
    WHERE subscription = %s AND partition = %s AND position = %s"""
_POSTPONE = """UPDATE aiw.subscription_partition
    SET attempts = %s, claims = 0, not_before = %s, error = %s, updated_at = now()
    WHERE subscription = %s AND partition = %s AND position = %s"""
_BURY = """INSERT INTO aiw.dead_letter (subscription, position, event_id, tenant, stream_type, stream_id, type, attempts,
        error, poison)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (subscription, position) DO UPDATE SET status = 'failed', attempts = excluded.attempts,
        error = excluded.error, poison = excluded.poison, updated_at = now()"""
_FORWARD = """INSERT INTO aiw.dead_letter (subscription, position, event_id, tenant, stream_type, stream_id, type, error,
        replay_id, attempts, poison, status)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, 0, false, 'retrying')
    ON CONFLICT (subscription, position) DO UPDATE SET status = 'retrying', error = excluded.error,
        replay_id = excluded.replay_id, updated_at = now() WHERE excluded.replay_id IS NOT NULL"""
_POISONED = """SELECT tenant, type, stream_type, stream_id FROM aiw.dead_letter
    WHERE subscription = %s AND status IN ('failed', 'retrying') GROUP BY 1, 2, 3, 4
    HAVING count(*) >= (SELECT coalesce((definition ->> 'poison_after')::int, 10) FROM aiw.subscription WHERE name = %s)"""
_LETTER_COLUMNS = """id, subscription, tenant, position, event_id, stream_type, stream_id, type, attempts, error, poison,
    status, edited, failed_at, updated_at, replay_id"""
_LETTERS = f"""SELECT {_LETTER_COLUMNS} FROM aiw.dead_letter
    WHERE subscription = %(name)s AND id > %(after)s AND (%(status)s::text IS NULL OR status = %(status)s)
        AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
    ORDER BY id LIMIT %(limit)s"""
_LETTER_STATUS = "SELECT status FROM aiw.dead_letter WHERE id = %s FOR UPDATE"
_RETRY = """UPDATE aiw.dead_letter SET status = 'retrying', edited = coalesce(%s, edited), updated_at = now()
    WHERE id = %s"""
_DISCARD = "UPDATE aiw.dead_letter SET status = 'discarded', updated_at = now() WHERE id = %s"
# The first letter of each stream: the others of it wait, so that a stream's events keep their order. Letters in front are
# looked at, not all: a stream that is replayed may have millions.
_TO_RETRY = f"""WITH front AS (
        SELECT * FROM aiw.dead_letter WHERE subscription = %s AND status = 'retrying' ORDER BY position LIMIT 200
    ), turn AS (
        SELECT *, row_number() OVER (PARTITION BY tenant, stream_type, stream_id ORDER BY position) AS place FROM front
    )
    SELECT {_LETTER_COLUMNS} FROM turn WHERE place = 1 ORDER BY position LIMIT 20"""
_PRUNE = """DELETE FROM aiw.dead_letter WHERE id IN (SELECT id FROM aiw.dead_letter
    WHERE status IN ('resolved', 'discarded') AND updated_at < %s ORDER BY id LIMIT %s)"""
_SETTLE = """UPDATE aiw.dead_letter
    SET status = %s, error = coalesce(%s, error), attempts = attempts + 1, updated_at = now() WHERE id = %s"""
_PRUNED_AT_ONCE = 5000
_LAG = """SELECT count(*), min(recorded_at) FROM aiw.event
    WHERE position > %(after)s AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
        AND (%(types)s::text[] IS NULL OR type = ANY (%(types)s))
        AND (%(stream_type)s::text IS NULL OR stream_type = %(stream_type)s)"""


class PostgresSubscriptions:
    """One instance a worker thread: leases belong to its own connection."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.RLock()
        self._connection: Connection | None = None
        self._held: set[str] = set()

    def define(self, subscription: Subscription) -> None:
        with self._transaction() as connection:
            known = connection.execute(_GET, (subscription.name,)).fetchone()
            if known is not None:
                former = msgspec.convert(known[0], Subscription)
                if former.partitions != subscription.partitions:
                    raise partitions_differ(former, subscription)
            connection.execute(_DEFINE, (subscription.name, Jsonb(msgspec.to_builtins(subscription))))
            start = (subscription.name, subscription.start_position, subscription.partitions)
            connection.execute(_PARTITIONS, start)

    def status(self, name: str) -> SubscriptionStatus:
        with self._transaction() as connection:
            return _status(connection, name)

    def list(self) -> Sequence[SubscriptionStatus]:
        with self._transaction() as connection:
            return [_status(connection, name) for (name,) in connection.execute(_NAMES).fetchall()]

    def lag(self, name: str, *, now: datetime) -> Lag:
        """See the port. An event is counted until *all* partitions are past it, so the count is an upper bound."""
        with self._transaction() as connection:
            status = _status(connection, name)
            subscription = status.subscription
            parameters = {
                "after": status.position,
                "tenant": subscription.tenant,
                "types": None if subscription.types is None else list(subscription.types),
                "stream_type": subscription.stream_type,
            }
            count, oldest = connection.execute(_LAG, parameters).fetchone() or (0, None)
        return Lag(count, 0.0 if oldest is None else max(0.0, (now - oldest).total_seconds()))

    def pause(self, name: str) -> None:
        self._change(_PAUSE, (True, name), name)

    def resume(self, name: str) -> None:
        self._change(_PAUSE, (False, name), name)

    def reset(self, name: str, *, position: int) -> None:
        self._change(_RESET, (position, name), name)

    def remove(self, name: str) -> None:
        with self._transaction() as connection:
            connection.execute(_REMOVE, (name,))

    def claim(self, name: str, *, head: int, now: datetime) -> Lease | None:
        with self._session() as connection:
            row = connection.execute(_GET, (name,)).fetchone()
            if row is None:
                raise unknown_subscription(name)
            definition, paused = row
            if paused:
                return None
            for (partition,) in connection.execute(_DUE, (name, head, now)).fetchall():
                key = f"{name}/{partition}"
                if key in self._held or connection.execute(_LOCK, (key,)).fetchone() != (True,):
                    continue
                claimed = connection.execute(_CLAIM, (name, partition, head, now)).fetchone()
                if claimed is None:  # another worker was here between the two looks
                    connection.execute(_UNLOCK, (key,))
                    continue
                self._held.add(key)
                return Lease(msgspec.convert(definition, Subscription), partition, *claimed)
        return None

    def release(self, lease: Lease) -> None:
        key = f"{lease.subscription.name}/{lease.partition}"
        if key not in self._held:
            return
        with self._session() as connection:
            connection.execute(_RELEASE, (lease.subscription.name, lease.partition))
            connection.execute(_UNLOCK, (key,))
            self._held.discard(key)

    def advance(self, lease: Lease, position: int) -> Lease:
        with self._session(lease) as connection:
            place = (lease.subscription.name, lease.partition, lease.position)
            if connection.execute(_ADVANCE, (position, *place)).rowcount != 1:
                raise lease_lost(lease)
        return msgspec.structs.replace(lease, position=position, attempts=0, claims=0, not_before=None)

    def postpone(self, lease: Lease, *, error: str, not_before: datetime) -> Lease:
        with self._session(lease) as connection:
            place = (lease.subscription.name, lease.partition, lease.position)
            change = (lease.attempts + 1, not_before, _storable(error), *place)
            if connection.execute(_POSTPONE, change).rowcount != 1:
                raise lease_lost(lease)
        return msgspec.structs.replace(lease, attempts=lease.attempts + 1, claims=0, not_before=not_before)

    def bury(self, lease: Lease, event: RecordedEvent, *, error: str, poison: bool) -> Lease:
        letter = (
            lease.subscription.name,
            event.position,
            event.event_id,
            event.tenant,
            event.stream.type,
            event.stream.id,
            event.type,
            lease.attempts + (not poison),
            _storable(error),
            poison,
        )
        with self._session(lease) as connection, connection.transaction():
            connection.execute(_BURY, letter)
            return self.advance(lease, event.position)

    def forward(self, name: str, event: RecordedEvent, *, reason: str, replay_id: UUID | None = None) -> None:
        stream = event.stream
        row = (
            name,
            event.position,
            event.event_id,
            event.tenant,
            stream.type,
            stream.id,
            event.type,
            _storable(reason),
        )
        with self._transaction() as connection:
            if connection.execute(_GET, (name,)).fetchone() is None:
                raise unknown_subscription(name)
            connection.execute(_FORWARD, (*row, replay_id))

    def poisoned(self, name: str) -> Collection[PoisonKey]:
        with self._session() as connection:
            rows = connection.execute(_POISONED, (name, name)).fetchall()
        return {(tenant, type_, StreamId(stream_type, id_)) for tenant, type_, stream_type, id_ in rows}

    def dead_letters(
        self,
        name: str,
        *,
        status: LetterStatus | None = None,
        after: int = 0,
        limit: int = 100,
        tenant: str | None = None,
    ) -> Sequence[DeadLetter]:
        parameters = {"name": name, "status": status, "after": after, "limit": limit, "tenant": tenant}
        with self._transaction() as connection:
            return [_letter(row) for row in connection.execute(_LETTERS, parameters)]

    def retry(self, letter_id: int, *, data: Mapping[str, Any] | None = None) -> None:
        edited = None if data is None else Json(data, dumps=orjson.dumps)
        with self._transaction() as connection:
            _require_open(connection, letter_id)
            connection.execute(_RETRY, (edited, letter_id))

    def discard(self, letter_id: int) -> None:
        with self._transaction() as connection:
            _require_open(connection, letter_id)
            connection.execute(_DISCARD, (letter_id,))

    def claim_letter(self, name: str) -> DeadLetter | None:
        with self._session() as connection:
            for row in connection.execute(_TO_RETRY, (name,)).fetchall():
                key = f"letter {row[0]}"
                if key in self._held or connection.execute(_LOCK, (key,)).fetchone() != (True,):
                    continue
                if connection.execute(_LETTER_STATUS, (row[0],)).fetchone() != ("retrying",):
                    connection.execute(_UNLOCK, (key,))
                    continue
                self._held.add(key)
                return _letter(row)
        return None

    def prune_letters(self, *, before: datetime) -> int:
        pruned = 0
        while True:
            with self._transaction() as connection:
                count = connection.execute(_PRUNE, (before, _PRUNED_AT_ONCE)).rowcount
            pruned += count
            if count < _PRUNED_AT_ONCE:
                return pruned

    def settle(self, letter: DeadLetter, *, error: str | None) -> None:
        key = f"letter {letter.id}"
        text = None if error is None else _storable(error)
        with self._session() as connection:
            connection.execute(_SETTLE, ("resolved" if error is None else "failed", text, letter.id))
            connection.execute(_UNLOCK, (key,))
            self._held.discard(key)

    def close(self) -> None:
        """End the session, and with it all leases."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            self._held.clear()

    def _change(self, query: str, parameters: tuple[Any, ...], name: str) -> None:
        with self._transaction() as connection:
            if connection.execute(query, parameters).rowcount < 1:
                raise unknown_subscription(name)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._database.transaction() as connection, in_our_words():
            connection.execute(AS_SYSTEM)
            yield connection

    @contextmanager
    def _session(self, lease: Lease | None = None) -> Iterator[Connection]:
        """The worker's own connection. A new one has no leases: what is done under an old one fails."""
        with self._lock:
            if lease is not None and f"{lease.subscription.name}/{lease.partition}" not in self._held:
                raise lease_lost(lease)
            try:
                if self._connection is None:
                    self._connection = self._database.connect()
                    self._connection.execute("SET ROLE aiw_system")
                with in_our_words():
                    yield self._connection
            finally:
                if self._connection is not None and self._connection.closed:
                    self.close()


def _status(connection: Connection, name: str) -> SubscriptionStatus:
    row = connection.execute(_GET, (name,)).fetchone()
    if row is None:
        raise unknown_subscription(name)
    partitions = tuple(PartitionStatus(*found) for found in connection.execute(_STATUS, (name,)))
    (dead,) = connection.execute(_OPEN_LETTERS, (name,)).fetchone() or (0,)
    return SubscriptionStatus(msgspec.convert(row[0], Subscription), row[1], partitions, dead)


def _letter(row: tuple[Any, ...]) -> DeadLetter:
    id_, subscription, tenant, position, event_id, stream_type, stream_id, *rest = row
    return DeadLetter(id_, subscription, tenant, position, event_id, StreamId(stream_type, stream_id), *rest)


def _require_open(connection: Connection, letter_id: int) -> None:
    row = connection.execute(_LETTER_STATUS, (letter_id,)).fetchone()
    if row is None:
        raise unknown_letter(letter_id)
    if row[0] not in {"failed", "retrying"}:
        raise letter_settled(letter_id, row[0])


def _storable(text: str) -> str:
    return text.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:10_000]
