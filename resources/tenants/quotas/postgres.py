"""Quotas in PostgreSQL (migration 0053)."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import TYPE_CHECKING

from resources.tenants.quotas.model import Consumption, runs_exceeded, storage_exceeded

if TYPE_CHECKING:
    from datetime import datetime

    from resources.database.postgres import Database

_AS_TENANT = "SELECT set_config('role', 'aiw_app', true), set_config('aiw.tenant', %s, true)"
_AS_SYSTEM = "SELECT set_config('role', 'aiw_system', true)"
_TAKE_RUN = "SELECT taken, most FROM aiw.take_run(%s, %s)"
_GIVE_BACK = "UPDATE aiw.tenant_runs SET runs = runs - 1 WHERE tenant = %s AND day = %s"
_ROOM = """SELECT (t.limits ->> 'storage_bytes')::bigint, coalesce(s.bytes, 0) FROM aiw.tenant t
    LEFT JOIN aiw.tenant_storage s ON s.tenant = t.id WHERE t.id = %s"""
_RUNS = "SELECT runs FROM aiw.tenant_runs WHERE tenant = %s AND day = %s"
_STORAGE = "SELECT documents, bytes FROM aiw.tenant_storage WHERE tenant = %s"
_SOCKETS = """SELECT count(*) FROM aiw.presence_device d JOIN aiw.realtime_hub h ON h.hub = d.hub
    WHERE d.tenant = %s AND h.seen_at > %s"""
_SILENT = timedelta(seconds=20)


class PostgresQuotas:
    """Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def take_run(self, tenant: str, *, now: datetime) -> None:
        with self._database.transaction() as connection:
            taken, most = connection.execute(_TAKE_RUN, (tenant, now.astimezone(UTC).date())).fetchone() or (True, None)
        if not taken:
            raise runs_exceeded(tenant, most, now=now)

    def give_back_run(self, tenant: str, *, now: datetime) -> None:
        with self._database.transaction() as connection:
            connection.execute(_AS_TENANT, (tenant,))
            connection.execute(_GIVE_BACK, (tenant, now.astimezone(UTC).date()))

    def check_room(self, tenant: str, more_bytes: int) -> None:
        with self._database.transaction() as connection:
            connection.execute(_AS_TENANT, (tenant,))
            most, held = connection.execute(_ROOM, (tenant,)).fetchone() or (None, 0)
        if most is not None and more_bytes > 0 and held + more_bytes > most:
            raise storage_exceeded(tenant, most)

    def consumption(self, tenant: str, *, now: datetime) -> Consumption:
        with self._database.transaction() as connection:
            connection.execute(_AS_SYSTEM)
            (runs,) = connection.execute(_RUNS, (tenant, now.astimezone(UTC).date())).fetchone() or (0,)
            documents, held = connection.execute(_STORAGE, (tenant,)).fetchone() or (0, 0)
            (sockets,) = connection.execute(_SOCKETS, (tenant, now - _SILENT)).fetchone() or (0,)
        return Consumption(runs_today=runs, documents=documents, storage_bytes=held, sockets=sockets)
