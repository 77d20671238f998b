"""A door that only this machine's own pages may use.

Where nobody has to log in, binding to loopback does not keep web pages out: a page of any site can make the user's
browser send requests to 127.0.0.1, and with a name that it points there (DNS rebinding) read the answers too. So a request
must name this machine in `Host`, and if it says which page it comes from (`Origin`), that page must be of this machine.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from api import problems

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_POLICY_VIOLATION = 1008  # RFC 6455 §7.4.1


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
        if _is_ours(host, origin):
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


@lru_cache(maxsize=256)
def _is_ours(host: str, origin: str) -> bool:
    return is_loopback(_hostname(f"//{host}")) and (not origin or is_loopback(_hostname(origin)))


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
