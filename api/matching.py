"""Finding the route of a request without asking all of them.

The framework asks every router, and every router all of its routes: with a hundred routes that takes three quarters of a small
request. Here a router is asked only when the path begins as one of its routes does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Match

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fastapi.routing import APIRouter
    from starlette.routing import BaseRoute
    from starlette.types import Scope


def asked_apart(routes: Sequence[BaseRoute], included: Iterable[tuple[str, APIRouter]]) -> None:
    """Have each of `routes` that stands for an included router (given with its prefix) look at the beginning first."""
    beginnings = {id(router): _beginnings(prefix, router) for prefix, router in included}
    for route in routes:
        begins = beginnings.get(id(getattr(route, "original_router", None)))
        if begins:
            _guard(route, begins)


def _beginnings(prefix: str, router: APIRouter) -> tuple[str, ...] | None:
    """What the paths of its routes begin with; None = cannot be told, so it is asked always."""
    paths = [getattr(route, "path", None) for route in router.routes]
    if not all(isinstance(path, str) for path in paths):
        return None
    return tuple({prefix + str(path).partition("{")[0] for path in paths})


def _guard(route: BaseRoute, begins: tuple[str, ...]) -> None:
    matches = route.matches

    def guarded(scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] == "lifespan" or scope["path"].startswith(begins):
            return matches(scope)
        return Match.NONE, {}

    route.matches = guarded  # type: ignore[method-assign]  # of this one object
