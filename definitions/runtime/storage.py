"""Dagster's storage on PostgreSQL, with connections that are kept.

The stock classes open a connection for every statement (NullPool), which is more than half of what a short run costs. These
share one small pool a process and URL, and differ in nothing else: same tables, same SQL, same NOTIFY. Two details matter:

* The stock `from_config_value` names its own class, so a subclass that does not replace it is never made.
* A pooled connection can be dead (the server was restarted). Asking it costs a round trip a statement; looking whether its
  socket has become readable, which an idle connection's never is, costs a microsecond. That is done on every checkout.

The tables live where the URL's `search_path` says (`options=-csearch_path%3Ddagster`), away from the platform's own.
Depends on private parts of the pinned release: `_engine`, `_token_provider`, `create_pg_engine`.
"""

from __future__ import annotations

import os
import select
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sqlalchemy
from dagster import AssetKey, DagsterEventType
from dagster._core.storage.event_log import SqlEventLogStorage, SqlEventLogStorageTable
from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from dagster_postgres.utils import (
    DagsterPostgresException,
    create_pg_engine,
    get_token_provider_from_config,
    pg_url_from_config,
)
from sqlalchemy.exc import DBAPIError, DisconnectionError

from definitions.runtime.lean.outbox import OUTBOXES
from resources.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from contextlib import AbstractContextManager
    from typing import Self

    from dagster import DagsterInstance
    from dagster._serdes import ConfigurableClassData
    from sqlalchemy.engine import Connection, Engine

POOL_SIZE = 4
MAX_OVERFLOW = 16
POOL_RECYCLE_SECONDS = 1800
PARTITION_SECONDS = 1.0

_CREATION_LOCK_KEY = 7301402613


class _Engines:
    """The pools of this process. A forked child forgets its parent's connections without closing them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_url: dict[str, Engine] = {}
        self.synchronous_commit = True
        os.register_at_fork(after_in_child=self._forget)

    def get(self, url: str, token_provider: Any) -> Engine:
        with self._lock:
            engine = self._by_url.get(url)
            if engine is None:
                engine = self._by_url[url] = create_pg_engine(
                    url,
                    token_provider,
                    isolation_level="AUTOCOMMIT",
                    pool_size=POOL_SIZE,
                    max_overflow=MAX_OVERFLOW,
                    pool_recycle=POOL_RECYCLE_SECONDS,
                )
                sqlalchemy.event.listen(engine, "connect", self._prepare)
                sqlalchemy.event.listen(engine, "checkout", _refuse_dead)
            return engine

    def _prepare(self, connection: Any, _record: object) -> None:
        if not self.synchronous_commit:
            with connection.cursor() as cursor:
                cursor.execute("SET synchronous_commit = off")

    def _forget(self) -> None:
        self._lock = threading.Lock()
        for engine in self._by_url.values():
            engine.dispose(close=False)
        self._by_url = {}


_engines = _Engines()


def shared_engine(url: str, token_provider: Any = None) -> Engine:
    """The pool of this process for `url`, in autocommit mode."""
    return _engines.get(url, token_provider)


_found_tables: set[tuple[type, str]] = set()
_known_facts: set[tuple[str, str]] = set()


def commit_without_waiting() -> None:
    """From now on, new connections of this process do not wait for the disk after each event.

    For processes whose work is confirmed by a later, waiting commit: a worker's run counts as done when its row leaves the
    run queue, and that commit makes everything before it durable too. A crash of the *database server* may lose the
    last fraction of a second of an unfinished run's log; a crash of the worker loses nothing.
    """
    _engines.synchronous_commit = False


def _refuse_dead(connection: Any, _record: object, _proxy: object) -> None:
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN)
    if poller.poll(0):
        raise DisconnectionError  # the pool answers by opening a new connection


@contextmanager
def in_our_words() -> Iterator[None]:
    """Turns what Dagster's storage raises when it is out of reach into an UnavailableError."""
    try:
        yield
    except (DBAPIError, DagsterPostgresException) as error:
        raise UnavailableError("Dagster's storage cannot be reached.", dependency="database") from error


@contextmanager
def _creation_lock(url: str) -> Iterator[None]:
    """One process creates the tables, the others find them: several start at once on an empty database."""
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.pool.NullPool)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.select(sqlalchemy.func.pg_advisory_lock(_CREATION_LOCK_KEY)))
        yield  # closing the connection releases the lock


