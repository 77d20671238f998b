"""One reader of the hub: a bounded queue, and what happens when it is too slow.

What has a position stays in order and is never left out: a reader that cannot keep up with it is sent away (1013), and comes back
to where it was. What has none (facts in passing, typing, presence) is left out when the queue is full, the least important
first.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import TYPE_CHECKING, Any

from resources.realtime.model import Priority
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from uuid import UUID

    from api.realtime.frames import Dialect
    from resources.realtime.limits import TokenBucket
    from resources.tenants.model import Principal

log = get_logger(__name__)

QUEUE = 1000
MOST_CHARACTERS = 16 * 1024 * 1024
"""Of all frames that wait: a thousand large ones would be too much for one reader who takes none."""

TRY_AGAIN_LATER = 1013
GONE = 1006
_BREATH = 64


class Frame:
    """A text to send. `place` tells which position of which log it has, if any; `receipt` the message to confirm."""

    __slots__ = ("event", "place", "priority", "receipt")

    def __init__(
        self,
        text: str,
        *,
        place: str | None = None,
        priority: Priority = Priority.NORMAL,
        receipt: UUID | None = None,
    ) -> None:
        self.event = {"type": "websocket.send", "text": text}
        self.place = place
        self.priority = priority
        self.receipt = receipt

    @property
    def text(self) -> str:
        return self.event["text"]


class Connection:
    """`write` sends a frame and returns when there is room for the next; `end` makes the reader's task look at `closing`.

    It joined the feed of messages at `since`; what was for it alone above `caught_up` and up to there came by itself.
    """

    __slots__ = (
        "_flushing", "_load", "_passing", "_queue", "_room", "_size", "_write", "active_at", "bucket", "caught_up", "closing",
        "dialect", "end", "id", "missed", "on_receipt", "patterns", "pinged_at", "pongs", "present", "principal", "since",
        "warned",
    )  # fmt: skip

    def __init__(
        self,
        id: str,
        principal: Principal,
        write: Callable[[Frame], Awaitable[Any]],
        end: Callable[[], Any],
        *,
        bucket: TokenBucket,
        dialect: Dialect = "simple",
        size: int = QUEUE,
        now: float = 0.0,
    ) -> None:
        self.id = id
        self.principal = principal
        self.end = end
        self.bucket = bucket
        self.dialect: Dialect = dialect
        self.patterns: set[str] = set()
        self.closing: tuple[int, str] | None = None
        self.on_receipt: Callable[[Connection, UUID], None] | None = None
        self.active_at = self.pinged_at = now
        self.missed = 0
        self.pongs = False
        self.present = True
        self.since = 0
        self.caught_up: float = math.inf
        self.warned = False
        self._write = write
        self._size = size
        self._queue: deque[Frame] = deque()
        self._passing = 0
        self._load = 0
        self._flushing: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None

    @property
    def waiting(self) -> int:
        """Frames that are not sent yet."""
        return len(self._queue)

    @property
    def half_full(self) -> bool:
        """Whether who has much to say should wait (`drained`)."""
        return len(self._queue) > self._size // 2 or self._load > MOST_CHARACTERS // 2

    def offer(self, frame: Frame) -> bool:
        """Send the frame as soon as possible; False when it will not be sent."""
        if self.closing is not None:
            return False
        while self._queue and (len(self._queue) >= self._size or self._load + len(frame.text) > MOST_CHARACTERS):
            if not self._make_room(frame):
                return False
        self._queue.append(frame)
        self._passing += frame.place is None
        self._load += len(frame.text)
        if self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())
        return True

    def say(self, text: str) -> bool:
        """Send an answer: nothing but the connection's own limit holds it back."""
        return self.offer(Frame(text, priority=Priority.CRITICAL))

    async def drained(self) -> None:
        """Wait until at most half of the queue is used, or the connection ends."""
        while self.half_full and self.closing is None:
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    async def flushed(self) -> None:
        """Wait until all is sent."""
        while self._flushing is not None:
            await asyncio.wait([self._flushing])

    def close(self, code: int, reason: str) -> None:
        """End the connection, from the loop's thread. What is queued is dropped."""
        if self.closing is not None:
            return
        self.closing = (code, reason)
        self._queue.clear()
        self._passing = self._load = 0
        if self._flushing is not None:
            self._flushing.cancel()
        self._wake()
        self.end()

    async def _flush(self) -> None:
        sent = 0
        try:
            while self._queue:
                frame = self._queue.popleft()
                self._passing -= frame.place is None
                self._load -= len(frame.text)
                await self._write(frame)
                if frame.receipt is not None and self.on_receipt is not None:
                    self.on_receipt(self, frame.receipt)
                if self._room is not None and not self.half_full:
                    self._wake()
                sent += 1
                if sent % _BREATH == 0:
                    await asyncio.sleep(0)
        except Exception as error:  # noqa: BLE001  # whatever it is, this connection cannot be written to
            self._flushing = None
            log.debug("realtime.write_failed", connection=self.id, error=str(error))
            self.close(GONE, "gone")
        finally:
            self._flushing = None

    def _make_room(self, frame: Frame) -> bool:
        if self._passing:
            least = min((one for one in self._queue if one.place is None), key=lambda one: one.priority)
            if frame.place is not None or least.priority < frame.priority:
                self._queue.remove(least)
                self._passing -= 1
                self._load -= len(least.text)
                return True
        if frame.place is None:
            return False
        self.close(TRY_AGAIN_LATER, "too slow: come back, and go on after the last position")
        return False

    def _wake(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None
