"""Plugins in PostgreSQL (migration 0110)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from resources.plugins.model import Manifest, Plugin, PluginLimits, PluginRun
from resources.plugins.store import unknown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from resources.database.postgres import Connection, Database

_WITHOUT_WAIT = "SELECT set_config('synchronous_commit', 'off', true)"
_INSTALL = """INSERT INTO aiw.plugin
        (tenant, name, sha256, module, manifest, installed_at, changed_at, enabled, grants, config, limits)
    VALUES (%(tenant)s, %(name)s, %(sha256)s, %(module)s, %(manifest)s, %(installed_at)s, %(changed_at)s, %(enabled)s,
        %(grants)s, %(config)s, %(limits)s)
    ON CONFLICT (tenant, name) DO UPDATE SET sha256 = excluded.sha256, module = excluded.module,
        manifest = excluded.manifest, installed_at = excluded.installed_at, changed_at = excluded.changed_at,
        enabled = excluded.enabled, grants = excluded.grants, config = excluded.config, limits = excluded.limits"""
_CHANGE = """UPDATE aiw.plugin SET changed_at = %(changed_at)s, enabled = %(enabled)s, grants = %(grants)s,
        config = %(config)s, limits = %(limits)s
    WHERE tenant = %(tenant)s AND name = %(name)s"""
_COLUMNS = "manifest, sha256, octet_length(module), installed_at, changed_at, enabled, grants, config, limits"
_GET = f"SELECT {_COLUMNS} FROM aiw.plugin WHERE tenant = %s AND name = %s"
_MODULE = "SELECT module FROM aiw.plugin WHERE tenant = %s AND sha256 = %s LIMIT 1"
_LIST = f"SELECT {_COLUMNS} FROM aiw.plugin WHERE tenant = %s ORDER BY name"
_REMOVE = "DELETE FROM aiw.plugin WHERE tenant = %s AND name = %s"
_RUN = """id, plugin, sha256, at, outcome, milliseconds, input_bytes, output_bytes, fuel, memory_bytes, cached, run_id,
    logs"""
_RECORD = f"""INSERT INTO aiw.plugin_run (tenant, {_RUN})
    SELECT %(tenant)s, %(id)s, %(plugin)s, %(sha256)s, %(at)s, %(outcome)s, %(milliseconds)s, %(input_bytes)s,
        %(output_bytes)s, %(fuel)s, %(memory_bytes)s, %(cached)s, %(run_id)s, %(logs)s
    WHERE EXISTS (SELECT FROM aiw.plugin WHERE tenant = %(tenant)s AND name = %(plugin)s)"""
_RUNS = f"SELECT {_RUN} FROM aiw.plugin_run WHERE tenant = %s AND plugin = %s ORDER BY at DESC, id DESC LIMIT %s"
_FORGET = "DELETE FROM aiw.plugin_run WHERE at < %s"


class PostgresPlugins:
    """Safe to share between threads and processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, plugin: Plugin, module: bytes | None, *, tenant: str) -> None:
        row = {
            "tenant": tenant,
            "name": plugin.name,
            "sha256": plugin.sha256,
            "module": module,
            "manifest": Jsonb(plugin.manifest.model_dump(mode="json")),
            "installed_at": plugin.installed_at,
            "changed_at": plugin.changed_at,
            "enabled": plugin.enabled,
            "grants": list(plugin.grants),
            "config": Jsonb(dict(plugin.config)),
            "limits": Jsonb(plugin.limits.model_dump(mode="json")),
        }
        with self._as(tenant) as connection:
            if module is not None:
                connection.execute(_INSTALL, row)
            elif not connection.execute(_CHANGE, row).rowcount:
                raise unknown(plugin.name)

    def get(self, name: str, *, tenant: str, lock: bool = False) -> Plugin:
        with self._as(tenant) as connection:
            row = connection.execute(f"{_GET} FOR UPDATE" if lock else _GET, (tenant, name)).fetchone()
        if row is None:
            raise unknown(name)
        return _plugin(row)

    def module(self, sha256: str, *, tenant: str) -> bytes:
        with self._as(tenant) as connection:
            row = connection.execute(_MODULE, (tenant, sha256), binary=True).fetchone()
        if row is None:
            raise unknown(sha256)
        return bytes(row[0])

    def list(self, *, tenant: str) -> Sequence[Plugin]:
        with self._as(tenant) as connection:
            return [_plugin(row) for row in connection.execute(_LIST, (tenant,))]

    def remove(self, name: str, *, tenant: str) -> None:
        with self._as(tenant) as connection:
            if not connection.execute(_REMOVE, (tenant, name)).rowcount:
                raise unknown(name)

    def record(self, run: PluginRun, *, tenant: str) -> None:
        row = {name: getattr(run, name) for name in PluginRun.__dataclass_fields__}
        with self._as(tenant) as connection:
            connection.execute(_WITHOUT_WAIT)
            connection.execute(_RECORD, {**row, "tenant": tenant, "logs": Jsonb(run.logs)})

    def runs(self, name: str, *, tenant: str, limit: int = 50) -> Sequence[PluginRun]:
        with self._as(tenant) as connection:
            rows = connection.execute(_RUNS, (tenant, name, limit)).fetchall()
        return [PluginRun(**dict(zip(_RUN_FIELDS, row[:-1], strict=True)), logs=_lines(row[-1])) for row in rows]

    def forget(self, *, before: datetime) -> int:
        with self._as(None) as connection:
            return connection.execute(_FORGET, (before,)).rowcount

    def _as(self, tenant: str | None) -> AbstractContextManager[Connection]:
        return self._database.scoped(tenant, "the plugins")


_RUN_FIELDS = [name.strip() for name in _RUN.split(",")][:-1]


def _plugin(row: tuple[Any, ...]) -> Plugin:
    manifest, sha256, size, installed_at, changed_at, enabled, grants, config, limits = row
    return Plugin(
        manifest=Manifest.model_validate(manifest),
        sha256=sha256,
        size_bytes=size,
        installed_at=installed_at,
        changed_at=changed_at,
        enabled=enabled,
        grants=tuple(grants),
        config=config,
        limits=PluginLimits.model_validate(limits),
    )


def _lines(logs: list[list[str]]) -> tuple[tuple[str, str], ...]:
    return tuple((level, line) for level, line in logs)
