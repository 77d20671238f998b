"""From what a caller gives to what is stored: validation of everything at once, canonical JSON, checksum.

Canonical JSON here is UTF-8, keys sorted, no spaces, shortest decimal form of floats, integers within 64 bits, times in
RFC 3339 in UTC. It is a fixed point: parsing and writing it again gives the same bytes. The checksum is the sha256 of the
canonical JSON of `{data, event_id, metadata, occurred_at, schema_version, type}`: all that the writer said, nothing that the
store added.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID  # msgspec reads the annotations at run time

import msgspec
import orjson

from resources.errors import ConcurrencyError, ConflictError, InvalidInputError, Problem
from resources.events.model import Appended, EventMetadata, Expected, RecordedEvent
from resources.telemetry import correlation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resources.events.model import NewEvent, StreamAppend, StreamId
    from resources.events.schema import Catalog

MAX_DATA_BYTES = 16 * 1024 * 1024
MAX_NAME = 200

TENANT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
STREAM_TYPE = re.compile(r"[a-z][a-z0-9_.-]{0,99}")

_METADATA = msgspec.json.Decoder(EventMetadata)
_ENCODE = msgspec.json.Encoder(order="sorted").encode
_ENCODE_FACT = msgspec.json.Encoder().encode
_RAW = msgspec.Raw
_NO_METADATA = EventMetadata()


class PreparedEvent(msgspec.Struct, frozen=True, gc=False):
    """A valid event, ready to be written.

    Bytes and no dictionaries: thousands of them wait in a writer, and the cyclic garbage collector would look at each again
    and again, for a quarter of the time of a bulk append.
    """

    event_id: UUID
    type: str
    schema_version: int
    metadata: EventMetadata
    occurred_at: datetime
    data_json: bytes
    metadata_json: bytes
    checksum: bytes


class _Fact(msgspec.Struct, frozen=True, gc=False):
    """What the checksum is of; the fields in the order of canonical JSON."""

    data: msgspec.Raw
    event_id: UUID
    metadata: msgspec.Raw
    occurred_at: datetime
    schema_version: int
    type: str


class PreparedAppend(NamedTuple):
    """A valid append to one stream."""

    stream: StreamId
    events: tuple[PreparedEvent, ...]
    expected_version: int | Expected


def check_tenant(tenant: str) -> str:
    """The tenant's name, if it is one. Raises InvalidInputError."""
    if not isinstance(tenant, str) or TENANT_NAME.fullmatch(tenant) is None:
        problem = Problem("tenant", f"{tenant!r} is not a tenant's name", "1 to 63 of a-z 0-9 _ -, no sign in front")
        raise InvalidInputError(f"{tenant!r} is not a tenant's name.", problems=(problem,))
    return tenant


def prepare(appends: Sequence[StreamAppend], catalog: Catalog) -> tuple[PreparedAppend, ...]:
    """Check everything and encode it. Raises InvalidInputError that lists every problem of every event."""
    problems: list[Problem] = []
    prepared = []
    seen_streams: set[StreamId] = set()
    seen_ids: set[int] = set()
    in_progress = correlation.current()
    if not appends:
        problems.append(Problem("appends", "there is nothing to append"))
    for number, append in enumerate(appends):
        prefix = f"appends[{number}]." if len(appends) > 1 else ""
        problems.extend(_stream_problems(append, f"{prefix}stream"))
        if append.stream in seen_streams:
            problems.append(Problem(f"{prefix}stream", f"{append.stream} is named twice", "put its events together"))
        seen_streams.add(append.stream)
        if not append.events:
            problems.append(Problem(f"{prefix}events", "there is nothing to append"))
        events = []
        for index, event in enumerate(append.events):
            ready, found = _prepare_event(event, catalog, in_progress)
            event_id = event.event_id.int
            if event_id in seen_ids:
                found = (*found, Problem("event_id", f"{event.event_id} is used twice"))
            seen_ids.add(event_id)
            if found:
                problems.extend(replace(problem, path=f"{prefix}events[{index}].{problem.path}") for problem in found)
            if ready is not None:
                events.append(ready)
        prepared.append(PreparedAppend(append.stream, tuple(events), append.expected_version))
    if problems:
        raise InvalidInputError(
            f"The events cannot be appended: {problems[0]}"
            + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""),
            problems=tuple(problems),
            code="event_invalid",
        )
    return tuple(prepared)


