"""Keeps read models up to date, and builds them anew beside those in use.

Those that are up to date stand at the same place and go on together: new events are read once for all of them, and one
statement moves those on that none of the new events concern.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from resources.errors import ConflictError, PlatformError, UnavailableError, UpstreamError
from resources.events.projections.model import Progress, Rows
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from resources.events.model import RecordedEvent
    from resources.events.projections.model import Projection
    from resources.events.projections.store import Batch, ProjectionStore
    from resources.events.store import EventStore

log = get_logger(__name__)


class _Page(NamedTuple):
    """The events after `after`; there are no others up to `reached`."""

    after: int
    events: Sequence[RecordedEvent]
    reached: int

    def of(self, projection: Projection) -> Sequence[RecordedEvent]:
        return [event for event in self.events if event.type in projection.types]


class Projector:
    """Applies events of all tenants to projections. Any number of processes may do so: one works, the others look on."""

    def __init__(self, events: EventStore, projections: ProjectionStore, *, batch: int = 500) -> None:
        self._events = events
        self._projections = projections
        self._batch = batch
        self._defined: set[str] = set()
        self._told: dict[str, str] = {}

    def update(self, projection: Projection, *, progress: Callable[[Progress], None] | None = None) -> int:
        """Bring the rows up to the newest event; returns how many events were applied.

        Rows of an older version of the projection, or none at all, are built anew. Raises UpstreamError when the projection
        fails on an event (the rows stay at the one before it), UnavailableError.
        """
        self._define(projection)
        status = self._projections.status(projection.name)
        if status.version > projection.version:
            return 0  # a newer release is at work beside this one
        if status.version < projection.version:
            return self.rebuild(projection, progress=progress)
        return self._catch_up(projection, None, progress)

    def rebuild(self, projection: Projection, *, progress: Callable[[Progress], None] | None = None) -> int:
        """Build the rows from the first event, beside those in use, and swap; returns how many events were applied.

        One that was interrupted goes on where it stood. Raises ConflictError (`rebuild_cancelled`) when somebody cancels it.
        """
        name = projection.name
        self._define(projection)
        generation = self._projections.begin_rebuild(name, version=projection.version)
        applied = 0
        while True:
            applied += self._catch_up(projection, generation, progress)
            if self._projections.is_cancelled(name, generation):
                raise ConflictError(f"The rebuild of {name!r} was cancelled.", code="rebuild_cancelled")
            if self._projections.finish_rebuild(name, generation):
                log.info("events.projection_rebuilt", projection=name, generation=generation, events=applied)
                return applied
            self._pause()  # another worker is at it, or the rows in use have moved on

    def run(
        self, projections: Sequence[Projection], stop: threading.Event, *, poll: float = 1.0, gather: float = 0.0
    ) -> None:
        """Keep all of them up to date until `stop` is set. One that fails does not hold the others up.

        After each round it waits `gather` seconds, so that steady appending is worked off in batches and not one by one.
        """
        appended = threading.Event()
        cancel = self._events.watch(appended.set)
        try:
            while not stop.is_set():
                appended.clear()
                if self._update_all(projections):
                    stop.wait(gather)
                else:
                    appended.wait(poll)
        finally:
            cancel()

    def _update_all(self, projections: Sequence[Projection]) -> int:
        """Bring all up to the newest event; returns how many events were applied."""
        try:
            head = self._events.head(tenant=None)
            known = {status.name: status for status in self._projections.list()}
        except PlatformError:
            return sum(self._update_quietly(projection) for projection in projections)  # which tells what is wrong
        applied = 0
        together: dict[int, list[Projection]] = {}
        for projection in projections:
            status = known.get(projection.name)
            if status is None or status.version != projection.version:
                applied += self._update_quietly(projection)
            elif status.state != "stopped" and status.position < head:
                together.setdefault(status.position, []).append(projection)
        return applied + sum(self._update_together(group, after, head) for after, group in together.items())

    def _update_together(self, projections: Sequence[Projection], after: int, head: int) -> int:
        """Bring those that stand at `after` up to `head`."""
        try:
            page = self._read(frozenset().union(*(projection.types for projection in projections)), after, head)
            concerned = [projection for projection in projections if page.of(projection)]
            others = [projection.name for projection in projections if projection not in concerned]
            if others:
                self._projections.advance(others, after=after, to=page.reached)
        except PlatformError:
            concerned, page = list(projections), None
        return sum(self._update_quietly(projection, page) for projection in concerned)

    def _define(self, projection: Projection) -> None:
        if projection.name not in self._defined:
            self._projections.define(projection.name, version=projection.version)
            self._defined.add(projection.name)

    def _update_quietly(self, projection: Projection, page: _Page | None = None) -> int:
        try:
            applied = self.update(projection) if page is None else self._catch_up(projection, None, None, page)
            self._told.pop(projection.name, None)
            return applied
        except PlatformError as error:
            if self._told.get(projection.name) != str(error):
                log.warning("events.projection_waits", projection=projection.name, error=str(error))
            self._told[projection.name] = str(error)
            return 0

    def _catch_up(
        self,
        projection: Projection,
        generation: int | None,
        progress: Callable[[Progress], None] | None,
        page: _Page | None = None,
    ) -> int:
        """`page`: what was read for it already."""
        started, applied = time.monotonic(), 0
        while True:
            head = self._events.head(tenant=None) if page is None else page.reached
            step = self._step(projection, generation, head, page)
            if step is None:
                return applied
            position, events = step
            applied += events
            if progress is not None:
                progress(Progress(position, head, applied, time.monotonic() - started))
            if position >= head or (generation and self._projections.is_cancelled(projection.name, generation)):
                return applied

    def _read(self, types: Collection[str], after: int, head: int) -> _Page:
        events = self._events.read_all(
            after_position=after, up_to_position=head, types=types, limit=self._batch, tenant=None
        )
        return _Page(after, events, events[-1].position if len(events) == self._batch else head)

    def _step(
        self, projection: Projection, generation: int | None, head: int, page: _Page | None
    ) -> tuple[int, int] | None:
        """Apply one batch; returns the position reached and the number of events, or None when there is nothing to do."""
        with self._projections.batch(projection.name, generation=generation) as batch:
            if batch is None or batch.position >= head:
                return None
            if page is None or page.after != batch.position:
                page = self._read(projection.types, batch.position, head)
            events = page.of(projection)
            rows, applied, failed = self._apply(projection, events, batch)
            if failed is None:
                position = page.reached
            else:
                # Once more, without what the failed event half changed.
                rows, _, _ = self._apply(projection, events[:applied], batch)
                position = events[applied - 1].position if applied else batch.position
            batch.save(rows, position=position, events=applied)
        if failed is not None:
            event, error = events[applied], failed
            text = f"{type(error).__name__} at position {event.position} ({event.type}): {error}"
            self._projections.note_failure(projection.name, text)
            raise UpstreamError(
                f"The projection {projection.name!r} failed: {text}", code="projection_failed"
            ) from error
        return position, applied

    def _apply(
        self, projection: Projection, page: Sequence[RecordedEvent], batch: Batch
    ) -> tuple[Rows, int, Exception | None]:
        """The changed rows, how many events went well, and why the next one did not."""
        rows, number = Rows(batch.load), 0
        try:
            rows.prefetch([(event.tenant, key) for event in page for key in _keys(projection, event)])
            for number, event in enumerate(page):  # noqa: B007  # read after the loop
                projection.apply(event, rows)
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001  # a bug of the projection; it must not take the others with it
            return rows, number, error
        return rows, len(page), None

    def _pause(self) -> None:
        threading.Event().wait(0.1)


def _keys(projection: Projection, event: RecordedEvent) -> tuple[str, ...]:
    """A hint: an event that has no key fails when it is applied, and alone."""
    try:
        return projection.keys(event)
    except (KeyError, TypeError):
        return ()
