"""Group commit: many callers' appends in one transaction, one lock, one flush of the disk, one binary COPY.

Callers `submit` from any thread and get a future; a single thread writes whatever has gathered while the last batch was on its
way to the disk. Nothing about the streams is remembered between batches: their heads are read under the lock each time, so
another process may write the same streams, and an error leaves nothing behind that could be wrong.

When a batch fails, the caller whose append is to blame gets the error and the others do not notice: an id that was stored
before is answered with what is stored; an append that the database refuses is found by halving the batch. When the connection
is lost, nobody knows whether the commit happened; the batch is sent once more, and the event ids tell what was stored.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple, Self

from resources.errors import PlatformError, UnavailableError
from resources.events import envelope
from resources.events.batches import Unit
from resources.events.model import DEFAULT_TENANT, Appended, Expected, StreamAppend
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Protocol

    from resources.events.model import NewEvent, StreamId
    from resources.events.schema import Catalog

    Outcome = tuple[Appended, ...] | PlatformError | None

    class Batches(Protocol):
        """Where batches are written (`PostgresBatches`)."""

        catalog: Catalog

        def write(self, units: Sequence[Unit], *, durable: bool) -> list[Outcome]:
            """Store the units in one transaction. None = not tried: send it again after this batch."""

        def close(self) -> None:
            """Give the connection back."""


log = get_logger(__name__)


class _Pending(NamedTuple):
    unit: Unit
    durable: bool
    size: int
    future: Future[tuple[Appended, ...]]


class EventWriter:
    """The batching writer. Close it, or use it in a `with`: what was submitted is written first."""

    def __init__(self, batches: Batches, *, max_events: int = 2000, max_pending: int = 50_000) -> None:
        """`max_events` in a transaction (one larger append still goes alone); at `max_pending` `submit` waits."""
        self._batches = batches
        self._max_events = max_events
        self._max_pending = max_pending
        self._queue: deque[_Pending] = deque()
        self._pending_events = 0
        self._changed = threading.Condition()
        self._closed = self._idle = False
        self._thread = threading.Thread(target=self._run, name="aiw-events-writer", daemon=True)
        self._thread.start()

    def submit(
        self,
        stream: StreamId,
        events: Sequence[NewEvent],
        *,
        expected_version: int | Expected = Expected.ANY,
        tenant: str = DEFAULT_TENANT,
        durable: bool = True,
    ) -> Future[tuple[Appended, ...]]:
        """Append to one stream, some time soon. As `submit_all`; the result has one entry."""
        return self.submit_all([StreamAppend(stream, tuple(events), expected_version)], tenant=tenant, durable=durable)

    def submit_all(
        self, appends: Sequence[StreamAppend], *, tenant: str = DEFAULT_TENANT, durable: bool = True
    ) -> Future[tuple[Appended, ...]]:
        """Append to several streams, all or nothing.

        Raises InvalidInputError at once; the future raises what `EventStore.append` raises. Appends of one thread are
        stored in the order of their submission. The future cannot be cancelled.
        """
        envelope.check_tenant(tenant)
        return self.submit_unit(Unit(tenant, envelope.prepare(appends, self._batches.catalog)), durable=durable)

    def submit_unit(self, unit: Unit, *, durable: bool = True) -> Future[tuple[Appended, ...]]:
        """As `submit_all`, for what was validated and encoded before (in another thread, say)."""
        future: Future[tuple[Appended, ...]] = Future()
        future.set_running_or_notify_cancel()
        pending = _Pending(unit, durable, unit.size, future)
        with self._changed:
            while self._pending_events >= self._max_pending and not self._closed:
                self._changed.wait()
            if self._closed:
                raise UnavailableError("The event writer is closed.", dependency="event writer")
            self._queue.append(pending)
            self._pending_events += pending.size
            if self._idle:  # the thread that writes looks at the queue by itself after each batch
                self._changed.notify_all()
        return future

    def append(
        self,
        stream: StreamId,
        events: Sequence[NewEvent],
        *,
        expected_version: int | Expected = Expected.ANY,
        tenant: str = DEFAULT_TENANT,
        durable: bool = True,
    ) -> Appended:
        """Submit and wait."""
        future = self.submit(stream, events, expected_version=expected_version, tenant=tenant, durable=durable)
        return future.result()[0]

    def append_all(
        self, appends: Sequence[StreamAppend], *, tenant: str = DEFAULT_TENANT, durable: bool = True
    ) -> tuple[Appended, ...]:
        """Submit and wait."""
        return self.submit_all(appends, tenant=tenant, durable=durable).result()

    def close(self) -> None:
        """Write what was submitted, then end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        try:
            while batch := self._take():
                again = self._write(batch)
                with self._changed:
                    self._queue.extendleft(reversed(again))
                    self._pending_events -= sum(pending.size for pending in batch) - sum(p.size for p in again)
                    self._changed.notify_all()
        finally:
            self._batches.close()

    def _take(self) -> list[_Pending]:
        """The next batch; empty when the writer is closed and has nothing left to do."""
        with self._changed:
            self._idle = True
            while not self._queue and not self._closed:
                self._changed.wait()
            self._idle = False
            batch: list[_Pending] = []
            size = 0
            while self._queue and (not batch or size + self._queue[0].size <= self._max_events):
                batch.append(self._queue.popleft())
                size += batch[-1].size
            return batch

    def _write(self, batch: list[_Pending]) -> list[_Pending]:
        """Write and answer; returns what has to be sent again."""
        durable = any(pending.durable for pending in batch)
        try:
            outcomes = self._batches.write([pending.unit for pending in batch], durable=durable)
        except UnavailableError as error:
            _fail(batch, error)
            return []
        except Exception as error:  # noqa: BLE001  # whatever it is, its caller must hear of it
            if len(batch) > 1:
                middle = len(batch) // 2
                return self._write(batch[:middle]) + self._write(batch[middle:])
            log.warning("events.append_refused", error=str(error))
            _fail(batch, error)
            return []
        again = []
        for pending, outcome in zip(batch, outcomes, strict=True):
            if outcome is None:
                again.append(pending)
            elif isinstance(outcome, PlatformError):
                pending.future.set_exception(outcome)
            else:
                pending.future.set_result(outcome)
        return again


def _fail(batch: Sequence[_Pending], error: Exception) -> None:
    for pending in batch:
        with contextlib.suppress(Exception):  # a caller's callback is no reason to leave the next one without an answer
            pending.future.set_exception(error)
