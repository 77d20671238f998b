"""Events start workflows at the moment when they are appended here, and not when a sensor has found them.

A thread holds the events that were handed over against the rules as they stand. Nothing depends on it: the sensor sees the same
events a little later, and the run of an event and a rule has one key. So what cannot be done here is left to the sensor.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Final

from resources.errors import PlatformError
from resources.events.catalog import CATALOG
from resources.events.routing.model import StartWorkflow, fits, in_force, route
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resources.events.model import RecordedEvent
    from resources.events.routing.model import Routed, StoredRule
    from resources.events.routing.store import RuleStore

    Fire = Callable[[Routed], str | None]

log = get_logger(__name__)

WAITING: Final = 1000
"""Events beyond these are left to the sensor."""

KNOWN_SECONDS: Final = 5.0
"""How old the known rules may be. Rules that are changed through this process are known at once."""


class Pushes:
    """Hands events to a thread that starts what they ask for. Safe to share between threads."""

    def __init__(self, rules: RuleStore, fire: Fire) -> None:
        self._rules = rules
        self._fire = fire
        self._waiting: queue.Queue[RecordedEvent | None] = queue.Queue(WAITING)
        self._history: Sequence[StoredRule] = ()
        self._wanted: frozenset[str] | None = None
        self._read_at = float("-inf")
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def push(self, events: Sequence[RecordedEvent]) -> None:
        """Start what the events ask for, soon. Returns at once."""
        if self._thread is None:
            self._begin()
        wanted = self._wanted if time.monotonic() - self._read_at <= KNOWN_SECONDS else None
        for event in events:
            if wanted is None or event.type in wanted:
                try:
                    self._waiting.put_nowait(event)
                except queue.Full:
                    log.info("pushes.left_to_sensor", position=event.position)
                    return

    def refresh(self) -> None:
        """Forget the rules: they have changed."""
        self._read_at = float("-inf")

    def close(self) -> None:
        """End after what is under way."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(10)
            self._thread = None

    def _begin(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="pushes", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while (event := self._waiting.get()) is not None:
            try:
                self._start(event)
            except PlatformError as error:
                log.info("pushes.left_to_sensor", position=event.position, reason=error.message)
            except Exception:
                log.exception("pushes.failed", position=event.position)

    def _start(self, event: RecordedEvent) -> None:
        if time.monotonic() - self._read_at > KNOWN_SECONDS:
            self._read()
        for found in route([event], in_force(self._history, event)):
            if found.matched and isinstance(found.rule.rule.action, StartWorkflow):
                self._fire(found)

    def _read(self) -> None:
        self._read_at = time.monotonic()  # before, so that a change meanwhile is not missed
        history = self._rules.history()
        starting = [stored for stored in history if isinstance(stored.rule.action, StartWorkflow)]
        patterns = {pattern for stored in starting for pattern in stored.rule.types}
        self._wanted = frozenset(name for name in CATALOG.types if any(fits(pattern, name) for pattern in patterns))
        self._history = starting
