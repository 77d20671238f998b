"""What processes use of a provider's limits together, in PostgreSQL (migration 0041)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import uuid_utils.compat as uuid_utils

from resources.ai.limits.window import SPAN
from resources.events.postgres import AS_SYSTEM, in_our_words

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from resources.ai.limits.window import Quota
    from resources.database.postgres import Connection, Database

_TAKE = "SELECT aiw.take_ai_rate(%s, %s, %s, %s, %s, %s, %s)"
_LEARN = "SELECT aiw.learn_ai_rate(%s, %s, %s, %s)"
_SETTLE = "UPDATE aiw.ai_rate_grant SET tokens = %s WHERE grant_id = %s"
_CLOSE = """INSERT INTO aiw.ai_rate_place AS p (place, closed_until)
    VALUES (%s, clock_timestamp() + %s * interval '1 second')
    ON CONFLICT (place) DO UPDATE SET closed_until = greatest(p.closed_until, excluded.closed_until)"""


class PostgresWindows:
    """Safe to share between threads. `span` is that of all windows, in seconds."""

    def __init__(self, database: Database, *, span: float = SPAN) -> None:
        self._database = database
        self._span = span

    def take(self, place: str, grant: UUID, *, tenant: str, tokens: int, quota: Quota) -> float:
        parameters = (place, tenant, grant, tokens, quota.requests, quota.tokens, self._span)
        with self._transaction() as connection:
            (seconds,) = connection.execute(_TAKE, parameters).fetchone() or (0.0,)
        return float(seconds)

    def settle(self, grant: UUID, tokens: int) -> None:
        with self._transaction() as connection:
            connection.execute(AS_SYSTEM)
            connection.execute(_SETTLE, (tokens, grant))

    def learn(self, place: str, *, used: int) -> None:
        with self._transaction() as connection:
            connection.execute(_LEARN, (place, uuid_utils.uuid7(), used, self._span))

    def close(self, place: str, seconds: float) -> None:
        with self._transaction() as connection:
            connection.execute(AS_SYSTEM)
            connection.execute(_CLOSE, (place, seconds))

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._database.transaction() as connection, in_our_words():
            yield connection
