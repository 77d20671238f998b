"""Routing rules in PostgreSQL (migration 0014)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from resources.errors import NotFoundError
from resources.events import envelope
from resources.events.model import DEFAULT_TENANT
from resources.events.postgres import AS_SYSTEM, AS_TENANT, in_our_words
from resources.events.routing.model import Rule, StoredRule

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resources.database.postgres import Database

_COLUMNS = "tenant, version, enabled, definition, changed_by, changed_at"
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 7301402614))"
_SAVE = f"""INSERT INTO aiw.event_rule (tenant, name, version, enabled, definition, changed_by)
    VALUES (%s, %s, %s, %s, %s, %s) RETURNING {_COLUMNS}"""
_VERSIONS = f"SELECT {_COLUMNS} FROM aiw.event_rule WHERE tenant = %s AND name = %s ORDER BY version DESC"
_NEWEST = f"""SELECT DISTINCT ON (tenant, name) {_COLUMNS} FROM aiw.event_rule
    WHERE %(tenant)s::text IS NULL OR tenant = %(tenant)s ORDER BY tenant, name, version DESC"""

_HISTORY = f"SELECT {_COLUMNS} FROM aiw.event_rule ORDER BY tenant, name, version"


class PostgresRules:
    """Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(
        self,
        rule: Rule,
        *,
        enabled: bool = True,
        changed_by: str | None = None,
        unless: Callable[[StoredRule | None], None] | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> StoredRule:
        envelope.check_tenant(tenant)
        with self._database.transaction() as connection, in_our_words():
            connection.execute(AS_TENANT, (tenant,))
            connection.execute(_LOCK, (f"{tenant}/{rule.name}",))
            found = connection.execute(_VERSIONS, (tenant, rule.name)).fetchone()
            newest = None if found is None else _stored(found)
            if unless is not None:
                unless(newest)
            if newest is not None and (newest.rule, newest.enabled) == (rule, enabled):
                return newest
            version = 1 if newest is None else newest.version + 1
            definition = Jsonb(rule.model_dump(mode="json"))
            row = connection.execute(_SAVE, (tenant, rule.name, version, enabled, definition, changed_by)).fetchone()
            assert row is not None  # an INSERT without ON CONFLICT returns its row
            return _stored(row)

    def get(self, name: str, *, version: int | None = None, tenant: str = DEFAULT_TENANT) -> StoredRule:
        for stored in self.versions(name, tenant=tenant):
            if version in {None, stored.version}:
                return stored
        raise NotFoundError(f"There is no version {version} of the rule {name!r}.")

    def versions(self, name: str, *, tenant: str = DEFAULT_TENANT) -> Sequence[StoredRule]:
        with self._database.transaction() as connection, in_our_words():
            connection.execute(AS_TENANT, (tenant,))
            found = [_stored(row) for row in connection.execute(_VERSIONS, (tenant, name))]
        if not found:
            raise NotFoundError(f"There is no rule {name!r}.")
        return found

    def list(self, *, tenant: str | None = DEFAULT_TENANT) -> Sequence[StoredRule]:
        with self._database.transaction() as connection, in_our_words():
            if tenant is None:
                connection.execute(AS_SYSTEM)
            else:
                connection.execute(AS_TENANT, (tenant,))
            return [_stored(row) for row in connection.execute(_NEWEST, {"tenant": tenant})]

    def history(self) -> Sequence[StoredRule]:
        with self._database.transaction() as connection, in_our_words():
            connection.execute(AS_SYSTEM)
            return [_stored(row) for row in connection.execute(_HISTORY)]


def _stored(row: tuple[Any, ...]) -> StoredRule:
    tenant, version, enabled, definition, changed_by, changed_at = row
    return StoredRule(tenant, version, enabled, Rule.model_validate(definition), changed_by, changed_at)
