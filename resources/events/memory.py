"""The event store in this process's memory: for tests and for trying things out. Nothing outlives the process."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from resources.events import envelope
from resources.events.catalog import CATALOG
from resources.events.model import DEFAULT_TENANT, Appended, Expected, RecordedEvent, StreamAppend, StreamId
from resources.events.signal import Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from uuid import UUID

    from resources.events.envelope import PreparedAppend, PreparedEvent
    from resources.events.model import NewEvent
    from resources.events.schema import Catalog


def _utc_now() -> datetime:
    return datetime.now(UTC)


class MemoryEventStore:
    """All promises of the port but durability."""

    def __init__(self, *, catalog: Catalog = CATALOG, now: Callable[[], datetime] = _utc_now) -> None:
        self._catalog = catalog
        self._now = now
        self._lock = threading.Lock()
        self._signal = Signal()
        self._events: list[RecordedEvent] = []
        self._streams: dict[tuple[str, StreamId], list[RecordedEvent]] = defaultdict(list)
        self._by_id: dict[tuple[str, UUID], RecordedEvent] = {}

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
        del durable
        envelope.check_tenant(tenant)
        prepared = envelope.prepare(appends, self._catalog)
        with self._lock:
            stored = envelope.already_stored(prepared, self._known(prepared, tenant))
            if stored is None:
                self._refuse_conflicts(prepared, tenant)
                stored = tuple(
                    Appended.of(tuple(self._record(append.stream, event, tenant) for event in append.events))
                    for append in prepared
                )
        self._signal.fire()
        return stored

    def restore(self, events: Sequence[RecordedEvent], *, tenant: str = DEFAULT_TENANT) -> int:
        envelope.check_tenant(tenant)
        prepared = envelope.restore_all(events)
        if not prepared:
            return 0
        with self._lock:
            if envelope.already_stored(prepared, self._known(prepared, tenant)) is not None:
                return 0
            self._refuse_conflicts(prepared, tenant)
            for event in events:
                self._record(event.stream, envelope.restore(event), tenant)
        self._signal.fire()
        return len(events)

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
        with self._lock:
            events = self._streams.get((tenant, stream), [])[max(0, after_version) :]
        found = [
            event
            for event in events
            if (up_to_version is None or event.version <= up_to_version)
            and (up_to_position is None or event.position <= up_to_position)
            and (up_to_time is None or event.recorded_at <= up_to_time)
        ]
        return self._read(reversed(found) if backwards else found, limit)

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
        with self._lock:
            start = bisect_right(self._events, after_position, key=lambda event: event.position)
            events = self._events[start:]
        found = (
            event
            for event in events
            if (tenant is None or event.tenant == tenant)
            and (up_to_position is None or event.position <= up_to_position)
            and (types is None or event.type in types)
            and (stream_type is None or event.stream.type == stream_type)
            and (not tags or tags.items() <= event.metadata.tags.items())
        )
        return self._read(found, limit, upcast=upcast)

    def read_correlation(
        self, correlation_id: str, *, after_position: int = 0, limit: int = 1000, tenant: str = DEFAULT_TENANT
    ) -> Sequence[RecordedEvent]:
        with self._lock:
            events = list(self._events)
        found = (
            event
            for event in events
            if event.tenant == tenant
            and event.metadata.correlation_id == correlation_id
            and event.position > after_position
        )
        return self._read(found, limit)

    def find(self, event_ids: Collection[UUID], *, tenant: str | None = DEFAULT_TENANT) -> Sequence[RecordedEvent]:
        wanted = set(event_ids)
        with self._lock:
            events = list(self._events)
        found = (event for event in events if event.event_id in wanted and tenant in {None, event.tenant})
        return self._read(found, None)

    def head(self, *, tenant: str | None = DEFAULT_TENANT) -> int:
        with self._lock:
            events = reversed(self._events)
            return next((event.position for event in events if tenant in {None, event.tenant}), 0)

    def watch(self, notice: Callable[[], None]) -> Callable[[], None]:
        return self._signal.watch(notice)

    def _known(self, prepared: Sequence[PreparedAppend], tenant: str) -> dict[UUID, RecordedEvent]:
        ids = [event.event_id for append in prepared for event in append.events]
        return {event_id: self._by_id[tenant, event_id] for event_id in ids if (tenant, event_id) in self._by_id}

    def _refuse_conflicts(self, prepared: Sequence[PreparedAppend], tenant: str) -> None:
        for append in prepared:
            actual = len(self._streams.get((tenant, append.stream), ()))
            if not envelope.is_expected(append.expected_version, actual):
                raise envelope.conflict(append.stream, append.expected_version, actual)

    def _record(self, stream_id: StreamId, event: PreparedEvent, tenant: str) -> RecordedEvent:
        stream = self._streams[tenant, stream_id]
        now = self._now()
        record = envelope.recorded(
            event,
            stream_id,
            tenant=tenant,
            version=len(stream) + 1,
            position=len(self._events) + 1,
            recorded_at=max(now, stream[-1].recorded_at) if stream else now,
        )
        self._events.append(record)
        self._by_id[tenant, record.event_id] = record
        stream.append(record)
        return record

    def _read(self, events: Any, limit: int | None, *, upcast: bool = True) -> Sequence[RecordedEvent]:
        taken: list[RecordedEvent] = []
        for event in events:
            if limit is not None and len(taken) >= limit:
                break
            taken.append(self._catalog.upcast(event) if upcast else event)
        return taken
