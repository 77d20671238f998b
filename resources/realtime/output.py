"""What a run says while it works (text as a model writes it, tools as an agent uses them), on the topic `output.<run id>`.

A step hands a piece over and goes on: pieces are gathered, text of one node joined, and a thread of the run's own publishes them
every few dozen milliseconds as messages that do not persist. A reader that is away for less than a minute resumes from its
position; the whole result is kept by the run. While the database is away, pieces wait; when there are more than fit
they are left out, and a `restart` tells readers that what they have of these nodes is void. The run never waits for any of it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from resources.errors import PlatformError, UnavailableError
from resources.realtime.model import NewMessage
from resources.realtime.topics import OUTPUT
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resources.realtime.store import MessageStore

log = get_logger(__name__)

GATHER_SECONDS: Final = 0.05
MAX_PENDING: Final = 256 * 1024
"""Characters that wait at most."""
_MAX_MESSAGE: Final = 64 * 1024
_MAX_PIECES: Final = 4096
_CLOSE_SECONDS: Final = 2.0
_RETRY_SECONDS: Final = 0.25


def topic_of(run_id: str) -> str:
    """Where the run is heard."""
    return f"{OUTPUT}.{run_id}"


class RunOutput:
    """The output of one run. Steps may write from any thread; nothing is opened before the first piece."""

    def __init__(self, messages: MessageStore, run_id: str, *, tenant: str, gather: float = GATHER_SECONDS) -> None:
        self._messages = messages
        self._topic = topic_of(run_id)
        self._tenant = tenant
        self._gather = gather
        self._lock = threading.Lock()
        self._pieces: list[dict[str, Any]] = []
        self._size = 0
        self._something = threading.Event()
        self._closing = threading.Event()
        self._given_up = threading.Event()
        self._thread: threading.Thread | None = None

    def write(self, node: str, piece: Mapping[str, Any]) -> None:
        """Hand over a piece. Returns at once, whatever happens to it."""
        with self._lock:
            self._add({"node": node, **piece})
            if self._thread is None:
                self._thread = threading.Thread(target=self._publish_until_closed, name="run-output", daemon=True)
                self._thread.start()
        self._something.set()

    def close(self, *, patience: float = _CLOSE_SECONDS) -> None:
        """Publish what waits, and that this is the end; give up after `patience` seconds."""
        if self._thread is None:
            return
        self.write("", {"done": True})
        self._closing.set()
        self._thread.join(patience)
        self._given_up.set()

    def _add(self, piece: dict[str, Any]) -> None:
        last = self._pieces[-1] if self._pieces else {}
        joins = piece.keys() == last.keys() == {"node", "text"} and piece["node"] == last["node"]
        if joins and len(last["text"]) < _MAX_MESSAGE:
            last["text"] += piece["text"]
        else:
            self._pieces.append(piece)
        self._size += len(piece.get("text", ""))
        if self._size > MAX_PENDING or len(self._pieces) > _MAX_PIECES:
            nodes = dict.fromkeys(one["node"] for one in self._pieces)
            self._pieces = [{"node": node, "restart": "output_skipped"} for node in nodes]
            self._size = 0

    def _publish_until_closed(self) -> None:
        while not self._given_up.is_set():
            self._something.wait()
            self._closing.wait(self._gather)
            closing = self._closing.is_set()
            self._something.clear()
            with self._lock:
                pieces, self._pieces, self._size = self._pieces, [], 0
            if pieces:
                content = {"pieces": pieces}
                self._publish(NewMessage(topic=self._topic, content=content, type="agent", persist=False))
            if closing:
                return

    def _publish(self, message: NewMessage) -> None:
        """Until it is there; the id stays the same, so it is there once."""
        while not self._given_up.is_set():
            try:
                self._messages.publish([message], tenant=self._tenant)
                return
            except UnavailableError:
                self._given_up.wait(_RETRY_SECONDS)
            except PlatformError as error:
                log.warning("run.output_refused", topic=self._topic, error=str(error))
                return
