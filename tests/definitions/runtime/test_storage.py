"""Dagster's storage: pooled, in a schema of its own, otherwise as stock."""

from __future__ import annotations

import os
import select
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy

from definitions.runtime.lean.event_log import WriteBehindEventLogStorage
from definitions.runtime.runs import RunReader
from definitions.runtime.storage import PooledRunStorage, PooledScheduleStorage
from resources.errors import UnavailableError
from tests.definitions.runtime.conftest import dagster_url

if TYPE_CHECKING:
    from tests.definitions.runtime.conftest import Runtime

_TABLES = """
SELECT table_schema, array_agg(table_name::text) FROM information_schema.tables
WHERE table_schema NOT IN ('pg_catalog', 'information_schema') GROUP BY 1
"""
_PID = sqlalchemy.text("SELECT pg_backend_pid()")


def _backend(storage: PooledRunStorage) -> int:
    with storage.connect() as connection:
        return int(connection.execute(_PID).scalar_one())


def test_the_instance_file_makes_the_pooled_storages(runtime: Runtime) -> None:
    assert type(runtime.instance.run_storage) is PooledRunStorage
    assert type(runtime.instance.event_log_storage) is WriteBehindEventLogStorage
    assert type(runtime.instance.schedule_storage) is PooledScheduleStorage


def test_all_tables_of_dagster_are_in_its_own_schema(runtime: Runtime) -> None:
    assert runtime.instance.schedule_storage is not None
    with psycopg.connect(runtime.url) as connection:
        tables: dict[str, list[str]] = dict(connection.execute(_TABLES).fetchall())
    assert {"runs", "event_logs", "jobs", "job_ticks", "asset_keys", "alembic_version"} <= set(tables["dagster"])
    assert not tables.get("public")
    assert not {"runs", "event_logs", "alembic_version"} & set(tables["aiw"])


def test_a_schema_made_by_the_first_start_needs_no_migration(runtime: Runtime) -> None:
    storage = runtime.instance.run_storage
    assert isinstance(storage, PooledRunStorage)
    current, newest = storage.alembic_version()
    assert current == newest
    assert storage.has_run_stats_index_cols()


def test_processes_that_start_at_once_create_the_tables_once(empty_database_url: str) -> None:
    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA dagster")
    url = dagster_url(empty_database_url)
    with ThreadPoolExecutor(4) as threads:
        makers = (PooledRunStorage, WriteBehindEventLogStorage, PooledScheduleStorage, PooledRunStorage)
        storages = list(threads.map(lambda make: make(url), makers))
    assert len(storages) == 4
    for storage in storages:
        storage._engine.dispose()


def test_what_the_schema_has_is_not_asked_for_at_each_tick(runtime: Runtime) -> None:
    storage = runtime.instance.schedule_storage
    assert isinstance(storage, PooledScheduleStorage)
    asked: list[str] = []
    storage.all_instigator_state()
    with storage.connect() as connection:
        engine = connection.engine
    listener = (engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    sqlalchemy.event.listen(*listener)
    try:
        storage.all_instigator_state()
        storage.purge_ticks("no", "such", before=0.0)
    finally:
        sqlalchemy.event.remove(*listener)
    assert asked
    assert [statement for statement in asked if "pg_catalog" in statement or "secondary_indexes" in statement] == []


def test_statements_share_a_connection(runtime: Runtime) -> None:
    storage = runtime.instance.run_storage
    assert isinstance(storage, PooledRunStorage)
    assert _backend(storage) == _backend(storage)


def test_a_connection_that_the_server_closed_is_replaced(runtime: Runtime) -> None:
    storage = runtime.instance.run_storage
    assert isinstance(storage, PooledRunStorage)
    closed = _backend(storage)
    with psycopg.connect(runtime.url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 5000)", (closed,))
    assert _backend(storage) != closed


def test_a_forked_child_does_not_use_its_parents_connections(runtime: Runtime) -> None:
    storage = runtime.instance.run_storage
    assert isinstance(storage, PooledRunStorage)
    ours = _backend(storage)
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        reborn = PooledRunStorage(storage.postgres_url)
        os.write(writable, str(_backend(reborn)).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert int(os.read(readable, 32)) != ours
    assert _backend(storage) == ours
    os.close(readable)
    os.close(writable)


def test_every_event_is_announced(runtime: Runtime) -> None:
    with psycopg.connect(runtime.url, autocommit=True) as connection:
        connection.execute("LISTEN run_events")
        run = runtime.create("noting")
        runtime.instance.report_engine_event("something happened", run)
        assert select.select([connection], [], [], 10)[0]
        (note,) = connection.notifies(timeout=1, stop_after=1)
    assert note.payload.startswith(f"{run.run_id}_")


def test_a_dynamic_partition_is_seen_as_soon_as_it_exists(runtime: Runtime) -> None:
    instance = runtime.instance
    assert not instance.has_dynamic_partition("documents", "one")
    instance.add_dynamic_partitions("documents", ["one"])
    assert instance.has_dynamic_partition("documents", "one")


@pytest.mark.usefixtures("runtime")
def test_without_the_database_the_error_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dagster_postgres.utils.calculate_delay", lambda **_: 0)
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", "postgresql+psycopg2://nobody:x@127.0.0.1:1/none")
    with pytest.raises(UnavailableError):
        RunReader.open()
