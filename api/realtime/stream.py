"""Topics as server-sent events: the hub's reader that browsers and curl have built in, resumable by `Last-Event-ID`.

An id is `m` and a position of the messages, or `e` and one of the events. A reader of a quiet topic gets comments, so that both
sides know that the other is there.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from api.realtime import frames
from resources.errors import InvalidInputError, Problem
from resources.realtime import topics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from api.realtime.connection import Connection, Frame
    from api.realtime.hub import Hub
    from resources.tenants.model import Principal

_HEARTBEAT = 10.0


def cursor_of(topic: str, last_event_id: str | None, after: int | None) -> frames.Cursor:
    """Where to go on. Raises InvalidInputError."""
    live = topics.is_live(topics.check_pattern(topic))
    if live is None:
        raise _wrong("path.topic", f"{topic!r} means messages and events alike", "begin with a name")
    log = "e" if live else "m"
    if last_event_id:
        kind, number = last_event_id[0], last_event_id[1:]
        if kind != log or not (number.isascii() and number.isdecimal() and len(number) < 19):  # noqa: PLR2004  # bigint
            raise _wrong("header.last-event-id", f"{last_event_id[:50]!r} is not an id of this stream")
        after = int(number)
    return frames.Cursor(events=after) if live else frames.Cursor(messages=after)


class Reader:
    """One stream: enters the hub on `open`, and leaves when its text has ended."""

    def __init__(self, hub: Hub, principal: Principal, topic: str, cursor: frames.Cursor, *, last: bool) -> None:
        self._hub = hub
        self._principal = principal
        self._topic = topic
        self._cursor = cursor
        self._last = last
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue(maxsize=1)
        self._ended = asyncio.Event()

    async def open(self) -> AsyncIterator[bytes]:
        """The stream's text. Raises before its beginning as `Hub.enter` does."""
        connection = await self._hub.enter(
            self._principal, self._frames.put, self._ended.set, dialect="rich", present=False
        )
        return self._text(connection)

    async def _text(self, connection: Connection) -> AsyncIterator[bytes]:
        subscribing = asyncio.ensure_future(
            self._hub.subscribe(connection, [self._topic], after=self._cursor, last=self._last)
        )
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            yield b"retry: 1000\n\n"
            while not ended.done():
                next_frame = asyncio.ensure_future(self._frames.get())
                waiting = {next_frame, ended} | ({subscribing} if not subscribing.done() else set())
                while not next_frame.done() and not ended.done():
                    done, _ = await asyncio.wait(waiting, timeout=_HEARTBEAT, return_when=asyncio.FIRST_COMPLETED)
                    if subscribing in done:
                        waiting.discard(subscribing)
                        subscribing.result()
                        yield b": subscribed\n\n"
                    elif not done:
                        yield b": still here\n\n"
                if not next_frame.done():
                    next_frame.cancel()
                    break
                frame = next_frame.result()
                if frame is not None:
                    yield _block(frame)
        finally:
            for task in (subscribing, ended):
                task.cancel()
            connection.close(1000, "ended")
            self._hub.leave(connection)


def _block(frame: Frame) -> bytes:
    place = f"id: {frame.place}\n" if frame.place is not None else ""
    return f"{place}data: {frame.text}\n\n".encode()


def _wrong(path: str, message: str, hint: str | None = None) -> InvalidInputError:
    problem = Problem(path, message, hint)
    return InvalidInputError(f"Cannot follow the topic: {problem}.", code="query_invalid", problems=(problem,))