def restore(event: RecordedEvent) -> PreparedEvent:
    """A stored event (not upcast), ready to be written elsewhere just as it is. Raises InvalidInputError when it was changed."""
    if not is_intact(event):
        raise InvalidInputError(
            f"The event {str(event.event_id)!r} is not what was recorded: its checksum differs.", code="event_corrupt"
        )
    return PreparedEvent(
        event.event_id,
        event.type,
        event.schema_version,
        event.metadata,
        _in_utc(event.occurred_at),
        canonical(event.data),
        _ENCODE(event.metadata) if event.metadata != _NO_METADATA else b"{}",
        bytes.fromhex(event.checksum),
    )


def restore_all(events: Sequence[RecordedEvent]) -> tuple[PreparedAppend, ...]:
    """The events by stream, each behind the version that it had. Raises InvalidInputError for gaps and changed events."""
    streams: dict[StreamId, list[RecordedEvent]] = {}
    for event in events:
        earlier = streams.setdefault(event.stream, [])
        if earlier and event.version != earlier[-1].version + 1:
            message = f"{str(event.stream)!r} jumps from version {earlier[-1].version} to {event.version}."
            raise InvalidInputError(message, code="event_missing")
        earlier.append(event)
    return tuple(
        PreparedAppend(stream, tuple(map(restore, found)), found[0].version - 1) for stream, found in streams.items()
    )


def canonical(value: Any) -> bytes:
    """Canonical JSON. Raises TypeError (orjson's) for what JSON cannot say."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def checksum_of(
    event_id: UUID, type: str, schema_version: int, *, data: bytes, metadata: bytes, occurred_at: datetime
) -> bytes:
    """The sha256 of the event's canonical JSON, from its encoded parts."""
    fact = _Fact(_RAW(data), event_id, _RAW(metadata), occurred_at, schema_version, type)
    return hashlib.sha256(_ENCODE_FACT(fact)).digest()


def is_intact(event: RecordedEvent) -> bool:
    """Whether a stored event (not upcast) still is what was written, by its checksum."""
    found = checksum_of(
        event.event_id,
        event.type,
        event.schema_version,
        data=canonical(event.data),
        metadata=_ENCODE(event.metadata),
        occurred_at=_in_utc(event.occurred_at),
    )
    return found.hex() == event.checksum


def recorded(
    event: PreparedEvent, stream: StreamId, *, tenant: str, version: int, position: int, recorded_at: datetime
) -> RecordedEvent:
    """The event as the store now has it. Its data is what was written, which no later change of the caller's can reach."""
    return RecordedEvent(
        position,
        event.event_id,
        tenant,
        stream,
        version,
        event.type,
        event.schema_version,
        orjson.loads(event.data_json),
        event.metadata,
        event.occurred_at,
        recorded_at,
        event.checksum.hex(),
    )


def is_expected(expected: int | Expected, actual: int) -> bool:
    """Whether a stream at version `actual` (0 = none) is what the writer believes it to be."""
    match expected:
        case Expected.ANY:
            return True
        case Expected.EXISTS:
            return actual > 0
        case Expected.NO_STREAM:
            return actual == 0
    return actual == expected


def already_stored(
    prepared: Sequence[PreparedAppend], known: Mapping[UUID, RecordedEvent]
) -> tuple[Appended, ...] | None:
    """The answer to an append that was made before, or None when it is new. Raises ConflictError for a reused id."""
    if not known:
        return None
    answer = []
    for append in prepared:
        stored = [known.get(event.event_id) for event in append.events]
        for event, found in zip(append.events, stored, strict=True):
            if found is None:
                raise _reused("some of the events were stored before and others were not")
            same_version = found.schema_version == event.schema_version
            if (
                found.stream != append.stream
                or found.type != event.type
                or (same_version and canonical(found.data) != event.data_json)
            ):
                raise _reused(f"the id {str(event.event_id)!r} belongs to another event, of {str(found.stream)!r}")
        answer.append(Appended.of(tuple(found for found in stored if found is not None)))
    return tuple(answer)


