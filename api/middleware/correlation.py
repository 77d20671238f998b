"""The correlation id of a request: taken from the caller or made here, and given back with the answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.telemetry import correlation

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_ACCEPTED = tuple(name.lower().encode() for name in correlation.ACCEPTED_HEADERS)
_ANSWERED = correlation.HEADER.lower().encode()


class CorrelationMiddleware:
    """Runs each request under its correlation id. The first accepted header wins; an ill-formed id is replaced."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        with correlation.correlated(_sent_id(scope)) as correlation_id:
            answered = (_ANSWERED, correlation_id.encode())

            async def send_with_id(message: Message) -> None:
                if message["type"] in {"http.response.start", "websocket.accept"}:
                    message["headers"] = [*message.get("headers", ()), answered]
                await send(message)

            await self._app(scope, receive, send_with_id)


def _sent_id(scope: Scope) -> str | None:
    sent = dict(reversed(scope["headers"]))
    for name in _ACCEPTED:
        if name in sent:
            return bytes(sent[name]).decode("latin-1")
    return None
