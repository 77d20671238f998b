"""Hears what is told through PostgreSQL's NOTIFY, in a thread of its own: one connection a process, whoever waits.

Hears the messages' own channel, the event store's, and Dagster's (`run_events`: `<run id>_<event id>` for each entry of its
log). When the connection is lost, watchers get a notice of kind `lost` as soon as there is a new one: what was told in the
meantime was missed.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import orjson

from resources.events.listener import CHANNEL as EVENTS
from resources.realtime.model import Notice
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resources.database.postgres import Connection, Database

    Watcher = Callable[[Sequence[Notice]], None]

log = get_logger(__name__)

CHANNEL = "aiw_realtime"
RUNS = "run_events"
_LOOK_FOR_CLOSE = 0.5
_RECONNECT_AFTER = 0.5


class Listener:
    """One LISTEN connection, shared by all watchers of a process. Started by the first."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._watchers: dict[int, Watcher] = {}
        self._number = 0
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._listening = threading.Event()

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Call `watcher` with each batch of notices until the returned function is called. Returns once it listens."""
        with self._lock:
            self._number += 1
            number = self._number
            self._watchers[number] = watcher
            if self._thread is None:
                self._closing.clear()
                self._thread = threading.Thread(target=self._run, name="aiw-realtime-listener", daemon=True)
                self._thread.start()
        self._listening.wait(timeout=5.0)

        def cancel() -> None:
            with self._lock:
                self._watchers.pop(number, None)

        return cancel

    def close(self) -> None:
        """Stop listening."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
        self._thread = None
        self._listening.clear()

    def _run(self) -> None:
        told = False
        while not self._closing.is_set():
            try:
                with self._database.connect() as connection:
                    for channel in (CHANNEL, EVENTS, RUNS):
                        connection.execute(f"LISTEN {channel}")
                    again = self._listening.is_set()
                    self._listening.set()
                    told = False
                    if again:
                        self._tell([Notice("lost")])
                    self._listen(connection)
            except Exception as error:  # noqa: BLE001  # whatever broke it, those who wait need a listener again
                if not told:  # once, however long it takes
                    told = True
                    log.warning("realtime.listener_lost", error=str(error))
                self._closing.wait(_RECONNECT_AFTER)

    def _listen(self, connection: Connection) -> None:
        while not self._closing.is_set():
            heard = connection.notifies(timeout=_LOOK_FOR_CLOSE, stop_after=1)
            notices = [parsed for one in heard if (parsed := parse(one.channel, one.payload)) is not None]
            if notices:
                self._tell(notices)

    def _tell(self, notices: Sequence[Notice]) -> None:
        with self._lock:
            watchers = list(self._watchers.values())
        for watcher in watchers:
            try:
                watcher(notices)
            except Exception:
                log.exception("realtime.watcher_failed")


def parse(channel: str, payload: str) -> Notice | None:
    """What a notification means; None for what nobody of ours told."""
    if channel == EVENTS:
        return Notice("events")
    if channel == RUNS:
        run_id, _, event_id = payload.rpartition("_")
        return Notice("run", "", (run_id, event_id)) if event_id.isdecimal() else None
    return decode(payload)


def decode(payload: str | bytes) -> Notice | None:
    """A notice that `encode` wrote; None for anything else."""
    try:
        kind, tenant, ids = orjson.loads(payload)
        return Notice(str(kind), str(tenant), tuple(map(str, ids)))
    except (ValueError, TypeError):
        return None
