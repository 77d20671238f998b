"""Finding the route of a request in a dictionary.

The framework asks every router, and every router all of its routes, twice: with a hundred routes that takes three quarters of a
small request. What is found here is what the framework would have found; what is not (no such path, a mount) is left to it.
"""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import routing
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, NoMatchFound, Route

from api.endpoints import app_of
from api.metrics.http import TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from starlette.datastructures import URLPath
    from starlette.types import ASGIApp, Receive, Scope, Send

_V1 = "/api/v1/"
# Where the framework (whose version is pinned) keeps what it has chosen.
_CHOSEN = routing._FASTAPI_SCOPE_KEY  # noqa: SLF001
_CONTEXT = routing._FASTAPI_EFFECTIVE_ROUTE_CONTEXT_KEY  # noqa: SLF001
_ROUTER = routing._FASTAPI_INCLUDED_ROUTER_KEY  # noqa: SLF001

_APP = "aiw.endpoint"
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")

_Entry = tuple[Any, Any, "ASGIApp"]
"""A route as its router was included, that router, and what answers."""


class IndexedRoutes(BaseRoute):
    """Stands before the routes of an application, and knows those of its routers. They must all be there at the first request."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = routes
        self._plain: dict[tuple[str, str], _Entry] | None = None
        self._named: dict[tuple[str, str], list[_Entry]] = {}

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http":
            return Match.NONE, {}
        if self._plain is None:
            self._plain = self._index()
        method, path = scope["method"], scope["path"]
        entry = self._plain.get((method, path))
        if entry is not None:
            return Match.FULL, _chosen(entry, {})
        for entry in self._named.get((method, _area(path)), ()):
            match = entry[0].path_regex.match(path)
            if match:
                convertors = entry[0].param_convertors
                found = {name: convertors[name].convert(value) for name, value in match.groupdict().items()}
                return Match.FULL, _chosen(entry, found)
        return self._other_methods(scope)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """The routes themselves know their addresses."""
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope[_APP](scope, receive, send)

    def _other_methods(self, scope: Scope) -> tuple[Match, Scope]:
        """What refuses the method, and tells all that there are (the framework would name those of one route)."""
        assert self._plain is not None
        path = scope["path"]
        pages: set[str] = set()
        for route in self._routes:
            if isinstance(route, Route):
                match, _ = route.matches(scope)
                if match is Match.FULL:
                    return Match.NONE, {}
                pages |= (route.methods or set()) if match is Match.PARTIAL else set()
        allowed = [
            method
            for method in _METHODS
            if method in pages
            or (method, path) in self._plain
            or any(entry[0].path_regex.match(path) for entry in self._named.get((method, _area(path)), ()))
        ]
        if not allowed:
            return Match.NONE, {}
        return Match.FULL, {_APP: partial(_not_allowed, ", ".join(allowed))}

    def _index(self) -> dict[tuple[str, str], _Entry]:
        plain: dict[tuple[str, str], _Entry] = {}
        named: dict[tuple[str, str], list[_Entry]] = defaultdict(list)
        for entry in self._entries():
            context = entry[0]
            for method in context.methods:
                if context.param_convertors:
                    named[method, _area(context.path)].append(entry)
                elif not any(
                    earlier.path_regex.match(context.path)
                    for earlier, *_ in named.get((method, _area(context.path)), ())
                ):
                    plain.setdefault((method, context.path), entry)
        self._named = dict(named)
        return plain

    def _entries(self) -> Iterator[_Entry]:
        for router in self._routes:
            if isinstance(router, routing._IncludedRouter):  # noqa: SLF001 - as above
                for context in router.effective_route_contexts():
                    if isinstance(context.original_route, APIRoute):
                        yield context, router, app_of(context)


async def _not_allowed(allow: str, _scope: Scope, _receive: Receive, _send: Send) -> None:
    raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": allow})


def _area(path: str) -> str:
    """What stands behind the prefix: routes with names in other places than behind it would not be found here."""
    if not path.startswith(_V1):
        return ""
    end = path.find("/", len(_V1))
    return path[len(_V1) :] if end < 0 else path[len(_V1) : end]


def _chosen(entry: _Entry, path_params: dict[str, Any]) -> Scope:
    context, router, app = entry
    return {
        "endpoint": context.endpoint,
        "path_params": path_params,
        "route": context.original_route,
        _CHOSEN: {_CONTEXT: context, _ROUTER: router},
        _APP: app,
        TEMPLATE: context.path,
    }
