"""The queue of runs and the keys of runs on PostgreSQL.

`FOR UPDATE SKIP LOCKED` gives each run to one pool, NOTIFY wakes the pools.

Payloads of the channel: `run` (something waits) and `cancel:<run id>`. A lost notification costs a second, not a run: pools
also look at every renewal.
"""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.types.json import Jsonb

from definitions.runtime.queue import LEASE_SECONDS, Claim, ClaimedKey, Place
from resources.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from resources.database.postgres import Connection, Database

CHANNEL = "aiw_run_queue"
CANCEL = "cancel:"
RUN_EVENTS = "run_events"

ENQUEUE = """
WITH added AS (
    INSERT INTO aiw.run_queue (run_id, job, priority) VALUES (%s, %s, %s)
    ON CONFLICT (run_id) DO NOTHING RETURNING run_id
)
SELECT pg_notify('aiw_run_queue', 'run') FROM added
"""
# MATERIALIZED: a plain subquery may be the inner side of a nested loop, evaluated anew for each row, and each time it locks and
# gives the next rows. The server plans so when its statistics say that the queue has one row; then one claim took all runs.
CLAIM = """
WITH next AS MATERIALIZED (
    SELECT run_id FROM aiw.run_queue WHERE host IS NULL
    ORDER BY priority DESC, place LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE aiw.run_queue AS q
SET host = %(host)s, claims = q.claims + 1, claimed_at = now(), lease_until = now() + %(lease)s * interval '1 second'
FROM next
WHERE q.run_id = next.run_id
RETURNING q.run_id, q.job, q.claims, q.host, q.cancel_requested, q.priority, q.place
"""
RENEW = """
UPDATE aiw.run_queue SET lease_until = now() + %(lease)s * interval '1 second'
WHERE host = %(host)s RETURNING run_id, job, claims, host, cancel_requested
"""
FINISH = "DELETE FROM aiw.run_queue WHERE run_id = %s AND host = %s"
RELEASE = """
WITH released AS (
    UPDATE aiw.run_queue SET host = NULL, claimed_at = NULL, lease_until = NULL
    WHERE run_id = %s AND host = %s RETURNING run_id
)
SELECT pg_notify('aiw_run_queue', 'run') FROM released
"""
WITHDRAW = "DELETE FROM aiw.run_queue WHERE run_id = %s AND host IS NULL"
REQUEST_CANCEL = """
WITH asked AS (
    UPDATE aiw.run_queue SET cancel_requested = true WHERE run_id = %s AND host IS NOT NULL RETURNING run_id
)
SELECT pg_notify('aiw_run_queue', 'cancel:' || run_id) FROM asked
"""
LOST = """
WITH orphan AS MATERIALIZED (
    SELECT run_id FROM aiw.run_queue
    WHERE host <> %(host)s AND (lease_until < now() OR host = ANY(%(dead)s)) FOR UPDATE SKIP LOCKED
)
UPDATE aiw.run_queue AS q SET host = %(host)s, lease_until = now() + %(lease)s * interval '1 second'
FROM orphan
WHERE q.run_id = orphan.run_id
RETURNING q.run_id, q.job, q.claims, q.host, q.cancel_requested
"""
ALONE = "SELECT pg_advisory_lock(hashtextextended(%s, 7301402615))"
HOSTS = "SELECT DISTINCT host FROM aiw.run_queue WHERE host IS NOT NULL ORDER BY host"
FIND = """
SELECT q.host, greatest(0, extract(epoch FROM now() - q.lease_until))::float8,
    (SELECT count(*) FROM aiw.run_queue w
     WHERE w.host IS NULL AND (w.priority > q.priority OR (w.priority = q.priority AND w.place < q.place)))
FROM aiw.run_queue q WHERE q.run_id = %s
"""


CLAIM_KEY = """
INSERT INTO aiw.run_keys (tenant, key, owner, run_id, request) VALUES (%s, %s, 'launcher', %s, %s)
ON CONFLICT (tenant, key) DO NOTHING
RETURNING run_id
"""
READ_KEY = "SELECT owner, run_id, request, launched_at FROM aiw.run_keys WHERE tenant = %s AND key = %s"
KEY_LAUNCHED = "UPDATE aiw.run_keys SET launched_at = now() WHERE tenant = %s AND key = %s"
FORGET_KEY = "DELETE FROM aiw.run_keys WHERE tenant = %s AND key = %s AND run_id = %s AND launched_at IS NULL"
UNFINISHED_KEYS = """
SELECT tenant, key, run_id, request FROM aiw.run_keys
WHERE launched_at IS NULL AND run_id IS NOT NULL AND claimed_at < now() - %s * interval '1 second'
ORDER BY claimed_at LIMIT %s
"""
# What was claimed by this sensor before, in a tick that failed later on, is its to ask for again.
CLAIM_FOR_SENSOR = """
INSERT INTO aiw.run_keys AS k (tenant, key, owner)
SELECT tenant, key, %(sensor)s FROM unnest(%(tenants)s::text[], %(keys)s::text[]) AS wanted (tenant, key)
ON CONFLICT (tenant, key) DO UPDATE SET owner = excluded.owner WHERE k.owner = excluded.owner
RETURNING tenant, key
"""

