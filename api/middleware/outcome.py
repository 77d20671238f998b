"""What became of a request: one log event for each, and an answer even when the code below failed.

This is the last place that sees an exception while its correlation id is still known; the framework's own handler for
unforeseen errors sits outside of all middleware and would answer without the id.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from api import problems
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = get_logger("api.access")

_QUIET = frozenset({"/health", "/live", "/ready"})
_SERVER_ERROR = 500


class OutcomeMiddleware:
    """Logs `request.finished` with method, path, status and milliseconds; turns an unforeseen exception into a 500."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def watching_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watching_send)
        except Exception as error:
            answer = problems.of_exception(error, instance=scope["path"])
            if status:  # the answer had begun: the broken connection is all that can still tell
                raise
            await answer(scope, receive, watching_send)
        finally:
            if scope["path"] not in _QUIET or status >= _SERVER_ERROR:
                log.info(
                    "request.finished",
                    method=scope["method"],
                    path=scope["path"],
                    status=status,
                    milliseconds=round((time.perf_counter() - started) * 1000, 1),
                )
