"""Keeps read models up to date, and builds them anew beside those in use."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from resources.errors import ConflictError, PlatformError, UnavailableError, UpstreamError
from resources.events.projections.model import Progress, Rows
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resources.events.model import RecordedEvent
    from resources.events.projections.model import Projection
    from resources.events.projections.store import Batch, ProjectionStore
    from resources.events.store import EventStore

log = get_logger(__name__)


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
                applied = sum(self._update_quietly(projection) for projection in projections)
                if applied:
                    stop.wait(gather)
                else:
                    appended.wait(poll)
        finally:
            cancel()

    def _define(self, projection: Projection) -> None:
        if projection.name not in self._defined:
            self._projections.define(projection.name, version=projection.version)
            self._defined.add(projection.name)

    def _update_quietly(self, projection: Projection) -> int:
        try:
            applied = self.update(projection)
            self._told.pop(projection.name, None)
            return applied
        except PlatformError as error:
            if self._told.get(projection.name) != str(error):
                log.warning("events.projection_waits", projection=projection.name, error=str(error))
            self._told[projection.name] = str(error)
            return 0

    def _catch_up(
        self, projection: Projection, generation: int | None, progress: Callable[[Progress], None] | None
    ) -> int:
        started, applied = time.monotonic(), 0
        while True:
            head = self._events.head(tenant=None)
            step = self._step(projection, generation, head)
            if step is None:
                return applied
            position, events = step
            applied += events
            if progress is not None:
                progress(Progress(position, head, applied, time.monotonic() - started))
            if position >= head or (generation and self._projections.is_cancelled(projection.name, generation)):
                return applied

    def _step(self, projection: Projection, generation: int | None, head: int) -> tuple[int, int] | None:
        """Apply one batch; returns the position reached and the number of events, or None when there is nothing to do."""
        with self._projections.batch(projection.name, generation=generation) as batch:
            if batch is None or batch.position >= head:
                return None
            page = self._events.read_all(
                after_position=batch.position,
                up_to_position=head,
                types=projection.types,
                limit=self._batch,
                tenant=None,
            )
            rows, applied, failed = self._apply(projection, page, batch)
            if failed is None:
                position = page[-1].position if len(page) == self._batch else head
            else:
                # Once more, without what the failed event half changed.
                rows, _, _ = self._apply(projection, page[:applied], batch)
                position = page[applied - 1].position if applied else batch.position
            batch.save(rows, position=position, events=applied)
        if failed is not None:
            event, error = page[applied], failed
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