# These two are asked on a connection of Dagster's storage, in its schema and with SQLAlchemy's parameters.
RUNS_UNDER_WAY = """
SELECT count(*) FILTER (WHERE r.status = ANY(:under_way)),
    count(*) FILTER (WHERE r.status = ANY(:under_way) AND coalesce(t.value, :default) = :tenant),
    count(*) FILTER (WHERE r.status = :queued AND coalesce(t.value, :default) = :tenant),
    count(*) FILTER (WHERE r.status = ANY(:under_way) AND c.value = :concurrency),
    aiw.concurrent_runs(:tenant)
FROM runs r
LEFT JOIN run_tags t ON t.run_id = r.run_id AND t.key = :tenant_key
LEFT JOIN run_tags c ON c.run_id = r.run_id AND c.key = :concurrency_key
WHERE r.status = ANY(:under_way) OR r.status = :queued
"""
CONCURRENCY_IN_QUEUE = """
SELECT DISTINCT t.value FROM run_tags t JOIN runs r ON r.run_id = t.run_id
WHERE t.key = :key AND r.status = :queued ORDER BY t.value
"""

QUOTAS = "SELECT tenant, most FROM aiw.all_concurrent_runs()"

# And these, by the retention.
ENDED_RUNS = """
SELECT id, run_id FROM runs WHERE status = ANY(:ended) AND end_time < :before AND id > :after ORDER BY id LIMIT :limit
"""
COUNT_STEP_EVENTS = """
SELECT count(*) FROM event_logs
WHERE run_id = ANY(:runs) AND asset_key IS NULL AND (dagster_event_type IS NULL OR dagster_event_type = ANY(:types))
"""
DELETE_STEP_EVENTS = """
WITH deleted AS (
    DELETE FROM event_logs
    WHERE run_id = ANY(:runs) AND asset_key IS NULL AND (dagster_event_type IS NULL OR dagster_event_type = ANY(:types))
    RETURNING 1
)
SELECT count(*) FROM deleted
"""
DELETE_KEYS = """
DELETE FROM aiw.run_keys WHERE (tenant, key) IN (
    SELECT tenant, key FROM aiw.run_keys WHERE claimed_at < %s AND (launched_at IS NOT NULL OR run_id IS NULL) LIMIT %s
)
"""
KEYS_AT_A_TIME = 10_000


class RunQueue:
    """The table `aiw.run_queue`. Every verb raises UnavailableError when the database is out of reach."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def enqueue(self, run_id: str, *, job: str, priority: int = 0) -> bool:
        """Add a run and wake the pools. False, and no change, if the run is in the queue already."""
        with self._database.transaction() as connection:
            return connection.execute(ENQUEUE, (run_id, job, priority)).rowcount == 1

    def claim(self, host: str, *, limit: int, lease: float = LEASE_SECONDS) -> list[Claim]:
        """Take up to `limit` waiting runs, by priority, then in order. No run is ever given to two hosts at a time."""
        with self._database.transaction() as connection:
            rows = connection.execute(CLAIM, {"host": host, "limit": limit, "lease": lease}).fetchall()
        rows.sort(key=lambda row: (-row[5], row[6]))
        return [Claim(*row[:5]) for row in rows]

    def renew(self, host: str, *, lease: float = LEASE_SECONDS) -> list[Claim]:
        """Extend all leases of `host`. Returns its claims, each with whether somebody asked to cancel the run."""
        with self._database.transaction() as connection:
            return [Claim(*row) for row in connection.execute(RENEW, {"host": host, "lease": lease})]

    def finish(self, run_id: str, *, host: str) -> bool:
        """Drop a run that has ended. False if the claim is no longer this host's."""
        with self._database.transaction() as connection:
            return connection.execute(FINISH, (run_id, host)).rowcount == 1

    def release(self, run_id: str, *, host: str) -> bool:
        """Put a claimed run back to its old place. False if the claim is no longer this host's."""
        with self._database.transaction() as connection:
            return connection.execute(RELEASE, (run_id, host)).rowcount == 1

    def withdraw(self, run_id: str) -> bool:
        """Drop a run that still waits. False if it does not: it is claimed, or not in the queue."""
        with self._database.transaction() as connection:
            return connection.execute(WITHDRAW, (run_id,)).rowcount == 1

    def request_cancel(self, run_id: str) -> bool:
        """Tell the pool that executes the run to interrupt it. False if none does."""
        with self._database.transaction() as connection:
            return connection.execute(REQUEST_CANCEL, (run_id,)).rowcount == 1

    def lost(self, host: str, *, dead: Sequence[str] = ()) -> list[Claim]:
        """Take over, as `host`, the claims whose lease has ended and all claims of the hosts in `dead`."""
        with self._database.transaction() as connection:
            rows = connection.execute(LOST, {"host": host, "dead": list(dead), "lease": LEASE_SECONDS}).fetchall()
        return [Claim(*row) for row in rows]

    def hosts(self) -> list[str]:
        """The pools that hold claims."""
        with self._database.transaction() as connection:
            return [row[0] for row in connection.execute(HOSTS)]

    def find(self, run_id: str) -> Place | None:
        """Where the run is, or None if it is not in the queue."""
        with self._database.transaction() as connection:
            row = connection.execute(FIND, (run_id,)).fetchone()
        return None if row is None else Place(host=row[0], overdue=row[1] or 0.0, ahead=row[2])


