"""Rules of routing in PostgreSQL (migration 0040)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.types.json import Jsonb

from resources.errors import NotFoundError
from resources.realtime.fanout.postgres import Changes
from resources.realtime.model import Notice
from resources.realtime.rules.model import Rule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.database.postgres import Database
    from resources.realtime.store import Fanout

WHAT = "the rules of routing"
_SAVE_RULE = """INSERT INTO aiw.realtime_rule (tenant, name, definition) VALUES (%s, %s, %s)
    ON CONFLICT (tenant, name) DO UPDATE SET definition = excluded.definition, changed_at = now()"""
_DELETE_RULE = "DELETE FROM aiw.realtime_rule WHERE tenant = %s AND name = %s"
_RULES = "SELECT definition FROM aiw.realtime_rule WHERE tenant = %s ORDER BY name"


class PostgresRealtimeRules:
    """Safe to share between threads."""

    def __init__(self, database: Database, fanout: Fanout | None = None) -> None:
        """`fanout` tells of changes; None = NOTIFY, in their commit."""
        self._changes = Changes(database, WHAT, fanout)

    def save(self, rule: Rule, *, tenant: str) -> None:
        with self._changes.of(tenant) as (connection, news):
            connection.execute(_SAVE_RULE, (tenant, rule.name, Jsonb(rule.model_dump(mode="json"))))
            news.append(Notice("rules", tenant))

    def remove(self, name: str, *, tenant: str) -> None:
        with self._changes.of(tenant) as (connection, news):
            if connection.execute(_DELETE_RULE, (tenant, name)).rowcount == 0:
                raise NotFoundError(f"There is no rule {name!r}.")
            news.append(Notice("rules", tenant))

    def list(self, *, tenant: str) -> Sequence[Rule]:
        with self._changes.of(tenant) as (connection, _):
            return [Rule.model_validate(definition) for (definition,) in connection.execute(_RULES, (tenant,))]
