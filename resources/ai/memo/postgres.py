"""The memo in PostgreSQL (migration 0030)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from resources.ai.memo.store import Kept
from resources.events.postgres import AS_SYSTEM, AS_TENANT, in_our_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from resources.ai.ledger.model import CallKind
    from resources.database.postgres import Connection, Database

_NEWEST = """SELECT key, call_id, provider, model, payload FROM aiw.ai_memo
    WHERE tenant = %s AND kind = %s AND (expires_at IS NULL OR expires_at > now()) ORDER BY created_at DESC LIMIT %s"""
_COUNT = "SELECT count(*) FROM aiw.ai_memo WHERE tenant = %s AND (expires_at IS NULL OR expires_at > now())"
_PURGE = """DELETE FROM aiw.ai_memo
    WHERE tenant = %(tenant)s AND (%(before)s::timestamptz IS NULL OR created_at < %(before)s OR expires_at <= now())"""

_PURGE_EXPIRED = """DELETE FROM aiw.ai_memo WHERE (tenant, key) IN
    (SELECT tenant, key FROM aiw.ai_memo WHERE expires_at <= now() ORDER BY expires_at LIMIT %s)"""


class PostgresMemo:
    """Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(self, *, tenant: str, kind: CallKind, limit: int = 200) -> Sequence[Kept]:
        with self._visible_to(tenant) as connection:
            return [Kept(*row) for row in connection.execute(_NEWEST, (tenant, kind, limit))]

    def count(self, *, tenant: str) -> int:
        with self._visible_to(tenant) as connection:
            (count,) = connection.execute(_COUNT, (tenant,)).fetchone() or (0,)
        return int(count)

    def purge(self, *, tenant: str, before: datetime | None = None) -> int:
        with self._visible_to(tenant) as connection:
            return connection.execute(_PURGE, {"tenant": tenant, "before": before}).rowcount

    def purge_expired(self, *, limit: int = 10_000) -> int:
        with self._database.transaction() as connection, in_our_words():
            connection.execute(AS_SYSTEM)
            return connection.execute(_PURGE_EXPIRED, (limit,)).rowcount

    @contextmanager
    def _visible_to(self, tenant: str) -> Iterator[Connection]:
        with self._database.transaction() as connection, in_our_words():
            connection.execute(AS_TENANT, (tenant,))
            yield connection