class RunKeys:
    """The table `aiw.run_keys`: who starts the run of a key. Every verb raises UnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, tenant: str, key: str, *, run_id: str, request: Mapping[str, Any]) -> bool:
        """Have the key start the run `run_id`. False if it starts another one already."""
        with self._database.transaction() as connection:
            return connection.execute(CLAIM_KEY, (tenant, key, run_id, Jsonb(request))).rowcount == 1

    def read(self, tenant: str, key: str) -> ClaimedKey | None:
        """Who has claimed the key; None if nobody has."""
        with self._database.transaction() as connection:
            row = connection.execute(READ_KEY, (tenant, key)).fetchone()
        if row is None:
            return None
        return ClaimedKey(tenant, key, row[0], str(row[1]) if row[1] else None, row[2], launched=row[3] is not None)

    def launched(self, tenant: str, key: str) -> None:
        """Note that the run is on its way, whatever happens to this process."""
        with self._database.transaction() as connection:
            connection.execute(KEY_LAUNCHED, (tenant, key))

    def forget(self, tenant: str, key: str, *, run_id: str) -> bool:
        """Take a claim back whose run cannot be created, as what was asked for is wrong. False: it was taken back already."""
        with self._database.transaction() as connection:
            return connection.execute(FORGET_KEY, (tenant, key, run_id)).rowcount > 0

    def unfinished(self, *, older_than: float, limit: int = 100) -> list[ClaimedKey]:
        """Claims of launchers that did not note their run's launch within `older_than` seconds, the oldest first."""
        with self._database.transaction() as connection:
            rows = connection.execute(UNFINISHED_KEYS, (older_than, limit)).fetchall()
        return [ClaimedKey(row[0], row[1], "launcher", str(row[2]), row[3], launched=False) for row in rows]

    def delete_before(self, moment: datetime) -> int:
        """Forget the keys that were claimed before. Such a key starts a run again."""
        deleted = 0
        while True:
            with self._database.transaction() as connection:
                found = connection.execute(DELETE_KEYS, (moment, KEYS_AT_A_TIME)).rowcount
            deleted += found
            if found < KEYS_AT_A_TIME:
                return deleted

    def claim_for_sensor(self, sensor: str, keys: Sequence[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of the pairs (tenant, key) whose runs the sensor must ask for: nobody else has started them."""
        if not keys:
            return set()
        distinct = sorted(set(keys))
        arguments = {
            "sensor": sensor,
            "tenants": [pair[0] for pair in distinct],
            "keys": [pair[1] for pair in distinct],
        }
        with self._database.transaction() as connection:
            return {(row[0], row[1]) for row in connection.execute(CLAIM_FOR_SENSOR, arguments)}


@contextmanager
def alone(database: Database, what: str) -> Iterator[None]:
    """No two blocks with the same `what` are executed at a time, in whichever process. Raises UnavailableError.

    On a connection of its own: those who wait must not keep the one who works from the pool's.
    """
    with closing(database.connect()) as connection:
        connection.execute(ALONE, (what,))
        yield


class Listener:
    """What the queue's channel says, on a connection of its own. `fileno` is readable when there is something to read."""

    def __init__(self, database: Database) -> None:
        self._connection: Connection = database.connect()
        self._connection.execute(f"LISTEN {CHANNEL}")
        # A copy: the driver closes its own when the connection is lost, and a selector still has to let go of it then.
        self._descriptor = os.dup(self._connection.fileno())

    def fileno(self) -> int:
        return self._descriptor

    def cancelled(self) -> list[str]:
        """Read all that has arrived without waiting; return the ids of runs to cancel. Raises UnavailableError."""
        try:
            payloads = [notification.payload for notification in self._connection.notifies(timeout=0)]
        except psycopg.OperationalError as error:
            raise UnavailableError("The connection to the run queue was lost.", dependency="database") from error
        return [payload.removeprefix(CANCEL) for payload in payloads if payload.startswith(CANCEL)]

    def close(self) -> None:
        self._connection.close()
        os.close(self._descriptor)


class RunEvents:
    """Which runs something happened to, as Dagster's storage says: on a connection of its own, for who waits for a run."""

    def __init__(self, database: Database) -> None:
        self._connection: Connection = database.connect()
        self._connection.execute(f"LISTEN {RUN_EVENTS}")

    def within(self, seconds: float) -> Iterator[str]:
        """The ids of runs, as their events come, for at most `seconds`. Raises UnavailableError."""
        try:
            for notification in self._connection.notifies(timeout=seconds):
                yield notification.payload.partition("_")[0]
        except psycopg.OperationalError as error:
            raise UnavailableError("The connection to the database was lost.", dependency="database") from error

    def close(self) -> None:
        self._connection.close()
