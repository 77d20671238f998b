"""Routes that are asked most, found in a dictionary instead of by the framework, which takes ten times as long.

Stands behind everything that holds for all routes (correlation, headers, who it is, rate limits, limits of bodies). It answers
the plain case alone; whatever is out of the ordinary (somebody who may not, a name that there is not, a condition, a broken
body, a database that is down) it leaves to the framework's route, which therefore is the only one that says no.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from api.auth import access
from api.auth.principal import principal_of
from api.hot.appends import Appends
from api.hot.reads import Reads
from api.metrics.http import TEMPLATE
from api.middleware.repeats import etag_of
from api.routes.health import alive
from resources.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from api.dependencies import Services
    from api.hot.reads import Encoded

_V1 = "/api/v1"
_JSON = (b"content-type", b"application/json")
_CONDITIONS = frozenset({b"if-none-match", b"origin"})
# Where names stand that are read, by what comes before them: the kind of row, and the template of the route.
_NAMED: Mapping[str, tuple[str, str]] = {
    f"{_V1}/documents": ("document", f"{_V1}/documents/{{document_id}}"),
    f"{_V1}/executions": ("execution", f"{_V1}/executions/{{run_id}}"),
    f"{_V1}/workflows/status": ("instance", f"{_V1}/workflows/status/{{run_id}}"),
}
_STATUS = (f"{_V1}/workflows/", "/status", f"{_V1}/workflows/{{run_id}}/status")
_EVENTS = f"{_V1}/events"
_WANTED = {
    template: access.needed("GET", template)
    for template in (*(template for _, template in _NAMED.values()), _STATUS[-1], _EVENTS)
}
_PAGE = re.compile(rb"(?:after=([0-9]{1,18}))?(?:(?:^|&)limit=([0-9]{1,3}))?")
_DEFAULT_PAGE = _LONGEST_PAGE = 100  # longer ones would hold up others, which here share a connection and a thread
_PLAIN_NAME = re.compile(r"[!-$&-.0->@-\[\]-~ ]{1,100}")  # no `%`, `/`, `?`, `\\`


class HotRoutes:
    """`GET` of health, of a document, of a run's status, of events; `POST` of an event."""

    def __init__(self, app: ASGIApp, *, services: Services) -> None:
        self._app = app
        self._reads = Reads(services.lookups)
        self._appends = Appends(services)
        body = alive().model_dump_json().encode()
        length = (b"content-length", b"%d" % len(body))
        plain, tagged = [length, _JSON], [length, _JSON, (b"etag", etag_of(body))]
        self._health = {
            f"{prefix}{path}": (body, headers)
            for prefix, headers in (("", plain), (_V1, tagged))
            for path in ("/health", "/live")
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            method, path = scope["method"], scope["path"]
            if method == "GET":
                answer = await self._found(path, scope)
                if answer is not None and not any(name in _CONDITIONS for name, _ in scope["headers"]):
                    body, headers = answer
                    # A list of its own: those further out add to it.
                    await send({"type": "http.response.start", "status": 200, "headers": list(headers)})
                    await send({"type": "http.response.body", "body": body})
                    return
            elif method == "POST" and path == _EVENTS and not scope["query_string"]:
                scope[TEMPLATE] = _EVENTS
                receive_again = await self._appends.answer(scope, receive, send)
                if receive_again is None:
                    return
                receive = receive_again
        await self._app(scope, receive, send)

    async def _found(self, path: str, scope: Scope) -> Encoded | None:
        query = scope["query_string"]
        if path == _EVENTS:
            chosen = _page(query)
        elif query:
            return None
        else:
            health = self._health.get(path)
            if health is not None:
                scope[TEMPLATE] = path
                return health
            chosen = _named(path)
        if chosen is None:
            return None
        kind, name, template = chosen
        scope[TEMPLATE] = template
        principal = principal_of(scope)
        if principal is None or not principal.allows(_WANTED[template]):
            return None
        try:
            return await self._reads.find(kind, name, tenant=principal.tenant)
        except UnavailableError:
            return None


def _named(path: str) -> tuple[str, str, str] | None:
    """The kind of row that a path names, its name, and the template of the route; None = not one of ours."""
    before, _, name = path.rpartition("/")
    kind, template = _NAMED.get(before, ("", ""))
    if not kind:
        beginning, end, template = _STATUS
        if not (path.startswith(beginning) and path.endswith(end)):
            return None
        kind, name = "execution", path[len(beginning) : -len(end)]
    return (kind, name, template) if _PLAIN_NAME.fullmatch(name) else None


def _page(query: bytes) -> tuple[str, str, str] | None:
    """The same of a page of events; None = it is chosen by more than its place, or it is no page at all."""
    asked = _PAGE.fullmatch(query)
    if asked is None:
        return None
    after, limit = int(asked[1] or 0), int(asked[2] or _DEFAULT_PAGE)
    return ("events", f"{after} {limit}", _EVENTS) if 1 <= limit <= _LONGEST_PAGE else None
