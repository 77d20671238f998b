"""PostgreSQL's binary forms of arrays and of COPY, built by hand: a tenth of what generic adaptation takes.

COPY: https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-BINARY-FORMAT. Arrays: `array_recv` in PostgreSQL's
`src/backend/utils/adt/arrayfuncs.c`: number of dimensions, null flag, element type, then size and lower bound of each
dimension, then each element with its length in front (-1 = null).
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from resources.events.envelope import PreparedEvent
    from resources.events.model import StreamId

_HEADER = struct.Struct("!iiIii").pack
_LENGTH = struct.Struct("!i").pack
_INT4 = struct.Struct("!ii").pack
_INT8 = struct.Struct("!iq").pack
_NULL = _LENGTH(-1)
_UUID = _LENGTH(16)
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END = b"\xff\xff"
_ROW_HEAD = struct.Struct("!hiqiiiiiqiqi16s").pack
_COLUMNS_OF_A_ROW = 14
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class Row(NamedTuple):
    """One event with the place that it gets."""

    position: int
    version: int
    recorded_at: datetime
    tenant: str
    stream: StreamId
    event: PreparedEvent


class BinaryArray:
    """The bytes of an array parameter. Subclasses know the type."""

    __slots__ = ("payload",)
    oid: ClassVar[int]
    element: ClassVar[int]

    def __init__(self, parts: Sequence[bytes], count: int) -> None:
        """`parts`: the elements with their lengths in front."""
        header = _HEADER(1, 1, self.element, count, 1) if count else _HEADER(0, 0, self.element, 0, 0)[:12]
        self.payload = header + b"".join(parts)


class Int4Array(BinaryArray):
    """`int[]`."""

    oid, element = 1007, 23

    def __init__(self, values: Sequence[int]) -> None:
        super().__init__([_INT4(4, value) for value in values], len(values))


class Int8Array(BinaryArray):
    """`bigint[]`."""

    oid, element = 1016, 20

    def __init__(self, values: Sequence[int]) -> None:
        super().__init__([_INT8(8, value) for value in values], len(values))


class UuidArray(BinaryArray):
    """`uuid[]`."""

    oid, element = 2951, 2950

    def __init__(self, values: Sequence[UUID]) -> None:
        super().__init__([_UUID + value.bytes for value in values], len(values))


class TimestampArray(BinaryArray):
    """`timestamptz[]`, of UTC-aware times."""

    oid, element = 1185, 1184

    def __init__(self, values: Sequence[datetime]) -> None:
        super().__init__([_INT8(8, _microseconds(value)) for value in values], len(values))


class TextArray(BinaryArray):
    """`text[]`; None is null."""

    oid, element = 1009, 25

    def __init__(self, values: Sequence[str | None]) -> None:
        encoded = [None if value is None else value.encode() for value in values]
        super().__init__(
            [_NULL if value is None else _LENGTH(len(value)) + value for value in encoded],
            len(values),
        )


class _BytesArray(BinaryArray):
    def __init__(self, values: Sequence[bytes]) -> None:
        super().__init__([_LENGTH(len(value)) + value for value in values], len(values))


class JsonArray(_BytesArray):
    """`json[]`, of encoded JSON."""

    oid, element = 199, 114


class ByteaArray(_BytesArray):
    """`bytea[]`."""

    oid, element = 1001, 17


TYPES: tuple[type[BinaryArray], ...] = (
    Int4Array,
    Int8Array,
    UuidArray,
    TimestampArray,
    TextArray,
    JsonArray,
    ByteaArray,
)


def copy_rows(rows: Sequence[Row]) -> bytes:
    """The rows as the data of a binary COPY, columns in the order of `aiw.event`."""
    parts = [_COPY_HEADER]
    add = parts.append
    recorded_at = _microseconds(rows[0].recorded_at)
    for position, version, _, tenant, stream, event in rows:
        times = (8, _microseconds(event.occurred_at), 8, recorded_at)
        add(
            _ROW_HEAD(
                _COLUMNS_OF_A_ROW, 8, position, 4, version, 4, event.schema_version, *times, 16, event.event_id.bytes
            )
        )
        for text in (tenant, stream.type, stream.id, event.type, event.metadata.correlation_id):
            if text is None:
                add(_NULL)
            else:
                encoded = text.encode()
                add(_LENGTH(len(encoded)))
                add(encoded)
        for content in (event.checksum, event.metadata_json, event.data_json):
            add(_LENGTH(len(content)))
            add(content)
    add(_COPY_END)
    return b"".join(parts)


def columns(rows: Sequence[Row]) -> tuple[BinaryArray, ...]:
    """The rows as one array a column, in the same order."""
    events = [row.event for row in rows]
    return (
        Int8Array([row.position for row in rows]),
        Int4Array([row.version for row in rows]),
        Int4Array([event.schema_version for event in events]),
        TimestampArray([event.occurred_at for event in events]),
        TimestampArray([row.recorded_at for row in rows]),
        UuidArray([event.event_id for event in events]),
        TextArray([row.tenant for row in rows]),
        TextArray([row.stream.type for row in rows]),
        TextArray([row.stream.id for row in rows]),
        TextArray([event.type for event in events]),
        TextArray([event.metadata.correlation_id for event in events]),
        ByteaArray([event.checksum for event in events]),
        JsonArray([event.metadata_json for event in events]),
        JsonArray([event.data_json for event in events]),
    )


def _microseconds(moment: datetime) -> int:
    since = moment - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
