"""The platform's own facts as they happen: one feed a process, of the event store and of Dagster's log of runs.

It reads on after the position that it has told, and rests as long as nobody listens.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from api.realtime import frames, live
from api.realtime.connection import Connection, Frame
from resources.errors import PlatformError
from resources.realtime import topics
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Any

    from api.realtime.room import Room
    from resources.events.model import RecordedEvent
    from resources.events.store import EventStore
    from resources.realtime.runs.postgres import PostgresRunLog

log = get_logger(__name__)

_PAGE = 500
_RETRY = 0.5
_RUNS_KNOWN = 10_000
_TYPES = tuple(live.types())


class FactsFeed:
    """Belongs to the loop of its hub. `wanted` counts subscriptions, `seen` is the position that was told.

    `thread` runs what waits for the database, `spawn` what goes on in the background.
    """

    def __init__(
        self,
        rooms: Mapping[str, Room],
        events: EventStore,
        runs: PostgresRunLog | None,
        *,
        thread: Callable[..., Coroutine[Any, Any, Any]],
        spawn: Callable[[Coroutine[Any, Any, Any]], object],
    ) -> None:
        self.seen = 0
        self.wanted = 0
        self._rooms = rooms
        self._events = events
        self._runs = runs
        self._thread = thread
        self._spawn = spawn
        self._running = False
        self._again = False
        self._known: OrderedDict[str, int] = OrderedDict()
        self._pending: dict[str, int] = {}
        self._reading_runs = False

    async def rouse(self) -> None:
        """Begin at the newest fact, if nobody has listened so far."""
        if not self.wanted:
            head = await self._thread(self._events.head, tenant=None)
            if not self.wanted:
                self.seen = max(self.seen, head)

    async def replay(self, connection: Connection, patterns: set[str], after: int) -> int:
        """Send what happened above `after`; the position that was reached."""
        while after < (up_to := self.seen) and connection.closing is None:
            page = await self._thread(
                self._events.read_all,
                after_position=after,
                up_to_position=up_to,
                types=_TYPES,
                tenant=connection.principal.tenant,
                limit=_PAGE,
            )
            for event in page:
                topic = next((one for one in live.topics_of(event) if topics.any_fits(patterns, one)), None)
                if topic is not None:
                    connection.offer(_fact_frame(event, topic, connection.dialect))
                    if connection.half_full:
                        await connection.drained()
            after = page[-1].position if len(page) == _PAGE else up_to
        return after

    def wake(self) -> None:
        self._again = True
        if not self._running and self.wanted:
            self._running = True
            self._spawn(self._read_on())

    async def _read_on(self) -> None:
        try:
            while self._again and self.wanted:
                self._again = False
                try:
                    head = await self._thread(self._events.head, tenant=None)
                    page = await self._thread(
                        self._events.read_all,
                        after_position=self.seen,
                        up_to_position=head,
                        types=_TYPES,
                        limit=_PAGE,
                        tenant=None,
                    )
                except PlatformError as error:
                    log.warning("realtime.facts_wait", error=error.message)
                    self._again = True
                    await asyncio.sleep(_RETRY)
                    continue
                for event in page:
                    self.seen = event.position
                    self._tell_event(event)
                if len(page) == _PAGE:
                    self._again = True
                else:
                    self.seen = max(self.seen, head)
        finally:
            self._running = False

    def _tell_event(self, event: RecordedEvent) -> None:
        room = self._rooms.get(event.tenant)
        if room is None:
            return
        told: set[Connection] = set()
        for topic in live.topics_of(event):
            made: dict[str, Frame] = {}
            for connection in room.index.matching(topic):
                if connection in told:
                    continue
                told.add(connection)
                frame = made.get(connection.dialect)
                if frame is None:
                    frame = made[connection.dialect] = _fact_frame(event, topic, connection.dialect)
                connection.offer(frame)

    def run_told(self, run_id: str, event_id: int) -> None:
        """Dagster wrote to the log of a run, up to this entry."""
        if self._runs is None:
            return
        topic = f"runs.{run_id}"
        if not any(room.index.matching(topic) for room in self._rooms.values()):
            self._mark_run(run_id, event_id)
            return
        self._pending[run_id] = max(event_id, self._pending.get(run_id, 0))
        if not self._reading_runs:
            self._reading_runs = True
            self._spawn(self._read_runs())

    async def _read_runs(self) -> None:
        assert self._runs is not None
        try:
            while self._pending:
                run_id, up_to = self._pending.popitem()
                after = self._known.get(run_id, 0)
                if up_to <= after:
                    continue
                try:
                    entries = await self._thread(self._runs.read, run_id, after=after, up_to=up_to)
                except PlatformError as error:
                    log.warning("realtime.run_not_read", run_id=run_id, error=error.message)
                    continue
                self._mark_run(run_id, up_to)
                for entry in entries:
                    room = self._rooms.get(entry.tenant)
                    topic = f"runs.{run_id}"
                    for connection in room.index.matching(topic) if room is not None else ():
                        text = frames.fact_text(
                            topic, entry.content, connection.dialect, id=f"run-{entry.id}", at=entry.at, position=None
                        )
                        connection.offer(Frame(text))
        finally:
            self._reading_runs = False

    def _mark_run(self, run_id: str, event_id: int) -> None:
        runs = self._known
        runs[run_id] = max(event_id, runs.get(run_id, 0))
        runs.move_to_end(run_id)
        if len(runs) > _RUNS_KNOWN:
            runs.popitem(last=False)


def _fact_frame(event: RecordedEvent, topic: str, dialect: frames.Dialect) -> Frame:
    text = frames.fact_text(
        topic, live.content_of(event), dialect, id=str(event.event_id), at=event.recorded_at, position=event.position
    )
    return Frame(text, place=f"e{event.position}")
