"""Events as they happen, as server-sent events (WHATWG HTML §9.2), resumable by `Last-Event-ID`.

An event's id is its position, so a reader that comes back with the last id it saw misses nothing and sees nothing twice. When
nothing happens, a heartbeat tells (as an id without data, which browsers keep and do not report) how far has been looked: a
reader of rare events does not begin at the last of them again. At most one page is held in memory; whoever reads slowly is
read for slowly.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from anyio import to_thread

from api.schemas import EventOut
from resources.errors import LimitExceededError, UnavailableError
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping

    from resources.events.model import RecordedEvent
    from resources.events.store import EventStore

log = get_logger(__name__)

PAGE = 200
_RECONNECT_MILLISECONDS = 1000


class Tails:
    """The tails of one process: how many there may be, and the sign for all of them to end."""

    def __init__(self, *, limit: int = 200) -> None:
        self._limit = limit
        self._open = 0
        self._wakers: set[Callable[[], None]] = set()
        self.closing = False

    def check(self) -> None:
        """Raises LimitExceededError when there are too many already."""
        if self._open >= self._limit:
            message = f"{self._open} readers follow the events already. Come back later, or read pages."
            raise LimitExceededError(message, code="too_many_tails", retry_after=5.0)

    def close(self) -> None:
        """End all tails, from the loop's own thread. New ones end at once."""
        self.closing = True
        for wake in tuple(self._wakers):
            wake()

    async def follow(
        self,
        store: EventStore,
        *,
        after: int,
        tenant: str,
        types: Collection[str] | None = None,
        stream_type: str | None = None,
        tags: Mapping[str, str] | None = None,
        poll: float = 1.0,
        heartbeat: float = 10.0,
    ) -> AsyncIterator[bytes]:
        """The stream's text, for ever; ends when the tails are closed, when the task is cancelled, or without a database."""
        loop = asyncio.get_running_loop()
        appended = asyncio.Event()

        def notice() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(appended.set)

        def look() -> tuple[int, list[RecordedEvent]]:
            # What the head covers is committed: without events up to there, there are none.
            head = store.head(tenant=tenant)
            found = store.read_all(
                after_position=after,
                up_to_position=head,
                types=types,
                stream_type=stream_type,
                tags=tags,
                limit=PAGE,
                tenant=tenant,
            )
            return head, list(found)

        self._open += 1
        self._wakers.add(appended.set)
        cancel = await to_thread.run_sync(store.watch, notice)
        try:
            yield f"retry: {_RECONNECT_MILLISECONDS}\nid: {after}\n\n".encode()
            spoken = time.monotonic()
            while not self.closing:
                appended.clear()
                head, page = await to_thread.run_sync(look)
                for event in page:
                    yield _frame(event)
                after = page[-1].position if len(page) == PAGE else max(after, head)
                if page:
                    spoken = time.monotonic()
                    continue
                if time.monotonic() - spoken >= heartbeat:
                    yield f": still here\nid: {after}\n\n".encode()
                    spoken = time.monotonic()
                try:
                    async with asyncio.timeout(poll):
                        await appended.wait()
                except TimeoutError:
                    pass
        except UnavailableError as error:
            log.warning("events.tail_ended", after=after, error=str(error))  # the reader comes back with its last id
        finally:
            self._open -= 1
            self._wakers.discard(appended.set)
            cancel()


def _frame(event: RecordedEvent) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (event.position, EventOut.of(event).model_dump_json().encode())
