"""The index of routes, held against the framework's own search."""

from __future__ import annotations

from typing import Any
from unittest.mock import MagicMock

import pytest
from starlette.routing import Match

from api.app import create_app
from api.matching import IndexedRoutes
from resources.settings import Settings

NAMES = ("plain", "trigger", "status", "a:b", "7")


@pytest.fixture(scope="module")
def routes() -> list[Any]:
    return list(create_app(MagicMock(rate_buckets=None, lookups=None), Settings(_env_file=None)).router.routes)


def test_the_index_finds_the_route_that_the_framework_finds(routes: list[Any]) -> None:
    index, *others = routes
    assert isinstance(index, IndexedRoutes)
    included = [other for other in others if hasattr(other, "effective_route_contexts")]
    contexts = [context for other in included for context in other.effective_route_contexts()]
    assert len(contexts) > 100
    for context in contexts:
        for method in context.methods:
            for name in NAMES:
                scope = {"type": "http", "method": method, "path": filled(context.path_format, name), "root_path": ""}
                match, found = index.matches(dict(scope))
                route, path_params = framework(included, scope)
                assert (match, found["route"], found["path_params"]) == (Match.FULL, route, path_params)


def framework(included: list[Any], scope: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    for router in included:
        match, child, route, _ = router._match(scope)
        if match is Match.FULL:
            return route, child["path_params"]
    raise AssertionError(scope["path"])


def filled(path: str, name: str) -> str:
    parts = path.split("{")
    return parts[0] + "".join(name + part.partition("}")[2] for part in parts[1:])


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/v1/nothing"), ("GET", "/login"), ("GET", "/docs"), ("GET", "/api/v1/events/"), ("GET", "/")],
)
def test_what_is_not_in_the_index_is_left_to_the_framework(routes: list[Any], method: str, path: str) -> None:
    scope = {"type": "http", "method": method, "path": path, "root_path": ""}
    assert routes[0].matches(scope) == (Match.NONE, {})
    assert routes[0].matches({"type": "websocket", "path": "/ws"}) == (Match.NONE, {})


def test_a_method_that_an_address_does_not_have_is_refused_with_those_that_it_has(routes: list[Any]) -> None:
    match, found = routes[0].matches({"type": "http", "method": "PUT", "path": "/api/v1/events", "root_path": ""})
    assert match is Match.FULL
    assert found["aiw.endpoint"].args == ("GET, POST",)
