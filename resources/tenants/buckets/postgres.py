"""Rate limits of all processes together, in PostgreSQL (migration 0050)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from resources.database.postgres import Database

_AS_SYSTEM = "SELECT set_config('role', 'aiw_system', true)"
# What there is now, less what is taken. RETURNING sees the row as it was, too: that tells what was taken.
_LEASE = """INSERT INTO aiw.rate_bucket AS b (key, tokens, updated_at)
    VALUES (%(key)s, %(burst)s - %(wanted)s::float8, clock_timestamp())
    ON CONFLICT (key) DO UPDATE SET updated_at = excluded.updated_at,
        tokens = aiw.rate_tokens(b.tokens, b.updated_at, excluded.updated_at, %(rate)s, %(burst)s)
            - least(%(wanted)s, floor(aiw.rate_tokens(b.tokens, b.updated_at, excluded.updated_at, %(rate)s, %(burst)s)))
    RETURNING CASE WHEN old.key IS NULL THEN %(wanted)s::float8
        ELSE aiw.rate_tokens(old.tokens, old.updated_at, new.updated_at, %(rate)s, %(burst)s) - new.tokens END"""
_FORGET_BUCKETS = "DELETE FROM aiw.rate_bucket WHERE updated_at < clock_timestamp() - interval '1 hour'"
_SWEEP_EVERY = 600.0


class PostgresBuckets:
    """Buckets in an unlogged table. Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sweep_at = time.monotonic() + _SWEEP_EVERY

    def lease(self, key: str, *, per_second: float, burst: int, tokens: int) -> int:
        values = {"key": key, "wanted": float(tokens), "rate": per_second, "burst": float(burst)}
        with self._database.transaction() as connection:
            connection.execute(_AS_SYSTEM)
            if time.monotonic() > self._sweep_at:
                self._sweep_at = time.monotonic() + _SWEEP_EVERY
                connection.execute(_FORGET_BUCKETS)
            row = connection.execute(_LEASE, values).fetchone()
        assert row is not None  # it is inserted or updated
        taken: float = row[0]
        return round(taken)
