"""Our own event store on the workload of the event benchmark, in a process of its own as its peers are."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from resources.database.postgres import Database
from resources.events import envelope
from resources.events.batches import Unit
from resources.events.catalog import CATALOG
from resources.events.live import follow
from resources.events.model import DEFAULT_TENANT, NewEvent, StreamAppend, StreamId
from resources.events.postgres import PostgresBatches, PostgresEventStore
from resources.events.projections.documents import DocumentCatalog
from resources.events.projections.postgres import PostgresProjections
from resources.events.projections.projector import Projector
from resources.events.replays.model import ReplayRequest, Selection
from resources.events.replays.postgres import PostgresReplays
from resources.events.replays.replayer import Replayer, Target
from resources.events.writer import EventWriter
from resources.telemetry.logging import configure_logging
from tests.benchmarks import workload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future

    from resources.events.model import RecordedEvent

_UNDER_WAY = 12


class Ours:
    def __init__(self, url: str) -> None:
        self.database = Database(url, pool_size=12)
        self.store = PostgresEventStore(self.database)
        self.writer = EventWriter(PostgresBatches(self.database), max_events=4000)
        self._number = 0

    def make(self, stream: str, first_version: int, count: int) -> list[NewEvent]:
        del stream, first_version
        self._number += count
        return [NewEvent("document.received", workload.payload(self._number + place)) for place in range(count)]

    def encode(self, stream: str, events: list[NewEvent]) -> Unit:
        return Unit(
            DEFAULT_TENANT, envelope.prepare([StreamAppend(StreamId("document", stream), tuple(events))], CATALOG)
        )

    def append(self, stream: str, events: list[NewEvent]) -> None:
        self.store.append(StreamId("document", stream), events)

    def bulk(self, batches: list[tuple[str, Any]], *, encoded: bool) -> None:
        under_way: deque[Future[Any]] = deque()
        for stream, events in batches:
            unit = events if encoded else self.encode(stream, events)
            under_way.append(self.writer.submit_unit(unit))
            if len(under_way) > _UNDER_WAY:
                under_way.popleft().result()
        for future in under_way:
            future.result()

    def read_all(self, page: int, *, decoded: bool) -> int:
        del decoded  # ours always are
        position, count = 0, 0
        while found := self.store.read_all(after_position=position, limit=page, tenant=None):
            position, count = found[-1].position, count + len(found)
        return count

    def live(self) -> tuple[Iterator[RecordedEvent], Callable[[], None]]:
        stop = threading.Event()
        return follow(self.store, after_position=self.store.head(), stop=stop), stop.set

    # What only we are asked

    def grouped(self, *, writers: int, count: int) -> dict[str, float]:
        """As `append` with one event, through the writer that puts the threads' appends into common transactions."""
        side = _Grouped(self)
        return workload.append(side, writers=writers, batch=1, count=count)

    def crowd(self, *, producers: int, total: int) -> dict[str, float]:
        """Appends of one event, `producers` of them under way at any time."""
        made = [self.make("", 0, 1) for _ in range(total)]
        gc.freeze()
        room, times = threading.Semaphore(producers), []
        cpu, started = time.process_time(), time.perf_counter()

        def done(sent: float) -> Callable[[Future[Any]], None]:
            def note(_: Future[Any]) -> None:
                times.append(time.perf_counter() - sent)
                room.release()

            return note

        futures = []
        for number, events in enumerate(made):
            room.acquire()
            sent = time.perf_counter()
            future = self.writer.submit(StreamId("document", f"crowd-{started}-{number % 1000}"), events)
            future.add_done_callback(done(sent))
            futures.append(future)
        for future in futures:
            future.result()
        seconds = time.perf_counter() - started
        times.sort()
        return {
            "events_s": total / seconds,
            "p50_ms": times[total // 2] * 1000,
            "p99_ms": times[int(total * 0.99)] * 1000,
            "cpu_us": (time.process_time() - cpu) / total * 1e6,
        }

    def project(self) -> dict[str, float]:
        """Build the catalogue of documents from the first event."""
        started = time.perf_counter()
        applied = Projector(self.store, PostgresProjections(self.database), batch=1000).rebuild(DocumentCatalog())
        return {"events_s": applied / (time.perf_counter() - started)}

    def replay(self, *, total: int) -> dict[str, float]:
        """Deliver events to a target that does nothing."""
        last = self.store.read_all(limit=total, tenant=None)[-1].position
        replayer = Replayer(
            self.store, PostgresReplays(self.database), {"nothing": Target(lambda _: None, effects=False)}
        )
        started = time.perf_counter()
        status = replayer.run(ReplayRequest(Selection(up_to_position=last), ("nothing",)))
        return {"events_s": status.events / (time.perf_counter() - started)}


class _Grouped(Ours):
    def __init__(self, ours: Ours) -> None:
        self.writer, self._number = ours.writer, 0

    def append(self, stream: str, events: list[NewEvent]) -> None:
        self.writer.append(StreamId("document", stream), events)


if __name__ == "__main__":
    configure_logging(level="warning")  # to standard error: standard output carries the answers
    workload.serve(Ours(sys.argv[1]))
