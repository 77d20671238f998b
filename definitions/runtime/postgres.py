"""The queue of runs on PostgreSQL: `FOR UPDATE SKIP LOCKED` gives each run to one pool, NOTIFY wakes the pools.

Payloads of the channel: `run` (something waits) and `cancel:<run id>`. A lost notification costs a second, not a run: pools
also look at every renewal.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import psycopg

from definitions.runtime.queue import LEASE_SECONDS, Claim, Place
from resources.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.database.postgres import Connection, Database

CHANNEL = "aiw_run_queue"
CANCEL = "cancel:"

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
HOSTS = "SELECT DISTINCT host FROM aiw.run_queue WHERE host IS NOT NULL ORDER BY host"
FIND = """
SELECT q.host, greatest(0, extract(epoch FROM now() - q.lease_until))::float8,
    (SELECT count(*) FROM aiw.run_queue w
     WHERE w.host IS NULL AND (w.priority > q.priority OR (w.priority = q.priority AND w.place < q.place)))
FROM aiw.run_queue q WHERE q.run_id = %s
"""


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
