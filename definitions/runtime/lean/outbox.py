"""Events on their way to the database: collected for a few milliseconds, then written together, in order, once.

There is one outbox a process and database. Who adds does not wait; a background thread sends what has been collected. Who
must know that something is written (a reader, the end of a run, a step with outside effects) calls `flush`.

Promises:

* Order: what was added first is written first, and never without what was added before it.
* Once: a batch keeps its number until the database has confirmed it, so that the receiver can tell a repetition.
* Patience: while the database is away, batches wait and are tried again. When `patience` has run out, or the buffer is full
  until then, what had not been written is given up as a whole: the log of a run ends there, and every attempt to continue
  it, or to call it a success, raises UnavailableError. Its failure can still be recorded once the database is back.
* Fork: a child starts with an empty outbox; what its parent had collected is the parent's to send.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import uuid
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeVar

from resources.errors import UnavailableError
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from definitions.runtime.lean.rows import EventRow, OutputRow, RunUpdate

log = get_logger(__name__)

T = TypeVar("T")

FLUSH_SECONDS = 0.02
MOST_EVENTS = 20_000
MOST_BYTES = 16 * 1024 * 1024
SHORT_PATIENCE_SECONDS = 5.0  # of a process that answers people
LONG_PATIENCE_SECONDS = 60.0  # of a process that executes a run: a restart of the database must not fail it
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 1.0
LEAVE_SECONDS = 10.0
MOST_LOST_RUNS = 10_000


@dataclass(slots=True)
class Batch:
    """What is written in one transaction. The number grows by one with each batch of a writer."""

    writer: uuid.UUID
    number: int
    events: list[EventRow] = field(default_factory=list)
    outputs: list[OutputRow] = field(default_factory=list)
    updates: list[RunUpdate] = field(default_factory=list)


class Courier(Protocol):
    """Brings batches to the database. Raises UnavailableError when it may be tried again, other errors when not."""

    def deliver(self, batch: Batch, *, durable: bool) -> None: ...


class Outbox:
    """Safe to share between threads. One thread of its own sends, so that an interrupt cannot tear a batch apart."""

    def __init__(self, courier: Courier) -> None:
        self.patience = SHORT_PATIENCE_SECONDS
        self._courier = courier
        self._lost: dict[str, str] = {}
        self.forget()

    def forget(self) -> None:
        """Begin anew, empty: for the child of a fork, in which there is no thread and what was collected is its parent's."""
        self._writer = uuid.uuid4()
        self._number = 0
        self._events: list[EventRow] = []
        self._outputs: list[OutputRow] = []
        self._updates: list[RunUpdate] = []
        self._bytes = 0
        self._unconfirmed: Batch | None = None
        self._failing_since: float | None = None
        self._waiting: list[tuple[Future[None], bool]] = []
        self._lock = threading.Lock()
        self._something = threading.Event()
        self._urgent = threading.Event()
        self._thread: threading.Thread | None = None

    # ------------------------------------------------------------------ adding

    def add_event(self, row: EventRow) -> None:
        """Collect one event. Raises UnavailableError if the log of its run has been given up, or cannot be written."""
        if self._lost and row.run_id in self._lost and not row.closes_a_broken_run:
            raise UnavailableError(self._lost[row.run_id], dependency="database")
        self._events.append(row)
        self._wake_up()
        if len(self._events) >= MOST_EVENTS:
            self.flush()

    def add_output(self, row: OutputRow) -> None:
        """Collect one value. It is written with the next event, at the latest."""
        self._outputs.append(row)
        self._bytes += len(row.body or b"")
        self._wake_up()
        if self._bytes >= MOST_BYTES:
            self.flush()

    def add_update(self, update: RunUpdate) -> None:
        """Collect a change of a run's row, to be made together with the event that was added before it."""
        self._updates.append(update)
        self._wake_up()

    @property
    def holds_updates(self) -> bool:
        """Whether a change of a run's row is not known to be committed."""
        unconfirmed = self._unconfirmed
        return bool(self._updates or (unconfirmed and unconfirmed.updates))

    @property
    def holds_anything(self) -> bool:
        """Whether anything is not known to be committed."""
        return bool(self._events or self._outputs or self._updates or self._unconfirmed)

    # ------------------------------------------------------------------ sending

    def flush(self, *, durable: bool = False) -> None:
        """Return when all that was added before is committed; `durable`: and on disk. Raises UnavailableError."""
        if (not durable and not self.holds_anything) or threading.current_thread() is self._thread:
            return
        answer: Future[None] = Future()
        with self._lock:
            self._waiting.append((answer, durable))
        self._urgent.set()
        self._wake_up()
        answer.result()

    def leave(self) -> None:
        """Send what is left; the process ends."""
        self.patience = min(self.patience, LEAVE_SECONDS)
        with contextlib.suppress(Exception):  # told by _give_up
            self.flush()

    def _wake_up(self) -> None:
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._send_until_exit, name="event-log", daemon=True)
                    self._thread.start()
        if not self._something.is_set():
            self._something.set()

    def _send_until_exit(self) -> None:
        while True:
            self._something.wait()
            self._urgent.wait(FLUSH_SECONDS)
            self._something.clear()
            self._urgent.clear()
            with self._lock:
                waiting, self._waiting = self._waiting, []
            try:
                self._send_all(durable=any(durable for _, durable in waiting))
            except Exception as error:  # noqa: BLE001  # those who wait are told, and whoever adds to the run
                for answer, _ in waiting:
                    answer.set_exception(error)
            else:
                for answer, _ in waiting:
                    answer.set_result(None)

    def _send_all(self, *, durable: bool) -> None:
        self._unconfirmed = batch = Batch(self._writer, self._number + 1)
        self._take(batch)
        if not (durable or batch.events or batch.outputs or batch.updates):
            self._unconfirmed = None
            return
        self._number += 1
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                self._courier.deliver(batch, durable=durable)
            except UnavailableError as error:
                now = time.monotonic()
                self._failing_since = self._failing_since or now
                if now + pause > self._failing_since + self.patience:
                    self._give_up(batch, error)
                    raise
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            except Exception as error:
                self._give_up(batch, error)
                raise
            else:
                self._unconfirmed = self._failing_since = None
                return

    def _take(self, batch: Batch) -> None:
        # Others add meanwhile, in the order value, event, update. Taken the other way round, a batch has no update without
        # its event and no event without its value.
        _move(self._updates, batch.updates)
        _move(self._events, batch.events)
        _move(self._outputs, batch.outputs)
        self._bytes = 0

    def _give_up(self, batch: Batch, error: Exception) -> None:
        self._take(batch)
        runs = sorted({event.run_id for event in batch.events})
        log.error("event_log.given_up", runs=runs, events=len(batch.events), error=str(error))
        if len(self._lost) > MOST_LOST_RUNS:
            self._lost.clear()
        for run in runs:
            self._lost[run] = f"The log of run {run!r} could not be written and ends early: {error}"
        self._unconfirmed = self._failing_since = None


def _move(source: list[T], target: list[T]) -> None:
    count = len(source)
    target.extend(source[:count])
    del source[:count]


class Outboxes:
    """The outboxes of this process, by the URL of the database."""

    def __init__(self) -> None:
        self._by_url: dict[str, Outbox] = {}
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._in_child)
        atexit.register(self._at_exit)

    def get(self, url: str, make_courier: Callable[[], Courier]) -> Outbox:
        with self._lock:
            if url not in self._by_url:
                self._by_url[url] = Outbox(make_courier())
            return self._by_url[url]

    def write_updates(self, url: str) -> None:
        """Write the changes of runs' rows that are on their way, for somebody who is about to read them."""
        outbox = self._by_url.get(url)
        if outbox is not None and outbox.holds_updates:
            outbox.flush()

    def _in_child(self) -> None:
        self._lock = threading.Lock()
        for outbox in self._by_url.values():
            outbox.forget()

    def _at_exit(self) -> None:
        for outbox in self._by_url.values():
            outbox.leave()


OUTBOXES = Outboxes()
