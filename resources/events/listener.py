"""Hears PostgreSQL's NOTIFY in a thread of its own and rings a signal: one connection a process, however many wait.

Started by the first who waits. When the connection is lost it rings (something may have been missed), waits a moment and
connects again. A forked child starts its own.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from resources.events.signal import Signal
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.database.postgres import Connection, Database

log = get_logger(__name__)

CHANNEL = "aiw_event"
_LOOK_FOR_CLOSE = 0.5
_RECONNECT_AFTER = 1.0


class Listener:
    """One LISTEN connection, shared by all watchers of a process."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._signal = Signal()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._owner = 0
        self._closing = threading.Event()
        self._listening = threading.Event()

    def watch(self, notice: Callable[[], None]) -> Callable[[], None]:
        """Ring `notice` at every notification, until the returned function is called. Returns once it listens."""
        with self._lock:
            if self._thread is None or self._owner != os.getpid():
                if self._owner not in {0, os.getpid()}:
                    self._signal = Signal()
                self._start()
            cancel = self._signal.watch(notice)
        self._listening.wait(timeout=5.0)
        return cancel

    def close(self) -> None:
        """Stop listening. Watchers are not called again."""
        self._closing.set()
        if self._thread is not None and self._owner == os.getpid():
            self._thread.join(timeout=5.0)
        self._thread = None

    def _start(self) -> None:
        self._closing, self._listening = threading.Event(), threading.Event()
        self._owner = os.getpid()
        arguments = (self._signal, self._closing, self._listening)
        self._thread = threading.Thread(target=self._run, args=arguments, name="aiw-events-listener", daemon=True)
        self._thread.start()

    def _run(self, signal: Signal, closing: threading.Event, listening: threading.Event) -> None:
        while not closing.is_set():
            try:
                with self._database.connect() as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    listening.set()
                    signal.fire()
                    _listen(connection, signal, closing)
            except Exception as error:  # noqa: BLE001  # whatever broke it, those who wait need a listener again
                listening.clear()
                log.warning("events.listener_lost", error=str(error))
                signal.fire()
                closing.wait(_RECONNECT_AFTER)


def _listen(connection: Connection, signal: Signal, closing: threading.Event) -> None:
    while not closing.is_set():
        # A burst of notifications rings once.
        if any(True for _ in connection.notifies(timeout=_LOOK_FOR_CLOSE, stop_after=1)):
            signal.fire()
