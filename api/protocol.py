"""HTTP connections that do not trust their other end: uvicorn's httptools protocol, with the limits that it lacks.

uvicorn collects headers without any bound, and waits for ever for a first request: both let one client take memory or
connections from everybody. Here the head of a request has so many bytes and seconds, whether it comes in one piece or byte by
byte (slow loris). A head that comes in one piece, as nearly all do, needs no timer.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api import problems

if TYPE_CHECKING:
    import asyncio
    from asyncio import TimerHandle

MAX_HEAD_BYTES = 32 * 1024
HEAD_SECONDS = 15.0
_TOO_LARGE = "The head of the request is too large."


class GuardedProtocol(HttpToolsProtocol):
    """Hangs up on heads that are too large or too slow."""

    head_seconds = HEAD_SECONDS

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head = True
        self._begun_anew = False
        self._head_bytes = 0
        self._arrived = 0
        """Bytes that can be the head's: what came of it before, and all that has come now."""
        self._head_timer: TimerHandle | None = None
        self._refused: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._begun_anew = False
        self._arrived = self._head_bytes + len(data)
        super().data_received(data)
        if not self._in_head or self._begun_anew:  # these bytes were the body that has just ended, or mostly
            return
        if self._head_timer is None:  # the next request of a connection that is kept
            self._start_timer()
        self._head_bytes = self._arrived
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refused = _TOO_LARGE
            self.send_400_response(_TOO_LARGE)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        self._stop_timer()
        if (
            self._arrived > MAX_HEAD_BYTES
            and sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD_BYTES
        ):
            self._refused = _TOO_LARGE
            raise ValueError(_TOO_LARGE)  # the parser ends there, and asks for a 400
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = self._begun_anew = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no request, or too much of one, as all that is refused. `msg` is the parser's."""
        if self._refused is None:
            problem = problems.document(HTTPStatus.BAD_REQUEST, "malformed_request", msg)
        else:
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            problem = problems.document(
                status, "head_too_large", f"{self._refused} {MAX_HEAD_BYTES} bytes are accepted."
            )
        body = orjson.dumps(problem)
        head = f"HTTP/1.1 {problem['status']} {problem['title']}\r\ncontent-type: {problems.MEDIA_TYPE}\r\n"
        self.transport.write(f"{head}content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode() + body)
        self.transport.close()

    def _start_timer(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._too_slow)

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
