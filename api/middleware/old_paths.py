"""The addresses of the platform's first API: each leads to the one that took its place.

They are rewritten before anything else looks at them, so that the same login, limits and permissions hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_V1: Final = "/api/v1"
_PAGES: Final = {
    "/swagger-ui": "/docs",
    "/swagger-ui/": "/docs",
    "/api-docs/openapi.json": "/openapi.json",
    f"{_V1}/graphql": "/graphql",
}
# Where what was sent once had another form.
_POSTED: Final = {"/events": f"{_V1}/events/data"}
# Of what stood before all others once, and the agents, who have a registry now.
_AREAS: Final = {
    **{f"/{area}": f"{_V1}/{area}" for area in ("auth", "events", "metrics", "registry", "templates", "workflows")},
    "/agents": f"{_V1}/registry/agents",
    f"{_V1}/agents": f"{_V1}/registry/agents",
}


class OldPathsMiddleware:
    """Lets old addresses be asked as if they were the new ones."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = _POSTED.get(scope["path"]) if scope["method"] == "POST" else None
            path = path or present_path(scope["path"])
            if path != scope["path"]:
                scope = {**scope, "path": path, "raw_path": path.encode()}
        await self._app(scope, receive, send)


def present_path(path: str) -> str:
    """Where `path` leads today; most lead where they always did."""
    page = _PAGES.get(path)
    if page is not None:
        return page
    begin = len(_V1) if path.startswith(f"{_V1}/") else 0
    end = path.find("/", begin + 1)
    area = path if end < 0 else path[:end]
    return _AREAS[area] + path[len(area) :] if area in _AREAS else path
