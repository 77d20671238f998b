"""PostgreSQL's binary forms of arrays and of COPY, built by hand: a tenth of what generic adaptation takes.

COPY: https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-BINARY-FORMAT. Arrays: `array_recv` in PostgreSQL's
`src/backend/utils/adt/arrayfuncs.c`: number of dimensions, null flag, element type, then size and lower bound of each
dimension, then each element with its length in front (-1 = null).
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
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
_ROW_HEAD = struct.Struct("!hiqiiiqiiiqi16si32s").pack
_COLUMNS_OF_A_ROW = 14
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Block(NamedTuple):
    """Events that follow each other in one stream and in the order of all, with the place of the first."""

    position: int
    version: int
    tenant: str
    stream: StreamId
    events: tuple[PreparedEvent, ...]


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


def copy_rows(blocks: Sequence[Block], recorded_at: datetime) -> bytes:
    """The events as the data of a binary COPY; the columns are those of `columns`."""
    parts = [_COPY_HEADER]
    recorded = _microseconds(recorded_at)
    types: dict[str, bytes] = {}
    for position, version, tenant, stream, events in blocks:
        whose = _text(tenant) + _text(stream.type) + _text(stream.id)
        for place, event in enumerate(events):
            type_ = types.get(event.type)
            if type_ is None:
                type_ = types[event.type] = _text(event.type)
            correlation, metadata, data = event.metadata.correlation_id, event.metadata_json, event.data_json
            parts += (
                _ROW_HEAD(
                    _COLUMNS_OF_A_ROW,
                    8,
                    position + place,
                    4,
                    version + place,
                    8,
                    recorded,
                    4,
                    event.schema_version,
                    8,
                    (event.occurred_at - _EPOCH) // _MICROSECOND,
                    16,
                    event.event_id.int.to_bytes(16, "big"),
                    32,
                    event.checksum,
                ),
                whose,
                type_,
                _NULL if correlation is None else _text(correlation),
                _LENGTH(len(metadata)),
                metadata,
                _LENGTH(len(data)),
                data,
            )
    parts.append(_COPY_END)
    return b"".join(parts)


def columns(blocks: Sequence[Block], recorded_at: datetime) -> tuple[BinaryArray, ...]:
    """The events as one array a column."""
    events = [event for block in blocks for event in block.events]
    owners = [block for block in blocks for _ in block.events]
    return (
        Int8Array([block.position + place for block in blocks for place in range(len(block.events))]),
        Int4Array([block.version + place for block in blocks for place in range(len(block.events))]),
        TimestampArray([recorded_at] * len(events)),
        Int4Array([event.schema_version for event in events]),
        TimestampArray([event.occurred_at for event in events]),
        UuidArray([event.event_id for event in events]),
        ByteaArray([event.checksum for event in events]),
        TextArray([block.tenant for block in owners]),
        TextArray([block.stream.type for block in owners]),
        TextArray([block.stream.id for block in owners]),
        TextArray([event.type for event in events]),
        TextArray([event.metadata.correlation_id for event in events]),
        JsonArray([event.metadata_json for event in events]),
        JsonArray([event.data_json for event in events]),
    )


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _LENGTH(len(encoded)) + encoded


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND
