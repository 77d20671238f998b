"""What every exchange has, in one pass: a correlation id, careful headers, an end in time, and one log event of how it ended.

This is the last place that sees an exception while its correlation id is still known; the framework's own handler for
unforeseen errors sits outside of all middleware and would answer without the id.

One object a request, which is its `send` too: each wrapper around `send` costs as much as a small handler does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from api import problems
from api.metrics.http import HttpTally
from resources.telemetry import correlation
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, MutableMapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = get_logger("api.access")
_access = logging.getLogger("api.access")

TIMEOUT = 60.0
"""Seconds until an answer must have begun, counted from the last part of the request's body."""

_ACCEPTED = tuple(name.lower().encode() for name in correlation.ACCEPTED_HEADERS)
_ANSWERED = correlation.HEADER.lower().encode()
_CAREFUL = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
_CAREFUL_NAMES = frozenset(name for name, _ in _CAREFUL)
_QUIET = frozenset({"/health", "/live", "/ready"})
_SERVER_ERROR = 500
_STATE = "exchange"


class Exchange:
    """One request and its answer. Other middleware adds headers to the answer with `add_headers`."""

    __slots__ = (
        *("_deadline", "_headers", "_late", "_loop", "_scope", "_seconds", "_send", "_task", "_timer"),
        *("began", "status"),
    )

    def __init__(self, scope: Scope, send: Send, correlation_id: str, seconds: float) -> None:
        self._scope = scope
        self._send = send
        self._headers: list[tuple[bytes, bytes]] = [(_ANSWERED, correlation_id.encode())]
        self.status = 0
        self.began = 0.0
        """When its answer did, as `time.perf_counter` has it."""
        self._late: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._seconds = seconds
        self._deadline = self._loop.time() + seconds
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(seconds, self._check_time)

    def add_headers(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Headers for the answer, whoever gives it."""
        self._headers += headers

    def prolong(self) -> None:
        """The request is still arriving: its handler has not begun to be late."""
        self._deadline = self._loop.time() + self._seconds

    @property
    def expired(self) -> bool:
        """Whether the answer was given here, because the time was up."""
        return self._late is not None

    async def __call__(self, message: Message) -> None:
        if self._late is not None:
            return  # it comes after the answer
        if message["type"] == "http.response.start":
            self._begin(message)
        await self._send(message)

    async def finish(self) -> None:
        """Nothing more is to be sent."""
        self._stop_timer()
        if self._late is not None:
            await self._late

    def _begin(self, message: Message) -> None:
        self._stop_timer()
        self.began = time.perf_counter()
        self.status = message["status"]
        headers = message.get("headers", ())
        present = _CAREFUL_NAMES.intersection([name.lower() for name, _ in headers])
        careful = [pair for pair in _CAREFUL if pair[0] not in present] if present else _CAREFUL
        message["headers"] = [*headers, *self._headers, *careful]

    def _check_time(self) -> None:
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._check_time)
            return
        self._timer = None
        self._late = self._loop.create_task(self._answer_late())

    async def _answer_late(self) -> None:
        problem = problems.document(
            HTTPStatus.GATEWAY_TIMEOUT,
            "request_timeout",
            f"There is no answer after {self._seconds:g} seconds, so the work was ended. What it had stored by then stays.",
            instance=self._scope["path"],
        )
        log.warning("request.timed_out", method=self._scope["method"], path=self._scope["path"], seconds=self._seconds)

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._begin(message)
            await self._send(message)

        try:
            await problems.response(problem)(self._scope, _nothing, send)
        finally:
            if self._task is not None:
                self._task.cancel()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class ExchangeMiddleware:
    """Runs each request under its correlation id (the first accepted header wins; an ill-formed id is replaced).

    Logs `request.finished` with method, path, status and milliseconds, and counts it. Turns an unforeseen exception into a
    500, and an answer that has not begun after `timeout` seconds into a 504 whose work is cancelled.
    """

    def __init__(self, app: ASGIApp, *, tally: HttpTally | None = None, timeout: float = TIMEOUT) -> None:
        self._app = app
        self._tally = tally or HttpTally()
        self._timeout = timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            sent = _sent_id(scope)
            if sent is None:
                self._tally.uncorrelated += 1
            with correlation.correlated(sent) as correlation_id:
                await self._exchange(scope, receive, Exchange(scope, send, correlation_id, self._timeout))
        elif scope["type"] == "websocket":
            with correlation.correlated(_sent_id(scope)) as correlation_id:
                await self._app(scope, receive, _accepting(send, correlation_id))
        else:
            await self._app(scope, receive, send)

    async def _exchange(self, scope: Scope, receive: Receive, exchange: Exchange) -> None:
        started = time.perf_counter()
        self._tally.in_flight += 1
        scope.setdefault("state", {})[_STATE] = exchange
        try:
            await self._app(scope, receive, exchange)
        except asyncio.CancelledError:
            if not exchange.expired:
                raise
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
        except Exception as error:
            answer = problems.of_exception(error, instance=scope["path"])
            if exchange.status:  # the answer had begun: the broken connection is all that can still tell
                raise
            await answer(scope, receive, exchange)
        finally:
            try:
                await exchange.finish()
            finally:
                self._tally.end(scope, exchange.status, (exchange.began or time.perf_counter()) - started)
            # Asked first, because a line that nobody wants to see is dear to make.
            if _access.isEnabledFor(logging.INFO) and (scope["path"] not in _QUIET or exchange.status >= _SERVER_ERROR):
                log.info(
                    "request.finished",
                    method=scope["method"],
                    path=scope["path"],
                    status=exchange.status,
                    milliseconds=round((time.perf_counter() - started) * 1000, 1),
                )


def exchange_of(scope: Mapping[str, Any]) -> Exchange | None:
    """The exchange of a connection's ASGI scope."""
    found: Exchange | None = scope.get("state", {}).get(_STATE)
    return found


def _sent_id(scope: MutableMapping[str, Any]) -> str | None:
    sent: dict[bytes, bytes] = dict(reversed(scope["headers"]))
    for name in _ACCEPTED:
        if name in sent:
            return sent[name].decode("latin-1")
    return None


def _accepting(send: Send, correlation_id: str) -> Send:
    async def send_with_id(message: Message) -> None:
        if message["type"] in {"http.response.start", "websocket.accept"}:
            message["headers"] = [*message.get("headers", ()), (_ANSWERED, correlation_id.encode())]
        await send(message)

    return send_with_id


async def _nothing() -> Message:
    return {"type": "http.disconnect"}
