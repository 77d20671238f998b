"""A bell that many may listen to: "something was appended". Carries no data, so that nothing can be lost in it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

log = get_logger(__name__)


class Signal:
    """Watchers are called in the thread that fires; they must be quick. One that raises does not stop the others."""

    def __init__(self) -> None:
        self._watchers: dict[int, Callable[[], None]] = {}
        self._lock = threading.Lock()
        self._next = 0

    def watch(self, notice: Callable[[], None]) -> Callable[[], None]:
        """Call `notice` at each firing, until the returned function is called."""
        with self._lock:
            key = self._next = self._next + 1
            self._watchers[key] = notice

        def cancel() -> None:
            with self._lock:
                self._watchers.pop(key, None)

        return cancel

    def fire(self) -> None:
        """Ring."""
        with self._lock:
            watchers = list(self._watchers.values())
        for notice in watchers:
            try:
                notice()
            except Exception:
                log.exception("events.watcher_failed")

    @property
    def watched(self) -> bool:
        """Whether anybody listens."""
        with self._lock:
            return bool(self._watchers)
