"""Schemas of tenants' own in PostgreSQL (migration 0130).

Attaching a partition looks through the whole default partition, to be sure that no row of it belongs into the new one, and
nobody can read it meanwhile. A constraint that says so makes that needless, and checking the constraint stands in nobody's
way. What is left are locks of milliseconds. Where one is not had at once it is asked for again: whoever waits for a table
that somebody reads for long makes all who come later wait behind.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from psycopg import errors, sql

from resources.errors import ConflictError, UnavailableError
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.database.postgres import Connection, Database

log = get_logger(__name__)

_ALONE = "SELECT pg_advisory_lock(7301402651)"
_PATIENCE = "SELECT set_config('lock_timeout', '2s', false), set_config('statement_timeout', '0', false)"
_EXISTS = "SELECT to_regnamespace(%s) IS NOT NULL"
_MAKE = "SELECT aiw.make_schema(%s)"
_LOOSE = """SELECT p.name, p.common::text FROM aiw.partitioned_by_tenant p
    JOIN pg_class c ON c.relname = p.name AND c.relnamespace = to_regnamespace(%s) WHERE NOT c.relispartition"""
_PROMISE = "ALTER TABLE {common} ADD CONSTRAINT apart CHECK (tenant <> {tenant}) NOT VALID"
_CHECK = "ALTER TABLE {common} VALIDATE CONSTRAINT apart"
_ATTACH = "ALTER TABLE aiw.{name} ATTACH PARTITION {schema}.{name} FOR VALUES IN ({tenant})"
_FORGET = "ALTER TABLE {common} DROP CONSTRAINT IF EXISTS apart"
_DROP = "DROP SCHEMA IF EXISTS {schema} CASCADE"
_ATTEMPTS = 10
_PAUSE = 0.2


class PostgresSchemas:
    """Safe to share between threads and processes: one of them changes schemas at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def make(self, tenant: str) -> None:
        schema = _schema(tenant)
        with self._alone() as connection:
            fresh = connection.execute(_EXISTS, (_quoted(schema),)).fetchone() == (False,)
            if fresh:
                connection.execute(_MAKE, (tenant,))
            for name, common in connection.execute(_LOOSE, (_quoted(schema),)).fetchall():
                names = {
                    "name": sql.Identifier(name),
                    "common": sql.SQL(common),
                    "schema": sql.Identifier(schema),
                    "tenant": sql.Literal(tenant),
                }
                _persist(connection, _FORGET, names)  # of one who was interrupted
                try:
                    _persist(connection, _PROMISE, names)
                    _persist(connection, _CHECK, names)
                    _persist(connection, _ATTACH, names)
                except errors.CheckViolation as error:
                    if fresh:
                        _persist(connection, _DROP, names)
                    message = f"{tenant!r} has content among that of the other tenants; only a new one can live apart."
                    raise ConflictError(message, code="tenant_has_rows") from error
                finally:
                    _persist(connection, _FORGET, names)
        log.info("tenant.schema_made", tenant=tenant, schema=schema)

    def drop(self, tenant: str) -> None:
        with self._alone() as connection:
            _persist(connection, _DROP, {"schema": sql.Identifier(_schema(tenant))})
        log.info("tenant.schema_dropped", tenant=tenant, schema=_schema(tenant))

    @contextmanager
    def _alone(self) -> Iterator[Connection]:
        with self._database.connect() as connection:
            connection.execute(_ALONE)
            connection.execute(_PATIENCE)
            yield connection


def _persist(connection: Connection, statement: str, names: dict[str, Any]) -> None:
    """Run it, again where others are in the way."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            connection.execute(sql.SQL(statement).format(**names))
        except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
            if attempt == _ATTEMPTS:
                message = "The tables of the tenants are in use without a pause. Try again."
                raise UnavailableError(message, dependency="database") from error
            time.sleep(_PAUSE * attempt)
        else:
            return


def _schema(tenant: str) -> str:
    return f"tenant_{tenant}"


def _quoted(schema: str) -> str:
    """As `to_regnamespace` reads it; ids of tenants have no quotation marks."""
    return f'"{schema}"'