class _Pooled:
    """Mixed in before a stock storage: same arguments, pooled engine."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
        token_provider: Any = None,
    ) -> None:
        # Servers make an instance for each tick of each sensor: the tables are looked for once a process, not every time.
        if (type(self), postgres_url) in _found_tables:
            super().__init__(postgres_url, False, inst_data, token_provider)  # type: ignore[call-arg]
        else:
            with _creation_lock(postgres_url):
                super().__init__(postgres_url, should_autocreate_tables, inst_data, token_provider)  # type: ignore[call-arg]
            _found_tables.add((type(self), postgres_url))
        self.should_autocreate_tables = should_autocreate_tables
        self._engine = _engines.get(postgres_url, token_provider)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        return cls(
            pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            inst_data=inst_data,
            token_provider=get_token_provider_from_config(config_value),
        )

    def _once_true(self, fact: str, ask: Callable[[], bool]) -> bool:
        """Whether `fact` about the schema holds. Stock asks the catalogue on every write; a column never goes away."""
        known = (self.postgres_url, fact)  # type: ignore[attr-defined]  # set by the stock class
        if known not in _known_facts and ask():
            _known_facts.add(known)
        return known in _known_facts


def materialised(instance: DagsterInstance, run_ids: Collection[str]) -> dict[str, set[AssetKey]]:
    """What each of these runs has made. Dagster itself only tells it run by run."""
    storage = instance.event_log_storage
    assert isinstance(storage, SqlEventLogStorage)
    events = SqlEventLogStorageTable.c
    made: dict[str, set[AssetKey]] = {run_id: set() for run_id in run_ids}
    asked = sqlalchemy.select(events.run_id, events.asset_key).where(
        events.run_id.in_(list(made)),
        events.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION.value,
        events.asset_key.is_not(None),
    )
    if made:
        with storage.index_connection() as connection:
            for run_id, text in connection.execute(asked.distinct()):
                if (key := AssetKey.from_db_string(text)) is not None:
                    made[run_id].add(key)
    return made


class PooledRunStorage(_Pooled, PostgresRunStorage):
    """Runs, snapshots, backfills and heartbeats."""

    def connect(self) -> AbstractContextManager[Connection]:
        """Every statement goes through here: it sees the changes of runs that this process has still on their way."""
        OUTBOXES.write_updates(self.postgres_url)
        return super().connect()

    def has_run_stats_index_cols(self) -> bool:
        return self._once_true("run_stats", super().has_run_stats_index_cols)

    def has_bulk_actions_selector_cols(self) -> bool:
        return self._once_true("bulk_selector", super().has_bulk_actions_selector_cols)

    def has_backfill_id_column(self) -> bool:
        return self._once_true("backfill_id", super().has_backfill_id_column)

    def has_bulk_action_job_name_column(self) -> bool:
        return self._once_true("bulk_job_name", super().has_bulk_action_job_name_column)

    def has_backfill_tags_table(self) -> bool:
        return self._once_true("backfill_tags", super().has_backfill_tags_table)


class PooledEventLogStorage(_Pooled, PostgresEventLogStorage):
    """Events, asset index, dynamic partitions and concurrency slots."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._partition_seen: dict[tuple[str, str], float] = {}
        super().__init__(*args, **kwargs)

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        ask = super()._has_asset_key_col_on_connection
        return self._once_true(f"asset_keys.{column_name}", lambda: ask(conn, column_name))

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        """Asked four times an asset for the run's own partition, which then is there: a yes is believed for a moment."""
        key = (partitions_def_name, partition_key)
        now = time.monotonic()
        if self._partition_seen.get(key, 0.0) < now - PARTITION_SECONDS:
            if not super().has_dynamic_partition(partitions_def_name, partition_key):
                return False
            self._partition_seen = {key: now}
        return True

    def has_table(self, table_name: str) -> bool:
        ask = super().has_table
        return self._once_true(f"table {table_name}", lambda: ask(table_name))


class PooledScheduleStorage(_Pooled, PostgresScheduleStorage):
    """Schedules, sensors and their ticks."""

    def _has_instigators_table(self, conn: Connection) -> bool:
        ask = super()._has_instigators_table
        return self._once_true("instigators", lambda: ask(conn))

    def has_instigators_table(self) -> bool:
        return self._once_true("instigators", super().has_instigators_table)

    def has_built_index(self, migration_name: str) -> bool:
        ask = super().has_built_index
        return self._once_true(f"schedules' index {migration_name}", lambda: ask(migration_name))
