"""MCP servers of tenants, and their logins to servers, in PostgreSQL (migrations 0102 and 0145)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg.types.json import Jsonb

from resources.errors import UnavailableError
from resources.mcp.store import StoredServer, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from resources.database.postgres import Connection, Database

_AS_TENANT = "SELECT set_config('role', 'aiw_app', true), set_config('aiw.tenant', %s, true)"
_SAVE = """INSERT INTO aiw.mcp_server (tenant, name, config, sealed, changed_at) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (tenant, name) DO UPDATE SET config = excluded.config, sealed = excluded.sealed,
        changed_at = excluded.changed_at
    RETURNING old.name IS NULL"""
_ALL = "SELECT tenant, name, config, sealed, changed_at FROM aiw.mcp_server WHERE tenant = %s ORDER BY name"
_LOCKED = """SELECT tenant, name, config, sealed, changed_at FROM aiw.mcp_server WHERE tenant = %s AND name = %s
    FOR UPDATE"""
_REMOVE = "DELETE FROM aiw.mcp_server WHERE tenant = %s AND name = %s"
_SAVE_LOGIN = """INSERT INTO aiw.mcp_login (tenant, server, sealed) VALUES (%s, %s, %s)
    ON CONFLICT (tenant, server) DO UPDATE SET sealed = excluded.sealed, claimed_until = NULL"""
_LOGIN = "SELECT sealed FROM aiw.mcp_login WHERE tenant = %s AND server = %s"
_CLAIM_LOGIN = """UPDATE aiw.mcp_login SET claimed_until = now() + make_interval(secs => %s)
    WHERE tenant = %s AND server = %s AND (claimed_until IS NULL OR claimed_until < now())"""
_REMOVE_LOGIN = "DELETE FROM aiw.mcp_login WHERE tenant = %s AND server = %s"


class PostgresServers:
    """Safe to share between threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, server: StoredServer, *, unless: Callable[[StoredServer | None], None] | None = None) -> bool:
        row = (server.tenant, server.name, Jsonb(server.config), server.sealed, server.changed_at)
        with self._as(server.tenant) as connection:
            if unless is not None:
                unless(_locked(connection, server.name, server.tenant))
            found = connection.execute(_SAVE, row).fetchone()
        assert found is not None  # it is inserted or updated
        return bool(found[0])

    def all(self, *, tenant: str) -> Sequence[StoredServer]:
        with self._as(tenant) as connection:
            return [StoredServer(*row) for row in connection.execute(_ALL, (tenant,))]

    def remove(self, name: str, *, tenant: str, unless: Callable[[StoredServer | None], None] | None = None) -> None:
        with self._as(tenant) as connection:
            if unless is not None and (found := _locked(connection, name, tenant)) is not None:
                unless(found)
            if not connection.execute(_REMOVE, (tenant, name)).rowcount:
                raise unknown(name)
            connection.execute(_REMOVE_LOGIN, (tenant, name))

    def save_login(self, server: str, sealed: bytes, *, tenant: str) -> None:
        with self._as(tenant) as connection:
            connection.execute(_SAVE_LOGIN, (tenant, server, sealed))

    def login(self, server: str, *, tenant: str) -> bytes | None:
        with self._as(tenant) as connection:
            found = connection.execute(_LOGIN, (tenant, server)).fetchone()
        return None if found is None else bytes(found[0])

    def claim_login(self, server: str, *, tenant: str, seconds: float) -> bool:
        with self._as(tenant) as connection:
            return bool(connection.execute(_CLAIM_LOGIN, (seconds, tenant, server)).rowcount)

    def remove_login(self, server: str, *, tenant: str) -> bool:
        with self._as(tenant) as connection:
            return bool(connection.execute(_REMOVE_LOGIN, (tenant, server)).rowcount)

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


def _locked(connection: Connection, name: str, tenant: str) -> StoredServer | None:
    row = connection.execute(_LOCKED, (tenant, name)).fetchone()
    return None if row is None else StoredServer(*row)
