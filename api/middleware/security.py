"""Headers that keep browsers careful, and a door that only this machine's own pages may use.

There is no authentication yet, and binding to loopback does not keep web pages out: a page of any site can make the user's
browser send requests to 127.0.0.1, and with a name that it points there (DNS rebinding) read the answers too. So a request
must name this machine in `Host`, and if it says which page it comes from (`Origin`), that page must be of this machine.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from api import problems

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]
_POLICY_VIOLATION = 1008  # RFC 6455 §7.4.1
_HEADER_NAMES = frozenset(name for name, _ in _HEADERS)


class SecurityHeadersMiddleware:
    """Adds the headers that the answer does not set itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                present = _HEADER_NAMES.intersection(name.lower() for name, _ in headers)
                message["headers"] = headers + [pair for pair in _HEADERS if pair[0] not in present]
            await send(message)

        await self._app(scope, receive, send_with_headers)


class LoopbackOnlyMiddleware:
    """Refuses requests that name another host than this machine, or that come from another site's page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if is_loopback(_hostname(f"//{host}")) and (not origin or is_loopback(_hostname(origin))):
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        refused = problems.document(
            403,
            "host_not_allowed",
            f"Only pages and programs of this machine may use the API: Host {host!r}, Origin {origin!r} are not of it.",
            instance=scope["path"],
        )
        await problems.response(refused)(scope, receive, send)


def is_loopback(host: str | None) -> bool:
    """Whether `host` (a name or an address, without port) can only mean this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return False


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
