"""Progress in PostgreSQL (migration 0093)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resources.knowledge.progress.model import ConceptProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from resources.database.postgres import Connection, Database
    from resources.knowledge.progress.model import ProgressChange

_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended(%s || chr(1) || %s || chr(1) || %s, 93))"
_COLUMNS = """concept, status, percent, minutes_spent, difficulty_rating, documents, notes, started_at, completed_at,
    updated_at"""
_GET = f"SELECT {_COLUMNS} FROM aiw.learning_progress WHERE tenant = %s AND user_id = %s AND concept = %s"
_OF = f"""SELECT {_COLUMNS} FROM aiw.learning_progress WHERE tenant = %s AND user_id = %s
    ORDER BY updated_at DESC, concept"""
_PUT = """INSERT INTO aiw.learning_progress (tenant, user_id, concept, status, percent, minutes_spent, difficulty_rating,
        documents, notes, started_at, completed_at, updated_at)
    VALUES (%(tenant)s, %(user)s, %(concept)s, %(status)s, %(percent)s, %(minutes_spent)s, %(difficulty_rating)s,
        %(documents)s, %(notes)s, %(started_at)s, %(completed_at)s, %(updated_at)s)
    ON CONFLICT (tenant, user_id, concept) DO UPDATE SET status = excluded.status, percent = excluded.percent,
        minutes_spent = excluded.minutes_spent, difficulty_rating = excluded.difficulty_rating,
        documents = excluded.documents, notes = excluded.notes, started_at = excluded.started_at,
        completed_at = excluded.completed_at, updated_at = excluded.updated_at"""
_FORGET = "DELETE FROM aiw.learning_progress WHERE tenant = %s AND user_id = %s AND concept = %s"


class PostgresProgress:
    """Safe to share between threads and processes. Changes of one concept by one user wait for each other."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def change(
        self,
        concept: str,
        change: ProgressChange,
        *,
        user: str,
        tenant: str,
        now: datetime,
        unless: Callable[[ConceptProgress | None], None] | None = None,
    ) -> ConceptProgress:
        with self._as(tenant) as connection:
            former = _alone(connection, tenant, user, concept)
            if unless is not None:
                unless(former)
            former = former or ConceptProgress(concept=concept, updated_at=now)
            kept = former.changed(change, now=now)
            values = kept.model_dump() | {"tenant": tenant, "user": user, "documents": list(kept.documents)}
            connection.execute(_PUT, values)
        return kept

    def of(self, user: str, *, tenant: str) -> Sequence[ConceptProgress]:
        with self._as(tenant) as connection:
            return [_progress(row) for row in connection.execute(_OF, (tenant, user))]

    def forget(
        self,
        concept: str,
        *,
        user: str,
        tenant: str,
        unless: Callable[[ConceptProgress | None], None] | None = None,
    ) -> bool:
        with self._as(tenant) as connection:
            if unless is not None:
                unless(_alone(connection, tenant, user, concept))
            return connection.execute(_FORGET, (tenant, user, concept)).rowcount > 0

    def _as(self, tenant: str) -> AbstractContextManager[Connection]:
        return self._database.scoped(tenant, "the progress")


def _alone(connection: Connection, tenant: str, user: str, concept: str) -> ConceptProgress | None:
    """What was said before, which nobody else changes until the transaction ends."""
    connection.execute(_ALONE, (tenant, user, concept))
    row = connection.execute(_GET, (tenant, user, concept)).fetchone()
    return None if row is None else _progress(row)


def _progress(row: Sequence[Any]) -> ConceptProgress:
    names = [name.strip() for name in _COLUMNS.split(",")]
    return ConceptProgress.model_validate(dict(zip(names, row, strict=True)))
