"""The answer to one request over HTTP: JSON, or a stream of events once something has to be said before it.

Most calls are answered before anything else is said, and then a stream, its tasks and the client's parser of streams are all for
nothing: they cost more than the call. So an answer becomes a stream with the first notification, or after `SILENCE` seconds, so
that nothing in between takes the connection for dead. Whether the client is still there is not looked at before `SHORT`, either.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Self

from anyio import CancelScope

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from starlette.types import Receive, Send

    Headers = Sequence[tuple[bytes, bytes]]

SHORT: Final = 0.05
SILENCE: Final = 15.0
"""Seconds without a word on a connection, at most."""

_JSON = (b"content-type", b"application/json")
_STREAM = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"connection", b"keep-alive"),
    (b"x-accel-buffering", b"no"),
)
_NONE = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32603,"message":"The session ended before the request did."}}'
_PING = b": ping\r\n\r\n"


class Reply:
    """Used as a context, in which the request is worked on: when the client goes away, the work in it is cancelled."""

    __slots__ = ("_headers", "_in_turn", "_receive", "_scope", "_send", "_streaming", "_timer", "_watch")

    def __init__(self, receive: Receive, send: Send, headers: Headers = ()) -> None:
        """`receive` gives what comes behind the request's body. `headers` are the answer's own."""
        self._receive = receive
        self._send = send
        self._headers = headers
        self._in_turn: asyncio.Lock | None = None
        self._scope = CancelScope()
        self._watch: asyncio.Task[None] | None = None
        self._streaming = False

    def __enter__(self) -> Self:
        self._scope.__enter__()
        self._timer = asyncio.get_running_loop().call_later(SHORT, self._begin_watch)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        self._end_watch()
        return self._scope.__exit__(kind, error, trace)

    async def say(self, message: bytes) -> None:
        """A message before the answer."""
        await self._tell(_event(message))

    async def end(self, message: bytes, *, status: int = 200) -> None:
        """The answer itself. Its status is lost where the stream has begun."""
        self._end_watch()  # which must not say anything behind it
        if self._streaming:
            await self._send({"type": "http.response.body", "body": _event(message)})
            return
        headers = [(b"content-length", b"%d" % len(message)), _JSON, *self._headers]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": message})

    async def break_off(self) -> None:
        """End without an answer: there will be none."""
        self._end_watch()
        if self._streaming:
            await self._send({"type": "http.response.body", "body": b""})
        else:
            await self.end(_NONE, status=500)

    async def _tell(self, part: bytes) -> None:
        if self._in_turn is None:
            self._in_turn = asyncio.Lock()
        async with self._in_turn:  # whoever comes second must not overtake the stream's beginning
            if not self._streaming:
                self._streaming = True
                headers = [*_STREAM, *self._headers]
                await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send({"type": "http.response.body", "body": part, "more_body": True})

    def _begin_watch(self) -> None:
        self._watch = asyncio.get_running_loop().create_task(self._watch_client())

    def _end_watch(self) -> None:
        self._timer.cancel()
        if self._watch is not None:
            self._watch.cancel()

    async def _watch_client(self) -> None:
        gone = asyncio.ensure_future(self._until_gone())
        try:
            while True:
                done, _ = await asyncio.wait((gone,), timeout=SILENCE)
                if done:
                    self._scope.cancel()
                    return
                await self._tell(_PING)
        finally:
            gone.cancel()

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _event(message: bytes) -> bytes:
    return b"event: message\r\ndata: " + message + b"\r\n\r\n"
