"""The event store in PostgreSQL. The promises are kept by the database itself: see migrations 0001 and following.

Order costs a lock: whoever appends holds one advisory lock from taking positions until the commit has reached the disk. A
single append is one round trip and holds it for about the time of one disk flush; a batch (`writer.py`) shares one flush
among all its events. In exchange any position is a safe cursor, with no waiting, gap-watching or xmin arithmetic for readers,
and a long transaction elsewhere in the database does not hold back new events.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import orjson
import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.types.string import ByteaBinaryLoader

from resources.errors import UnavailableError
from resources.events import arrays, envelope
from resources.events.catalog import CATALOG
from resources.events.listener import Listener
from resources.events.model import (
    DEFAULT_TENANT,
    Appended,
    EventMetadata,
    Expected,
    RecordedEvent,
    StreamAppend,
    StreamId,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from resources.database.postgres import Connection, Database
    from resources.events.envelope import PreparedAppend
    from resources.events.model import NewEvent
    from resources.events.schema import Catalog

AS_TENANT = "SELECT set_config('role', 'aiw_app', true), set_config('aiw.tenant', %s, true)"
AS_SYSTEM = "SELECT set_config('role', 'aiw_system', true)"

COLUMNS = """position, event_id, tenant, stream_type, stream_id, version, type, schema_version, data, metadata, occurred_at,
    recorded_at, encode(checksum, 'hex')"""

_APPEND = """SELECT outcome, failed_stream, heads, first_position, recorded FROM aiw.append_events(
    %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b)"""
_STREAM = f"""SELECT {COLUMNS} FROM aiw.event
    WHERE tenant = %(tenant)s AND stream_type = %(type)s AND stream_id = %(id)s AND version > %(after)s"""
_ALL = f"SELECT {COLUMNS} FROM aiw.event WHERE position > %(after)s"
_FIND = f"SELECT {COLUMNS} FROM aiw.event WHERE event_id = ANY (%(ids)s)"
_CORRELATION = f"""SELECT {COLUMNS} FROM aiw.event
    WHERE tenant = %(tenant)s AND correlation_id = %(correlation)s AND position > %(after)s
    ORDER BY position LIMIT %(limit)s"""

_ANY_VERSION, _MUST_EXIST = -1, -2
_DECODE_METADATA = msgspec.json.Decoder(EventMetadata).decode
_NO_METADATA = EventMetadata()


def _register_arrays() -> None:
    for array in arrays.TYPES:

        class ArrayDumper(Dumper):
            format = Format.BINARY
            oid = array.oid

            def dump(self, obj: arrays.BinaryArray) -> bytes:
                return obj.payload

        psycopg.adapters.register_dumper(array, ArrayDumper)


_register_arrays()


class PostgresEventStore:
    """Safe to share between threads; holds no state but the pool's."""

    def __init__(self, database: Database, *, catalog: Catalog = CATALOG) -> None:
        self._database = database
        self._catalog = catalog
        self._listener = Listener(database)

    def append(
        self,
        stream: StreamId,
        events: Sequence[NewEvent],
        *,
        expected_version: int | Expected = Expected.ANY,
        tenant: str = DEFAULT_TENANT,
        durable: bool = True,
    ) -> Appended:
        append = StreamAppend(stream, tuple(events), expected_version)
        return self.append_all([append], tenant=tenant, durable=durable)[0]

    def append_all(
        self, appends: Sequence[StreamAppend], *, tenant: str = DEFAULT_TENANT, durable: bool = True
    ) -> tuple[Appended, ...]:
        envelope.check_tenant(tenant)
        prepared = envelope.prepare(appends, self._catalog)
        parameters = (tenant, durable, *append_parameters(prepared))
        with self._autocommit() as connection:
            cursor = connection.cursor(binary=True)
            outcome, failed, heads, first, recorded_at = (
                cursor.execute(_APPEND, parameters, prepare=True).fetchone() or ()
            )
        if outcome == "appended":
            return as_appended(prepared, heads, first, recorded_at, tenant=tenant)
        if outcome == "conflict":
            refused = prepared[failed - 1]
            raise envelope.conflict(refused.stream, refused.expected_version, heads[-1])
        ids = [event.event_id for append in prepared for event in append.events]
        known = {event.event_id: event for event in self._find(ids, tenant)}
        answer = envelope.already_stored(prepared, known)
        assert answer is not None  # the database has just found some of the ids, and rows never go away
        return answer

    def read_stream(
        self,
        stream: StreamId,
        *,
        after_version: int = 0,
        up_to_version: int | None = None,
        up_to_position: int | None = None,
        up_to_time: datetime | None = None,
        backwards: bool = False,
        limit: int | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> Sequence[RecordedEvent]:
        query = _STREAM
        parameters = {"tenant": tenant, "type": stream.type, "id": stream.id, "after": after_version}
        bounds = {"version": up_to_version, "position": up_to_position, "recorded_at": up_to_time}
        for column, bound in bounds.items():
            if bound is not None:
                query += f" AND {column} <= %({column})s"
                parameters[column] = bound
        query += f" ORDER BY version {'DESC' if backwards else 'ASC'}"
        if limit is not None:
            query += " LIMIT %(limit)s"
            parameters["limit"] = limit
        return self._upcast(self._read(query, parameters, tenant))

    def read_all(
        self,
        *,
        after_position: int = 0,
        up_to_position: int | None = None,
        types: Collection[str] | None = None,
        stream_type: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = 1000,
        tenant: str | None = DEFAULT_TENANT,
    ) -> Sequence[RecordedEvent]:
        query = _ALL
        parameters: dict[str, Any] = {"after": after_position, "limit": limit}
        if tenant is not None:
            query += " AND tenant = %(tenant)s"
            parameters["tenant"] = tenant
        if up_to_position is not None:
            query += " AND position <= %(up_to)s"
            parameters["up_to"] = up_to_position
        if types is not None:
            query += " AND type = ANY (%(types)s)"
            parameters["types"] = sorted(types)
        if stream_type is not None:
            query += " AND stream_type = %(stream_type)s"
            parameters["stream_type"] = stream_type
        for number, (name, value) in enumerate(sorted((tags or {}).items())):
            query += f" AND metadata -> 'tags' ->> %(tag{number})s = %(value{number})s"
            parameters |= {f"tag{number}": name, f"value{number}": value}
        query += " ORDER BY position LIMIT %(limit)s"
        return self._upcast(self._read(query, parameters, tenant))

    def read_correlation(
        self, correlation_id: str, *, after_position: int = 0, limit: int = 1000, tenant: str = DEFAULT_TENANT
    ) -> Sequence[RecordedEvent]:
        parameters = {"tenant": tenant, "correlation": correlation_id, "after": after_position, "limit": limit}
        return self._upcast(self._read(_CORRELATION, parameters, tenant))

    def find(self, event_ids: Collection[UUID], *, tenant: str | None = DEFAULT_TENANT) -> Sequence[RecordedEvent]:
        return self._upcast(self._find(event_ids, tenant))

    def head(self, *, tenant: str | None = DEFAULT_TENANT) -> int:
        query = "SELECT max(position) FROM aiw.event" + (" WHERE tenant = %s" if tenant is not None else "")
        with self._visible_to(tenant) as connection:
            row = connection.execute(query, (tenant,) if tenant is not None else ()).fetchone()
        return row[0] or 0 if row else 0

    def watch(self, notice: Callable[[], None]) -> Callable[[], None]:
        return self._listener.watch(notice)

    def close(self) -> None:
        """Stop listening and give the connections back."""
        self._listener.close()

    def _find(self, event_ids: Collection[UUID], tenant: str | None) -> list[RecordedEvent]:
        query = _FIND + (" AND tenant = %(tenant)s" if tenant is not None else "") + " ORDER BY position"
        return self._read(query, {"ids": list(event_ids), "tenant": tenant}, tenant)

    def _read(self, query: str, parameters: Mapping[str, Any], tenant: str | None) -> list[RecordedEvent]:
        with self._visible_to(tenant) as connection:
            return fetch(connection, query, parameters)

    def _upcast(self, events: list[RecordedEvent]) -> list[RecordedEvent]:
        return [self._catalog.upcast(event) for event in events]

    @contextmanager
    def _visible_to(self, tenant: str | None) -> Iterator[Connection]:
        with self._database.transaction() as connection, unavailable_when_blocked():
            if tenant is None:
                connection.execute(AS_SYSTEM)
            else:
                connection.execute(AS_TENANT, (tenant,))
            yield connection

    @contextmanager
    def _autocommit(self) -> Iterator[Connection]:
        """A connection on which each statement is its own transaction: one round trip instead of three."""
        with self._database.transaction() as connection, unavailable_when_blocked():
            connection.autocommit = True
            try:
                yield connection
            finally:
                if not connection.closed:
                    connection.autocommit = False


@contextmanager
def unavailable_when_blocked() -> Iterator[None]:
    """A lock or a statement that takes too long is a store that cannot be reached, and may be tried again."""
    try:
        yield
    except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable) as error:
        raise UnavailableError(
            "The event store did not answer in time: another writer holds its lock for too long. Try again.",
            dependency="database",
        ) from error


