"""Batches to PostgreSQL: events by COPY, values and changes of runs beside them, in one transaction of Dagster's connection.

Run-status sensors remember the id of the last job event that they saw. An id is given before its transaction commits, so a
transaction that takes its time could show a lower id after a higher one, and the sensor would never see it. Whoever writes job
or asset events, here or in `event_log.py`, therefore holds one lock from before the first id until the commit.
"""

from __future__ import annotations

import io
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg2
import sqlalchemy
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster_shared.serdes import serialize_value

from definitions.runtime.lean.rows import Encoded
from resources.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import Engine

    from definitions.runtime.lean.outbox import Batch
    from definitions.runtime.lean.rows import EventRow, OutputRow, RunUpdate

# A client that stops half-way must not keep the lock from all others.
IN_ORDER = """
SET LOCAL idle_in_transaction_session_timeout = '15s';
SELECT pg_advisory_xact_lock(7301402614)
"""
BEGIN = """
BEGIN;
INSERT INTO aiw.event_log_writers AS w (writer, batch) VALUES (%s, %s)
ON CONFLICT (writer) DO UPDATE SET batch = excluded.batch, written_at = now() WHERE w.batch < excluded.batch
RETURNING batch
"""
FORGET_WRITERS = "DELETE FROM aiw.event_log_writers WHERE written_at < now() - interval '1 day'"
COPY_EVENTS = "COPY event_logs (run_id, event, dagster_event_type, timestamp, step_key) FROM STDIN"
NOTIFY = """
SELECT pg_notify('run_events', run_id || '_' || currval(pg_get_serial_sequence('event_logs', 'id')))
FROM unnest(%s::text[]) AS run_id
"""
STORE_OUTPUTS = """
INSERT INTO aiw.node_outputs
    (tenant, run_id, step_key, output, mapping_key, codec, size, checksum, body, uri)
SELECT tenant, run_id, step_key, output, mapping_key, codec, size, checksum, decode(body, 'hex'), uri
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
            %s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[])
    AS row (tenant, run_id, step_key, output, mapping_key, codec, size, checksum, body, uri)
ON CONFLICT (run_id, step_key, output, mapping_key) DO UPDATE
SET codec = excluded.codec, size = excluded.size, checksum = excluded.checksum, body = excluded.body, uri = excluded.uri,
    created_at = now()
"""
STORE_OUTPUT = """
INSERT INTO aiw.node_outputs
    (tenant, run_id, step_key, output, mapping_key, codec, size, checksum, body, uri)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (run_id, step_key, output, mapping_key) DO UPDATE
SET codec = excluded.codec, size = excluded.size, checksum = excluded.checksum, body = excluded.body, uri = excluded.uri,
    created_at = now()
"""
READ_OUTPUT = """
SELECT codec, checksum, body, uri FROM aiw.node_outputs
WHERE run_id = %s AND step_key = %s AND output = %s AND mapping_key = %s AND (%s::text IS NULL OR tenant = %s)
"""
RUNS_WITH_OLD_OUTPUTS = """
SELECT run_id, array_remove(array_agg(uri), NULL) FROM aiw.node_outputs
WHERE run_id IN (SELECT DISTINCT run_id FROM aiw.node_outputs WHERE created_at < %(before)s)
GROUP BY run_id HAVING max(created_at) < %(before)s LIMIT %(limit)s
"""
URIS_OF_RUN = "SELECT uri FROM aiw.node_outputs WHERE run_id = %s AND uri IS NOT NULL"
DELETE_OUTPUTS = "DELETE FROM aiw.node_outputs WHERE run_id = ANY(%s)"
COLUMNS = """
SELECT column_name::text FROM information_schema.columns
WHERE table_schema = current_schema() AND table_name = 'event_logs'
"""
OUR_TABLES = "SELECT to_regclass('aiw.node_outputs') IS NOT NULL AND to_regclass('aiw.event_log_writers') IS NOT NULL"
UPDATE_RUN = """
UPDATE runs SET status = %s, {column} = %s, update_timestamp = %s, run_body = regexp_replace(run_body, %s, %s)
WHERE run_id = %s AND status = ANY(%s)
"""
STATUS_PATTERN = r'"status": \{"__enum__": "PipelineRunStatus\.[A-Z_]+"\}'

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_NULL = r"\N"


class PostgresCourier:
    """Delivers over the connections of one engine, which are in autocommit mode."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine

    def deliver(self, batch: Batch, *, durable: bool) -> None:
        text = "".join(map(_line, batch.events))
        with self._connection() as connection, connection.cursor() as cursor:
            cursor.execute(BEGIN, (str(batch.writer), batch.number))
            if cursor.fetchone() is None:
                cursor.execute("ROLLBACK")  # it had been committed, and the confirmation was lost
                return
            if durable:
                cursor.execute("SET LOCAL synchronous_commit = on")
            if batch.number == 1:
                cursor.execute(FORGET_WRITERS)
            if batch.outputs:
                cursor.execute(STORE_OUTPUTS, _columns(batch.outputs))
            if any(event.of_job for event in batch.events):
                cursor.execute(IN_ORDER)
            if batch.events:
                cursor.copy_expert(COPY_EVENTS, io.StringIO(text))
                cursor.execute(NOTIFY, (sorted({event.run_id for event in batch.events}),))
            for update in batch.updates:
                cursor.execute(UPDATE_RUN.format(column=update.column), _changes(update))
            self._commit(cursor)

    def _commit(self, cursor: Any) -> None:
        cursor.execute("COMMIT")

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        """A connection of the pool; one that something went wrong on is not given back."""
        try:
            connection = self._engine().raw_connection()
            try:
                yield connection
            except BaseException:
                connection.invalidate()
                raise
            connection.close()
        except (
            psycopg2.OperationalError,
            psycopg2.InterfaceError,
            psycopg2.errors.IdleInTransactionSessionTimeout,
            sqlalchemy.exc.OperationalError,
            sqlalchemy.exc.InterfaceError,
            sqlalchemy.exc.TimeoutError,
        ) as error:
            raise UnavailableError(
                f"The event log cannot be written: {error}".strip(), dependency="database"
            ) from error


def escaped(json: str) -> Encoded:
    """JSON as COPY wants it."""
    return Encoded(json.translate(_ESCAPES))


def _line(row: EventRow) -> str:
    event = row.event if isinstance(row.event, Encoded) else escaped(serialize_value(row.event))
    step_key = row.step_key.translate(_ESCAPES) if row.step_key else _NULL
    return f"{row.run_id}\t{event}\t{row.type or _NULL}\t{_time(row.timestamp).isoformat(' ')}\t{step_key}\n"


def _time(seconds: float) -> datetime:
    """As Dagster stores it: UTC, without saying so."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def _columns(rows: list[OutputRow]) -> tuple[list[Any], ...]:
    latest = {(row.run_id, row.step_key, row.output, row.mapping_key): row for row in rows}
    as_text = [row._replace(body=row.body.hex()) if row.body is not None else row for row in latest.values()]  # type: ignore[arg-type]
    return tuple(map(list, zip(*as_text, strict=True)))


def _changes(update: RunUpdate) -> tuple[Any, ...]:
    status = serialize_value(DagsterRunStatus(update.status))
    return (
        *(update.status, update.timestamp, _time(update.timestamp), STATUS_PATTERN, f'"status": {status}'),
        *(update.run_id, list(update.allowed)),
    )
