"""Kept answers in PostgreSQL (migration 0070)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.types.json import Json

from resources.idempotency.memory import answer_of
from resources.idempotency.store import CLAIM_HOLDS, KEPT, Answer

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import datetime

    from resources.database.postgres import Connection, Database
    from resources.idempotency.store import Key

_CLAIM = """INSERT INTO aiw.kept_answer AS kept (tenant, subject, key, request, claimed_at)
    VALUES (%(tenant)s, %(subject)s, %(key)s, %(request)s, %(now)s)
    ON CONFLICT (tenant, subject, key) DO UPDATE
        SET request = excluded.request, claimed_at = excluded.claimed_at, status = NULL, headers = NULL, body = NULL
        WHERE kept.claimed_at < CASE WHEN kept.status IS NULL THEN %(stale)s ELSE %(old)s END
    RETURNING true"""
_WHERE = "WHERE tenant = %(tenant)s AND subject = %(subject)s AND key = %(key)s"
_READ = f"SELECT request, status, headers, body FROM aiw.kept_answer {_WHERE}"
_SETTLE = f"UPDATE aiw.kept_answer SET status = %(status)s, headers = %(headers)s, body = %(body)s {_WHERE}"
_RELEASE = f"DELETE FROM aiw.kept_answer {_WHERE}"
_FORGET = "DELETE FROM aiw.kept_answer WHERE claimed_at < %s"


class PostgresAnswers:
    """Safe to share between threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, key: Key, request: bytes, *, now: datetime) -> Answer | None:
        row = {**_named(key), "request": request, "now": now, "stale": now - CLAIM_HOLDS, "old": now - KEPT}
        with self._as(key.tenant) as connection:
            if connection.execute(_CLAIM, row).fetchone() is not None:
                return None
            found = connection.execute(_READ, _named(key)).fetchone()
        if found is None:  # released this moment
            return self.claim(key, request, now=now)
        former, status, headers, body = found
        return answer_of(key, request, former, None if status is None else Answer(status, headers, body))

    def settle(self, key: Key, answer: Answer) -> None:
        row = {"status": answer.status, "headers": Json(dict(answer.headers)), "body": answer.body}
        with self._as(key.tenant) as connection:
            connection.execute(_SETTLE, {**_named(key), **row})

    def release(self, key: Key) -> None:
        with self._as(key.tenant) as connection:
            connection.execute(_RELEASE, _named(key))

    def forget(self, *, now: datetime) -> int:
        with self._as(None) as connection:
            return connection.execute(_FORGET, (now - KEPT,)).rowcount

    def _as(self, tenant: str | None) -> AbstractContextManager[Connection]:
        return self._database.scoped(tenant, "the kept answers")


def _named(key: Key) -> dict[str, str]:
    return {"tenant": key.tenant, "subject": key.subject, "key": key.key}
