"""News of changed rights, by NOTIFY: what is told in a transaction is heard when it is committed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.database.postgres import Database

log = get_logger(__name__)

CHANNEL = "aiw_auth"


class PostgresNotices:
    """Hears NOTIFY in a thread of its own, started by the first who watches. Tells `*` whenever it begins to listen anew."""

    _LOOK_FOR_CLOSE = 0.5
    _RECONNECT_AFTER = 1.0

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watchers: dict[int, Callable[[str], None]] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._next = 0
        self.listening = threading.Event()

    def watch(self, notice: Callable[[str], None]) -> Callable[[], None]:
        with self._lock:
            key = self._next = self._next + 1
            self._watchers[key] = notice
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="aiw-auth-listener", daemon=True)
                self._thread.start()

        def cancel() -> None:
            with self._lock:
                self._watchers.pop(key, None)

        return cancel

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)

    def _run(self) -> None:
        while not self._closing.is_set():
            try:
                with self._database.connect() as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self.listening.set()
                    self._tell("*")
                    while not self._closing.is_set():
                        for heard in connection.notifies(timeout=self._LOOK_FOR_CLOSE, stop_after=1):
                            self._tell(heard.payload)
            except Exception as error:  # noqa: BLE001  # whatever broke it, revocations must be heard again
                self.listening.clear()
                log.warning("auth.listener_lost", error=str(error))
                self._tell("*")
                self._closing.wait(self._RECONNECT_AFTER)

    def _tell(self, news: str) -> None:
        with self._lock:
            watchers = list(self._watchers.values())
        for notice in watchers:
            notice(news)