def append_parameters(prepared: Sequence[PreparedAppend]) -> tuple[Any, ...]:
    """The parameters of `aiw.append_events` behind tenant and durability."""
    events = [event for append in prepared for event in append.events]
    return (
        arrays.TextArray([append.stream.type for append in prepared]),
        arrays.TextArray([append.stream.id for append in prepared]),
        arrays.Int8Array([_expected(append.expected_version) for append in prepared]),
        arrays.Int4Array([number for number, append in enumerate(prepared, start=1) for _ in append.events]),
        arrays.Int4Array([ordinal for append in prepared for ordinal in range(1, len(append.events) + 1)]),
        arrays.UuidArray([event.event_id for event in events]),
        arrays.TextArray([event.type for event in events]),
        arrays.Int4Array([event.schema_version for event in events]),
        arrays.TimestampArray([event.occurred_at for event in events]),
        arrays.TextArray([event.metadata.correlation_id for event in events]),
        arrays.ByteaArray([event.checksum for event in events]),
        arrays.JsonArray([event.metadata_json for event in events]),
        arrays.JsonArray([event.data_json for event in events]),
    )


def as_appended(
    prepared: Sequence[PreparedAppend], heads: Sequence[int], first: int, recorded_at: datetime, *, tenant: str
) -> tuple[Appended, ...]:
    """What was stored, from where the streams stood and the first position."""
    answer = []
    position = first
    for append, head in zip(prepared, heads, strict=True):
        stored = []
        for version, event in enumerate(append.events, start=head + 1):
            stored.append(
                envelope.recorded(
                    event, append.stream, tenant=tenant, version=version, position=position, recorded_at=recorded_at
                )
            )
            position += 1
        answer.append(Appended(tuple(stored)))
    return tuple(answer)


def fetch(connection: Connection, query: str, parameters: Mapping[str, Any]) -> list[RecordedEvent]:
    """Run a query for `COLUMNS`, in binary."""
    cursor = connection.cursor(binary=True)
    cursor.adapters.register_loader("json", ByteaBinaryLoader)
    return [_from_row(row) for row in cursor.execute(query, parameters)]


def _from_row(row: tuple[Any, ...]) -> RecordedEvent:
    position, event_id, tenant, stream_type, stream_id, version, type_, schema_version, data, metadata, *rest = row
    occurred_at, recorded_at, checksum = rest
    return RecordedEvent(
        position,
        event_id,
        tenant,
        StreamId(stream_type, stream_id),
        version,
        type_,
        schema_version,
        orjson.loads(data),
        _NO_METADATA if metadata == b"{}" else _DECODE_METADATA(metadata),
        occurred_at,
        recorded_at,
        checksum,
    )


def _expected(expected: int | Expected) -> int:
    match expected:
        case Expected.ANY:
            return _ANY_VERSION
        case Expected.EXISTS:
            return _MUST_EXIST
        case Expected.NO_STREAM:
            return 0
    return expected
