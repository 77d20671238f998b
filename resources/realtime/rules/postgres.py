"""Rules of routing in PostgreSQL (migration 0040)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.types.json import Jsonb

from resources.realtime.fanout.postgres import Changes
from resources.realtime.model import Notice
from resources.realtime.rules.model import Rule
from resources.realtime.store import unknown_rule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resources.database.postgres import Connection, Database
    from resources.realtime.store import Fanout

WHAT = "the rules of routing"
_SAVE_RULE = """INSERT INTO aiw.realtime_rule (tenant, name, definition) VALUES (%s, %s, %s)
    ON CONFLICT (tenant, name) DO UPDATE SET definition = excluded.definition, changed_at = now()"""
_DELETE_RULE = "DELETE FROM aiw.realtime_rule WHERE tenant = %s AND name = %s"
_RULE = "SELECT definition FROM aiw.realtime_rule WHERE tenant = %s AND name = %s"
_RULES = "SELECT definition FROM aiw.realtime_rule WHERE tenant = %s ORDER BY name"


class PostgresRealtimeRules:
    """Safe to share between threads."""

    def __init__(self, database: Database, fanout: Fanout | None = None) -> None:
        """`fanout` tells of changes; None = NOTIFY, in their commit."""
        self._changes = Changes(database, WHAT, fanout)

    def save(self, rule: Rule, *, tenant: str, unless: Callable[[Rule | None], None] | None = None) -> None:
        with self._changes.of(tenant) as (connection, news):
            if unless is not None:
                unless(_rule(connection, rule.name, tenant, lock=True))
            connection.execute(_SAVE_RULE, (tenant, rule.name, Jsonb(rule.model_dump(mode="json"))))
            news.append(Notice("rules", tenant))

    def get(self, name: str, *, tenant: str) -> Rule:
        with self._changes.of(tenant) as (connection, _):
            found = _rule(connection, name, tenant)
        if found is None:
            raise unknown_rule(name)
        return found

    def remove(self, name: str, *, tenant: str, unless: Callable[[Rule | None], None] | None = None) -> None:
        with self._changes.of(tenant) as (connection, news):
            if unless is not None and (found := _rule(connection, name, tenant, lock=True)) is not None:
                unless(found)
            if connection.execute(_DELETE_RULE, (tenant, name)).rowcount == 0:
                raise unknown_rule(name)
            news.append(Notice("rules", tenant))

    def list(self, *, tenant: str) -> Sequence[Rule]:
        with self._changes.of(tenant) as (connection, _):
            return [Rule.model_validate(definition) for (definition,) in connection.execute(_RULES, (tenant,))]


def _rule(connection: Connection, name: str, tenant: str, *, lock: bool = False) -> Rule | None:
    row = connection.execute(f"{_RULE} FOR UPDATE" if lock else _RULE, (tenant, name)).fetchone()
    return None if row is None else Rule.model_validate(row[0])