def _reused(why: str) -> ConflictError:
    return ConflictError(
        f"Cannot append: {why}. Repeat an append whole and unchanged, or use new event ids.", code="event_id_reused"
    )


def conflict(stream: StreamId, expected: int | Expected, actual: int) -> ConcurrencyError:
    """The error for a stream that is not at the version that the writer believed."""
    found = f"it is at version {actual}" if actual else "it does not exist"
    return ConcurrencyError(
        f"Cannot append to {str(stream)!r}: {describe(expected)} was expected, but {found}. "
        "Read the stream again and retry.",
        expected=str(expected.value if isinstance(expected, Expected) else expected),
        actual=actual,
    )


def describe(expected: int | Expected) -> str:
    """The expectation in words."""
    return expected.value if isinstance(expected, Expected) else f"version {expected}"


def _stream_problems(append: StreamAppend, path: str) -> list[Problem]:
    problems = []
    if STREAM_TYPE.fullmatch(append.stream.type) is None:
        problems.append(
            Problem(f"{path}.type", f"{append.stream.type!r} is not a stream's type", "1 to 100 of a-z 0-9 _ . -")
        )
    if not 1 <= len(append.stream.id) <= MAX_NAME or not append.stream.id.isprintable():
        problems.append(
            Problem(f"{path}.id", f"{append.stream.id!r} is not a stream's id", f"1 to {MAX_NAME} printable characters")
        )
    expected = append.expected_version
    if not isinstance(expected, Expected) and expected < 0:
        problems.append(Problem(path.replace("stream", "expected_version"), f"{expected} is not a version"))
    return problems


def _prepare_event(
    event: NewEvent, catalog: Catalog, in_progress: str | None
) -> tuple[PreparedEvent | None, tuple[Problem, ...]]:
    schema_version, data, problems = catalog.validate(event.type, event.schema_version, event.data)
    metadata, metadata_json = event.metadata, b"{}"
    if in_progress is not None or metadata != _NO_METADATA:
        metadata, metadata_json, found = _prepare_metadata(metadata, in_progress)
        problems += found
    if event.occurred_at.tzinfo is None:
        problems += (Problem("occurred_at", "has no time zone", "give it in UTC"),)
    if problems:
        return None, problems
    try:
        data_json = canonical(data)
    except TypeError as error:
        return None, (Problem("data", str(error)),)
    if b"null" in data_json and not _is_finite(data):  # orjson writes NaN and infinities as null
        return None, (Problem("data", "contains a number that is not finite"),)
    if len(data_json) > MAX_DATA_BYTES:
        return None, (Problem("data", f"is {len(data_json)} bytes long", f"at most {MAX_DATA_BYTES}"),)
    occurred_at = _in_utc(event.occurred_at)
    checksum = checksum_of(
        event.event_id, event.type, schema_version, data=data_json, metadata=metadata_json, occurred_at=occurred_at
    )
    ready = PreparedEvent(
        event.event_id, event.type, schema_version, metadata, occurred_at, data_json, metadata_json, checksum
    )
    return ready, ()


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(_is_finite, value))
    return True


def _prepare_metadata(
    metadata: EventMetadata, in_progress: str | None
) -> tuple[EventMetadata, bytes, tuple[Problem, ...]]:
    if in_progress is not None and metadata.correlation_id is None:
        metadata = msgspec.structs.replace(metadata, correlation_id=in_progress)
    try:
        encoded = _ENCODE(metadata)
        _METADATA.decode(encoded)
    except (msgspec.MsgspecError, TypeError, UnicodeEncodeError) as error:
        return metadata, b"", (Problem("metadata", str(error)),)
    return metadata, encoded, _id_problems(metadata)


def _id_problems(metadata: EventMetadata) -> tuple[Problem, ...]:
    problems: tuple[Problem, ...] = ()
    for name in ("correlation_id", "causation_id", "user_id", "session_id", "source"):
        value = getattr(metadata, name)
        if value is not None and (not 1 <= len(value) <= MAX_NAME or not value.isprintable()):
            hint = f"1 to {MAX_NAME} printable characters, or None"
            problems += (Problem(f"metadata.{name}", f"{value!r:.60} is not an id", hint),)
    return problems


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
