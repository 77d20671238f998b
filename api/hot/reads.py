"""Documents, runs and pages of events as answers. Each is read anew; what is kept is how a row is written as an answer, which
never changes.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import orjson
from pydantic import TypeAdapter

from api.hot.appends import written
from api.middleware.repeats import etag_of
from api.workflows.schemas import ExecutionOut, InstanceOut
from resources.content.model import Document
from resources.events.catalog import CATALOG
from resources.events.model import EventMetadata, RecordedEvent, StreamId
from resources.workflows.executions import execution_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resources.database.lookups.postgres import Kind, Lookups

    Encoded = tuple[bytes, Sequence[tuple[bytes, bytes]]]

MAX_KEPT = 4096
_LARGEST_KEPT = 16 * 1024
_ENDED = frozenset({"completed", "failed", "cancelled"})


class _Event(msgspec.Struct, frozen=True, gc=False):
    """A row of the table of events."""

    position: int
    event_id: UUID
    stream_type: str
    stream_id: str
    version: int
    type: str
    schema_version: int
    data: msgspec.Raw
    metadata: EventMetadata
    occurred_at: datetime
    recorded_at: datetime
    checksum: str


class _Page(msgspec.Struct, frozen=True, gc=False):
    events: list[_Event]
    head: int | None


_PAGE = msgspec.json.Decoder(_Page)
_DOCUMENT = TypeAdapter(Document)
_EXECUTION = TypeAdapter(ExecutionOut)
_INSTANCE = TypeAdapter(InstanceOut)


class Reads:
    """The answers of the routes that show one thing."""

    def __init__(self, lookups: Lookups | None) -> None:
        self._lookups = lookups
        self._written: dict[tuple[str, str, bytes], Encoded] = {}

    async def find(self, kind: str, name: str, *, tenant: str) -> Encoded | None:
        """Body and headers; None = not here, or not to be told from one row. Raises UnavailableError."""
        if self._lookups is None:
            return None
        row_kind, write = _KINDS[kind]
        row = await self._lookups.find(row_kind, name, tenant=tenant)
        if row is None:
            return None
        found = self._written.get((kind, name, row))
        if found is None:
            body = write(name, row)
            if body is None:
                return None
            found = (body, _headers(body))
            if len(row) <= _LARGEST_KEPT:
                if len(self._written) >= MAX_KEPT:
                    self._written.clear()
                self._written[kind, name, row] = found
        return found


def _headers(body: bytes) -> Sequence[tuple[bytes, bytes]]:
    length = (b"content-length", b"%d" % len(body))
    return (length, (b"content-type", b"application/json"), (b"etag", etag_of(body)))


def _document(_name: str, row: bytes) -> bytes:
    return _DOCUMENT.dump_json(Document.model_validate_json(row))


def _execution(name: str, row: bytes) -> bytes | None:
    """Of a run that has ended; a later one is told from its events and from Dagster's record, too."""
    found = orjson.loads(row)
    if found.get("status") not in _ENDED:
        return None
    return _EXECUTION.dump_json(ExecutionOut.model_validate(execution_of(name, found)))


def _instance(name: str, row: bytes) -> bytes | None:
    found = orjson.loads(row)
    if found.get("status") not in _ENDED:
        return None
    return _INSTANCE.dump_json(InstanceOut.of(execution_of(name, found)))


def _events(name: str, row: bytes) -> bytes:
    page = _PAGE.decode(row)
    found = [
        RecordedEvent(
            event.position,
            event.event_id,
            "",
            StreamId(event.stream_type, event.stream_id),
            event.version,
            event.type,
            event.schema_version,
            orjson.loads(bytes(event.data)),
            event.metadata,
            event.occurred_at,
            event.recorded_at,
            event.checksum,
        )
        for event in page.events
    ]
    after = found[-1].position if found else int(name.partition(" ")[0])
    events = b",".join(map(written, CATALOG.upcast_all(found)))
    return b'{"events":[%s],"next_after":%d,"head":%d}' % (events, after, page.head or 0)


_KINDS: dict[str, tuple[Kind, Callable[[str, bytes], bytes | None]]] = {
    "document": ("document", _document),
    "execution": ("execution", _execution),
    "instance": ("execution", _instance),
    "events": ("events", _events),
}
