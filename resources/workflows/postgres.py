"""Backfills on PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from resources.errors import NotFoundError
from resources.workflows.backfills import Backfill, Due, PlannedRun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from resources.database.postgres import Connection, Database

_SELECT = """
SELECT b.id, b.tenant, b.workflow, b.state, b.rate, count(r.number)::int, count(r.run_id)::int, count(r.error)::int,
    b.created_by, b.created_at, b.ended_at, min(r.error)
FROM aiw.backfills b LEFT JOIN aiw.backfill_runs r ON r.backfill_id = b.id
"""
CREATE = (
    "INSERT INTO aiw.backfills (id, tenant, workflow, state, rate, created_by) VALUES (%s, %s, %s, 'running', %s, %s)"
)
PLAN = """
INSERT INTO aiw.backfill_runs (backfill_id, number, reason, key, inputs, partition, correlation_id)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""
GET = _SELECT + "WHERE b.id = %s AND b.tenant = %s GROUP BY b.id"
LIST = _SELECT + "WHERE b.tenant = %s GROUP BY b.id ORDER BY b.created_at DESC, b.id DESC LIMIT %s"
RUNNING = _SELECT + "WHERE b.state = 'running' GROUP BY b.id ORDER BY b.created_at, b.id"
CANCEL = (
    "UPDATE aiw.backfills SET state = 'cancelled', ended_at = now() WHERE id = %s AND tenant = %s AND state = 'running'"
)
RUNS = """
SELECT r.reason, r.key, r.inputs, r.partition, r.correlation_id, r.run_id, r.error
FROM aiw.backfill_runs r JOIN aiw.backfills b ON b.id = r.backfill_id
WHERE b.id = %s AND b.tenant = %s AND r.number > %s ORDER BY r.number LIMIT %s
"""
DUE = """
SELECT number, reason, key, inputs, partition, correlation_id FROM aiw.backfill_runs
WHERE backfill_id = %s AND run_id IS NULL AND error IS NULL ORDER BY number LIMIT %s
"""
STARTED = "UPDATE aiw.backfill_runs SET run_id = %s, error = %s WHERE backfill_id = %s AND number = %s"
COMPLETE = """
UPDATE aiw.backfills b SET state = 'completed', ended_at = now() WHERE b.id = %s AND b.state = 'running' AND NOT EXISTS (
    SELECT FROM aiw.backfill_runs r WHERE r.backfill_id = b.id AND r.run_id IS NULL AND r.error IS NULL
)
"""


class PostgresBackfills:
    """The tables `aiw.backfills` and `aiw.backfill_runs`. Every verb raises UnavailableError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(
        self,
        backfill_id: UUID,
        *,
        tenant: str,
        workflow: str,
        runs: Sequence[PlannedRun],
        rate: float,
        user: str | None = None,
    ) -> Backfill:
        """Write the plan down; from now on it is worked off. Runs that exist already are left out."""
        with self._database.transaction() as connection:
            connection.execute(CREATE, (backfill_id, tenant, workflow, rate, user))
            wanted = [run for run in runs if run.run_id is None]
            with connection.cursor() as cursor:
                cursor.executemany(
                    PLAN,
                    [
                        (backfill_id, number, run.reason, run.key, Jsonb(run.inputs), run.partition, run.correlation_id)
                        for number, run in enumerate(wanted, start=1)
                    ],
                )
            connection.execute(COMPLETE, (backfill_id,))
            return self._read(connection, backfill_id, tenant)

    def get(self, backfill_id: UUID, *, tenant: str) -> Backfill:
        """Raises NotFoundError."""
        with self._database.transaction() as connection:
            return self._read(connection, backfill_id, tenant)

    def newest(self, *, tenant: str, limit: int = 100) -> list[Backfill]:
        """The newest first."""
        with self._database.transaction() as connection:
            return [Backfill(*row) for row in connection.execute(LIST, (tenant, limit))]

    def runs(
        self, backfill_id: UUID, *, tenant: str, after: int = 0, limit: int = 100
    ) -> list[tuple[PlannedRun, str | None]]:
        """Runs of the plan in order, each with why it could not be started, if so."""
        with self._database.transaction() as connection:
            rows = connection.execute(RUNS, (backfill_id, tenant, after, limit)).fetchall()
        return [(PlannedRun(*row[:6]), row[6]) for row in rows]

    def cancel(self, backfill_id: UUID, *, tenant: str) -> Backfill:
        """Start no more. Runs that were started go on. Raises NotFoundError."""
        with self._database.transaction() as connection:
            connection.execute(CANCEL, (backfill_id, tenant))
            return self._read(connection, backfill_id, tenant)

    def running(self) -> list[Backfill]:
        """Those of all tenants that have something to start, the oldest first: for the platform's own work."""
        with self._database.transaction() as connection:
            return [Backfill(*row) for row in connection.execute(RUNNING)]

    def due(self, backfill: Backfill, limit: int) -> list[Due]:
        """The next runs to start."""
        with self._database.transaction() as connection:
            rows: list[Any] = connection.execute(DUE, (backfill.id, limit)).fetchall()
        return [Due(backfill, row[0], PlannedRun(*row[1:6])) for row in rows]

    def settle(self, due: Due, *, run_id: str | None, error: str | None = None) -> None:
        """Note that the run was started, or why it cannot be."""
        with self._database.transaction() as connection:
            connection.execute(STARTED, (run_id, error, due.backfill.id, due.number))
            connection.execute(COMPLETE, (due.backfill.id,))

    @staticmethod
    def _read(connection: Connection, backfill_id: UUID, tenant: str) -> Backfill:
        row = connection.execute(GET, (backfill_id, tenant)).fetchone()
        if row is None:
            raise NotFoundError(f"There is no backfill {str(backfill_id)!r}.", code="backfill_not_found")
        return Backfill(*row)
