"""The event store in PostgreSQL. The promises are kept by the database itself: see migrations 0001 and following.

Order costs a lock: whoever appends holds one advisory lock from taking positions until the commit has reached the disk. A
single append is one round trip and holds it for about the time of one disk flush; a batch (`writer.py`) shares one flush
among all its events. In exchange any position is a safe cursor, with no waiting, gap-watching or xmin arithmetic for readers,
and a long transaction elsewhere in the database does not hold back new events.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import orjson
import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format, TransactionStatus
from psycopg.types.string import ByteaBinaryLoader

from resources.database.postgres import begin_as
from resources.database.postgres import in_our_words as database_in_our_words
from resources.errors import UnavailableError, UpstreamError
from resources.events import arrays, envelope
from resources.events.batches import plan
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
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from resources.database.postgres import Connection, Database
    from resources.events.batches import Accepted, Unit
    from resources.events.envelope import PreparedAppend, PreparedEvent
    from resources.events.model import NewEvent
    from resources.events.schema import Catalog
    from resources.events.writer import Outcome

log = get_logger(__name__)

in_our_words = partial(database_in_our_words, "the event store", again="Try again, with the same event ids.")
"""Errors of what belongs to the event store, and of what is kept beside it."""

AS_TENANT = "SELECT set_config('role', 'aiw_app', true), set_config('aiw.tenant', %s, true)"
AS_SYSTEM = "SELECT set_config('role', 'aiw_system', true)"

COLUMNS = """position, event_id, tenant, stream_type, stream_id, version, type, schema_version, data, metadata, occurred_at,
    recorded_at, checksum"""

_APPEND = """SELECT outcome, failed_stream, heads, first_position, recorded FROM aiw.append_events(
    %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b, %b)"""
_STREAM = f"""SELECT {COLUMNS} FROM aiw.event
    WHERE tenant = %(tenant)s AND stream_type = %(type)s AND stream_id = %(id)s AND version > %(after)s"""
_ALL = f"SELECT {COLUMNS} FROM aiw.event WHERE position > %(after)s"
_FIND = f"SELECT {COLUMNS} FROM aiw.event WHERE event_id = ANY (%(ids)s)"
_CORRELATION = f"""SELECT {COLUMNS} FROM aiw.event
    WHERE tenant = %(tenant)s AND correlation_id = %(correlation)s AND position > %(after)s
    ORDER BY position LIMIT %(limit)s"""

_BEGIN_BATCH = "SELECT heads, first_position, recorded FROM aiw.begin_event_batch(%b, %b, %b, %b, %b)"
_ROW_COLUMNS = """position, version, recorded_at, schema_version, occurred_at, event_id, checksum, tenant, stream_type,
    stream_id, type, correlation_id, metadata, data"""
_COPY = f"COPY aiw.event ({_ROW_COLUMNS}) FROM STDIN (FORMAT BINARY)"
_INSERT = f"INSERT INTO aiw.event ({_ROW_COLUMNS}) SELECT * FROM unnest({', '.join(['%b'] * 14)})"
_MAY_COPY = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
_KNOWN = f"""SELECT {COLUMNS} FROM aiw.event
    JOIN unnest(%(tenants)s::text[], %(ids)s::uuid[]) AS wanted(in_tenant, id) ON tenant = in_tenant AND event_id = id"""

_CHUNK = 250  # rows
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
        return self._append(prepared, in_turn(prepared), tenant=tenant, durable=durable)[1]

    def restore(self, events: Sequence[RecordedEvent], *, tenant: str = DEFAULT_TENANT) -> int:
        envelope.check_tenant(tenant)
        prepared = envelope.restore_all(events)
        if not prepared:
            return 0
        waiting = {append.stream: (number, iter(append.events)) for number, append in enumerate(prepared)}
        order = [(number, next(rest)) for number, rest in (waiting[event.stream] for event in events)]
        is_new, _ = self._append(prepared, order, tenant=tenant, durable=True)
        return len(order) if is_new else 0

    def _append(
        self,
        prepared: Sequence[PreparedAppend],
        order: Sequence[tuple[int, PreparedEvent]],
        *,
        tenant: str,
        durable: bool,
    ) -> tuple[bool, tuple[Appended, ...]]:
        """Store the events in this order; whether they are new, and what is stored."""
        parameters = (tenant, durable, *append_parameters(prepared, order))
        with self._autocommit() as connection:
            cursor = connection.cursor(binary=True)
            outcome, failed, heads, first, recorded_at = (
                cursor.execute(_APPEND, parameters, prepare=True).fetchone() or ()
            )
        if outcome == "appended":
            return True, as_appended(prepared, heads, first, recorded_at, tenant=tenant)
        if outcome == "conflict":
            refused = prepared[failed - 1]
            raise envelope.conflict(refused.stream, refused.expected_version, heads[-1])
        ids = [event.event_id for _, event in order]
        known = {event.event_id: event for event in self._find(ids, tenant)}
        answer = envelope.already_stored(prepared, known)
        assert answer is not None  # the database has just found some of the ids, and rows never go away
        return False, answer

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
        upcast: bool = True,
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
        events = self._read(query, parameters, tenant)
        return self._upcast(events) if upcast else events

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
        return self._catalog.upcast_all(events)

    @contextmanager
    def _visible_to(self, tenant: str | None) -> Iterator[Connection]:
        with self._database.transaction() as connection, in_our_words():
            begin_as(connection, tenant)
            yield connection

    @contextmanager
    def _autocommit(self) -> Iterator[Connection]:
        """A connection on which each statement is its own transaction: one round trip instead of three.

        Where a transaction is under way already, which others began, the statement is a part of it.
        """
        with self._database.transaction() as connection, in_our_words():
            if connection.info.transaction_status is not TransactionStatus.IDLE:
                yield connection
                return
            connection.autocommit = True
            try:
                yield connection
            finally:
                if not connection.closed:
                    connection.autocommit = False


class PostgresBatches:
    """Writes the batches of one `EventWriter`, on a connection of its own.

    With COPY when the login may pass row-level security (PostgreSQL refuses COPY FROM to all others), else with one INSERT
    from arrays as `aiw_system`, which takes a quarter more time of the server.
    """

    def __init__(self, database: Database, *, catalog: Catalog = CATALOG, copy: bool = True) -> None:
        self.catalog = catalog
        self._database = database
        self._copy_wanted = copy
        self._may_copy = False
        self._connection: Connection | None = None

    def write(self, units: Sequence[Unit], *, durable: bool) -> list[Outcome]:
        """See `resources.events.writer.Batches`."""
        try:
            with in_our_words():
                return self._write(units, durable=durable, careful=False)
        except UpstreamError as error:
            if not isinstance(error.__cause__, psycopg.errors.UniqueViolation):
                raise
            log.info("events.batch_repeated", reason="an event id is known", units=len(units))
        except UnavailableError as error:
            log.warning("events.batch_repeated", reason=str(error), units=len(units))
        with in_our_words():
            return self._write(units, durable=durable, careful=True)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _write(self, units: Sequence[Unit], *, durable: bool, careful: bool) -> list[Outcome]:
        """`careful`: first look which of the events are there already."""
        keys = list({key: None for unit in units for key in unit.streams})
        connection = self._open()
        try:
            with connection.transaction():
                if not self._may_copy:
                    connection.execute(AS_SYSTEM)
                parameters = (
                    arrays.TextArray([tenant for tenant, _ in keys]),
                    arrays.TextArray([stream.type for _, stream in keys]),
                    arrays.TextArray([stream.id for _, stream in keys]),
                    sum(unit.size for unit in units),
                    durable,
                )
                cursor = connection.cursor(binary=True)
                heads, first, recorded_at = cursor.execute(_BEGIN_BATCH, parameters, prepare=True).fetchone() or ()
                known = _known_events(connection, units) if careful else None
                stand = dict(zip(keys, heads, strict=True))
                decided = plan(units, stand, known)
                if decided.refused and known is None:  # a repeated append is no conflict
                    decided = plan(units, stand, _known_events(connection, units))
                blocks = _blocks(decided.accepted, first)
                if blocks and self._may_copy:
                    with connection.cursor().copy(_COPY) as copy:
                        copy.write(arrays.copy_rows(blocks, recorded_at))
                elif blocks:
                    connection.execute(_INSERT, arrays.columns(blocks, recorded_at))
        except BaseException:
            self.close()
            raise
        outcomes: list[Outcome] = [None] * len(units)
        for number, answer in (decided.answered | decided.refused).items():
            outcomes[number] = answer
        for accepted in decided.accepted:
            unit = accepted.unit
            outcomes[accepted.number] = as_appended(
                unit.appends, accepted.heads, first, recorded_at, tenant=unit.tenant
            )
            first += unit.size
        return outcomes

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = self._database.connect()
            (allowed,) = self._connection.execute(_MAY_COPY).fetchone() or (False,)
            self._may_copy = self._copy_wanted and bool(allowed)
        return self._connection


def _known_events(connection: Connection, units: Sequence[Unit]) -> dict[tuple[str, UUID], RecordedEvent]:
    ids = [(unit.tenant, event_id) for unit in units for event_id in unit.event_ids]
    parameters = {"tenants": [tenant for tenant, _ in ids], "ids": [event_id for _, event_id in ids]}
    return {(event.tenant, event.event_id): event for event in fetch(connection, _KNOWN, parameters)}


def _blocks(accepted: Sequence[Accepted], first: int) -> list[arrays.Block]:
    blocks = []
    for _, unit, heads in accepted:
        for append, head in zip(unit.appends, heads, strict=True):
            blocks.append(arrays.Block(first, head + 1, unit.tenant, append.stream, append.events))
            first += len(append.events)
    return blocks


def in_turn(prepared: Sequence[PreparedAppend]) -> list[tuple[int, PreparedEvent]]:
    """All events, one stream after the other, each with the index of its append."""
    return [(number, event) for number, append in enumerate(prepared) for event in append.events]


def append_parameters(
    prepared: Sequence[PreparedAppend], order: Sequence[tuple[int, PreparedEvent]]
) -> tuple[Any, ...]:
    """The parameters of `aiw.append_events` behind tenant and durability."""
    events = [event for _, event in order]
    counts = [0] * len(prepared)
    ordinals = []
    for number, _ in order:
        counts[number] += 1
        ordinals.append(counts[number])
    return (
        arrays.TextArray([append.stream.type for append in prepared]),
        arrays.TextArray([append.stream.id for append in prepared]),
        arrays.Int8Array([_expected(append.expected_version) for append in prepared]),
        arrays.Int4Array([number + 1 for number, _ in order]),
        arrays.Int4Array(ordinals),
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
    for append, head in zip(prepared, heads, strict=True):
        count = len(append.events)
        build = partial(_recorded, append, head + 1, first, recorded_at, tenant)
        answer.append(Appended(build, version=head + count, position=first + count - 1))
        first += count
    return tuple(answer)


def _recorded(
    append: PreparedAppend, version: int, position: int, recorded_at: datetime, tenant: str
) -> tuple[RecordedEvent, ...]:
    return tuple(
        envelope.recorded(
            event,
            append.stream,
            tenant=tenant,
            version=version + place,
            position=position + place,
            recorded_at=recorded_at,
        )
        for place, event in enumerate(append.events)
    )


def fetch(connection: Connection, query: str, parameters: Mapping[str, Any]) -> list[RecordedEvent]:
    """Run a query for `COLUMNS`, in binary. Written flat: a call per event would cost a tenth of the whole.

    A large page comes in chunks: while the one is parsed here, the server makes the next.
    """
    cursor = connection.cursor(binary=True)
    cursor.adapters.register_loader("json", ByteaBinaryLoader)
    in_chunks = (parameters.get("limit") or 0) > _CHUNK and psycopg.capabilities.has_stream_chunked()
    with _without_collector():
        rows: Iterable[tuple[Any, ...]] = (
            cursor.stream(query, parameters, binary=True, size=_CHUNK)
            if in_chunks
            else cursor.execute(query, parameters).fetchall()
        )
        return [
            RecordedEvent(
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
                checksum.hex(),
            )
            for (
                position,
                event_id,
                tenant,
                stream_type,
                stream_id,
                version,
                type_,
                schema_version,
                data,
                metadata,
                occurred_at,
                recorded_at,
                checksum,
            ) in rows
        ]


@contextmanager
def _without_collector() -> Iterator[None]:
    """Parsed JSON holds no cycles. Searching each page for them again and again takes a third of the time of reading it."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _expected(expected: int | Expected) -> int:
    match expected:
        case Expected.ANY:
            return _ANY_VERSION
        case Expected.EXISTS:
            return _MUST_EXIST
        case Expected.NO_STREAM:
            return 0
    return expected
