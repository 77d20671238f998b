"""MCP servers of tenants in PostgreSQL (migration 0102)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg.types.json import Jsonb

from resources.errors import UnavailableError
from resources.mcp.store import StoredServer, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from resources.database.postgres import Connection, Database

_AS_TENANT = "SELECT set_config('role', 'aiw_app', true), set_config('aiw.tenant', %s, true)"
_SAVE = """INSERT INTO aiw.mcp_server (tenant, name, config, sealed, changed_at) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (tenant, name) DO UPDATE SET config = excluded.config, sealed = excluded.sealed,
        changed_at = excluded.changed_at
    RETURNING old.name IS NULL"""
_ALL = "SELECT tenant, name, config, sealed, changed_at FROM aiw.mcp_server WHERE tenant = %s ORDER BY name"
_REMOVE = "DELETE FROM aiw.mcp_server WHERE tenant = %s AND name = %s"


class PostgresServers:
    """Safe to share between threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, server: StoredServer) -> bool:
        row = (server.tenant, server.name, Jsonb(server.config), server.sealed, server.changed_at)
        with self._as(server.tenant) as connection:
            found = connection.execute(_SAVE, row).fetchone()
        assert found is not None  # it is inserted or updated
        return bool(found[0])

    def all(self, *, tenant: str) -> Sequence[StoredServer]:
        with self._as(tenant) as connection:
            return [StoredServer(*row) for row in connection.execute(_ALL, (tenant,))]

    def remove(self, name: str, *, tenant: str) -> None:
        with self._as(tenant) as connection:
            if not connection.execute(_REMOVE, (tenant, name)).rowcount:
                raise unknown(name)

    @contextmanager
    def _as(self, tenant: str) -> Iterator[Connection]:
        with self._database.transaction() as connection:
            try:
                connection.execute(_AS_TENANT, (tenant,))
                yield connection
            except psycopg.OperationalError as error:
                raise UnavailableError(
                    "The MCP servers of the tenant cannot be read. Try again.", dependency="database"
                ) from error
