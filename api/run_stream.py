"""What a run says while it works, as server-sent events (WHATWG HTML §9.2), resumable by `Last-Event-ID`.

    event: connected | chunk | heartbeat | complete | error | done      data: JSON; that of `done` is [DONE]

The id of a chunk is the position of its message. Each reader reads for itself and at its own pace: at most one page is in memory,
and neither the run nor other readers wait for it. Chunks are kept for a minute; who comes later gets what is left and the end.
The end is told when the run has ended, however it was executed.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson
from anyio import to_thread

from resources.errors import InvalidInputError, PlatformError, Problem
from resources.realtime.output import topic_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from resources.realtime.model import Message, Notice
    from resources.realtime.store import MessageStore

HEARTBEAT: Final = 30.0
_LOOK: Final = 1.0
_PAGE: Final = 200


def position_of(last_event_id: str | None) -> int:
    """Where to go on. Raises InvalidInputError."""
    if not last_event_id:
        return 0
    if not (last_event_id.isascii() and last_event_id.isdecimal() and len(last_event_id) < 19):  # noqa: PLR2004  # bigint
        problem = Problem("header.last-event-id", f"{last_event_id[:50]!r} is not an id of this stream")
        raise InvalidInputError(f"Cannot follow the run: {problem}.", code="query_invalid", problems=(problem,))
    return int(last_event_id)


class RunStream:
    """One reader of one run.

    `ended` tells how the run ended (`success`, …), or None while it has not; `closing`, that this process ends.
    """

    def __init__(
        self,
        messages: MessageStore,
        run_id: str,
        *,
        tenant: str,
        after: int,
        ended: Callable[[], str | None],
        closing: Callable[[], bool] = lambda: False,
        heartbeat: float = HEARTBEAT,
    ) -> None:
        self._messages = messages
        self._run_id = run_id
        self._tenant = tenant
        self._after = after
        self._ended = ended
        self._closing = closing
        self._heartbeat = heartbeat
        self._news = asyncio.Event()

    async def text(self) -> AsyncIterator[bytes]:
        """The stream, until the run has ended."""
        loop = asyncio.get_running_loop()

        def hear(notices: Sequence[Notice]) -> None:
            if any(notice.kind in {"message", "lost"} and notice.tenant in {"", self._tenant} for notice in notices):
                loop.call_soon_threadsafe(self._news.set)

        cancel = await to_thread.run_sync(self._messages.watch, hear)
        try:
            yield b"retry: 1000\n\n" + _frame("connected", {"run_id": self._run_id})
            try:
                async for frame in self._frames(loop):
                    yield frame
            except PlatformError as error:
                yield _frame("error", {"code": error.code, "message": error.message})
            yield b"event: done\ndata: [DONE]\n\n"
        finally:
            cancel()

    async def _frames(self, loop: asyncio.AbstractEventLoop) -> AsyncIterator[bytes]:
        beat, look = loop.time() + self._heartbeat, True
        while not self._closing():
            self._news.clear()
            # Asked before reading, so that nothing is left behind; and not for each message, as it is Dagster that is asked.
            ended = await to_thread.run_sync(self._ended) if look else None
            while page := await to_thread.run_sync(self._read):
                for message in page:
                    self._after = message.position
                    yield _frame("chunk", message.content, id=message.position)
                beat = loop.time() + self._heartbeat
            if ended is not None:
                yield _frame("complete", {"run_id": self._run_id, "status": ended})
                return
            look = False
            try:
                await asyncio.wait_for(self._news.wait(), _LOOK)
            except TimeoutError:
                look = True
            if loop.time() >= beat:
                beat = loop.time() + self._heartbeat
                yield _frame("heartbeat", {"run_id": self._run_id})

    def _read(self) -> Sequence[Message]:
        return self._messages.read(
            tenant=self._tenant, after=self._after, patterns=[topic_of(self._run_id)], transient=True, limit=_PAGE
        )


def _frame(event: str, data: Any, *, id: int | None = None) -> bytes:
    place = b"" if id is None else b"id: %d\n" % id
    return place + b"event: %s\ndata: %s\n\n" % (event.encode(), orjson.dumps(data))
