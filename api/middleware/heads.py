"""HEAD, answered like GET (RFC 9110, section 9.3.2): no route has to know of it, and the server leaves the body out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_UPSTREAM: Final = "/dagster"
"""What is behind the proxy answers HEAD itself."""


class HeadsMiddleware:
    """Lets all routes that answer GET answer HEAD."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "HEAD" and not scope["path"].startswith(_UPSTREAM):
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)
