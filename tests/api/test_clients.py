"""The clients: one is written from the other, and together they know every route."""

from __future__ import annotations

import ast
import inspect
import re
from typing import TYPE_CHECKING
from unittest.mock import MagicMock

import httpx
import pytest

from api.app import create_app
from api.async_client import AsyncApiClient
from api.client import ApiClient, error_of, etag_of
from docs.async_client import TARGET, written
from resources.errors import ConcurrencyError, InvalidInputError, NotFoundError, StaleError
from resources.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

V1 = "/api/v1"


def test_the_one_is_written_from_the_other() -> None:
    found = {path.name: path.read_text() for path in TARGET.glob("*.py")}
    assert found == written(), "write it again: python docs/async_client.py"


def test_they_have_the_same_methods() -> None:
    def public(client: type) -> dict[str, list[str]]:
        found = inspect.getmembers(client, inspect.isfunction)
        return {name: list(inspect.signature(each).parameters) for name, each in found if not name.startswith("_")}

    assert public(AsyncApiClient) == public(ApiClient)


async def test_programs_that_await_are_served(api_url: str) -> None:
    async with AsyncApiClient(api_url) as client:
        stored = await client.append_event("run.started", {"run_id": "a", "job": "b"}, stream="run/a")
        page = await client.read_stream("run/a")
        assert [event.position for event in page.events] == [stored.position]
        with pytest.raises(NotFoundError):
            await client.document("0" * 32)
        async for event in client.tail(after=0):
            assert event.event_id == stored.event_id
            break
        assert b"".join([piece async for piece in client.download("/usage/export")])


def called() -> set[str]:
    """What the client asks for: `METHOD path`, with {} where something is filled in."""
    trees = [ast.parse(inspect.getsource(family)) for family in ApiClient.__mro__[:-1]]
    methods = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return {call for method in methods for call in _calls(method)}


def _calls(method: ast.FunctionDef) -> Iterator[str]:
    named = {
        target.id: node.value
        for node in ast.walk(method)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(method):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        arguments = node.args
        if node.func.attr in {"_get", "_follow"}:
            yield f"GET {_path(arguments[0], named)}"
        elif node.func.attr in {"_send", "_plain", "_mapping", "stream"} and len(arguments) > 1:
            verb = arguments[0]
            if isinstance(verb, ast.Constant):
                yield f"{verb.value!s} {_path(arguments[1], named)}"


def _path(node: ast.expr, named: dict[str, ast.expr]) -> str:
    if isinstance(node, ast.Name) and node.id in named:
        return _path(named[node.id], named)
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_path(part, named) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        inner = ast.unparse(node.value)
        return V1 if inner == "V1" else "{}"
    return "{}"


# Aliases; what browsers, supervisors and other programs ask for; and what `download` is enough for.
WITHOUT = {
    "POST /analyze",  # an alias
    "GET /.well-known/jwks.json",
    "GET /auth/oidc/callback",
    "GET /concept/{concept}",
    "GET /auth/oidc/start",
    "GET /auth/verify",
    "GET /health",
    "GET /health/detailed",
    "POST /hooks/{name}",
    "GET /live",
    "POST /login",
    "GET /ready",
    "POST /refresh",
    "POST /templates/trigger",
    "GET /usage/export",
    "GET /workflows/available",
    "GET /workflows/instances",
    "GET /workflows/status/{run_id}",
    "POST /workflows/trigger",
    "POST /workflows/{name}/execute",
    "GET /workflows/{run_id}/status",
}


CONDITIONAL = sorted(
    name
    for name, method in inspect.getmembers(ApiClient, inspect.isfunction)
    if not name.startswith("_") and "if_match" in method.__annotations__
)
SAID = {"status": "completed", "rule": {}, "config": {}, "statement": MagicMock(**{"model_dump.return_value": {}})}


def _call(method: Callable[..., object], **more: str) -> object:
    """The method, with something for each argument that it asks for."""
    wanted = inspect.signature(method).parameters.values()
    named = (each.name for each in wanted if each.default is each.empty and each.kind is not each.VAR_KEYWORD)
    return method(**{name: SAID.get(name, "x") for name in named}, **more)


def test_whatever_changes_on_condition_has_a_method_that_takes_one() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        problem = {"detail": "Somebody was first.", "code": "precondition_failed", "etag": '"new"'}
        return httpx.Response(412, json=problem, request=request)

    with ApiClient("http://api.test", transport=httpx.MockTransport(answer)) as client:
        for name in CONDITIONAL:
            with pytest.raises(StaleError) as refused:
                _call(getattr(client, name), if_match='"seen"')
            assert refused.value.etag == '"new"'
    assert {request.headers["If-Match"] for request in asked} == {'"seen"'}
    paths = create_app(MagicMock(rate_buckets=None), Settings(_env_file=None)).openapi()["paths"]
    documented = {
        f"{verb.upper()} {path}"
        for path, verbs in paths.items()
        for verb, operation in verbs.items()
        if any(parameter["name"] == "If-Match" for parameter in operation.get("parameters", ()))
    }
    known = [f"{request.method} {request.url.path}" for request in asked]
    found = {
        operation
        for operation in documented
        if any(re.fullmatch(re.sub(r"{[^}]*}", "x", operation), each) for each in known)
    }
    assert (found, len(known)) == (documented, len(documented))


def test_what_was_read_is_the_condition_of_its_change(api_url: str) -> None:
    with ApiClient(api_url) as client:
        rule = client.save_message_rule("urgent", {"priority": 1})
        seen = client.message_rule("urgent")
        assert (seen.etag, seen) == (rule.etag, rule)
        changed = client.save_message_rule("urgent", {**seen, "priority": 2}, if_match=seen)
        with pytest.raises(StaleError) as late:
            client.save_message_rule("urgent", {**seen, "priority": 3}, if_match=seen)
        assert late.value.etag == changed.etag
        client.remove_message_rule("urgent", if_match="*")
        client.register_agent("ada", "https://agents.example/x", ["research"])
        (listed,) = client.agents().agents
        agent = client.agent(listed.id)
        client.agent_heartbeat(listed.id, connections=7)
        with pytest.raises(StaleError):
            client.remove_agent(listed.id, if_match=agent)
        with pytest.raises(InvalidInputError, match="read the thing alone"):
            client.remove_agent(listed.id, if_match=listed)
        present = client.agent(listed.id)
        assert "etag" not in present.model_dump()
        client.remove_agent(listed.id, if_match=etag_of(present))


def test_a_lost_race_of_writers_is_told_with_the_version_that_won() -> None:
    problem = {"detail": "d", "code": "concurrency_conflict", "expected": "3", "actual": 4, "status": 409}
    found = error_of(httpx.Response(409, json=problem, request=httpx.Request("POST", "http://api.test")))
    assert isinstance(found, ConcurrencyError)
    assert (found.expected, found.actual) == ("3", 4)


def test_every_route_has_a_method_or_is_named_here() -> None:
    app = create_app(MagicMock(rate_buckets=None), Settings(_env_file=None))
    known = called()
    missing = set()
    for path, methods in app.openapi()["paths"].items():
        for verb in methods:
            operation = f"{verb.upper()} {path}"
            whole = operation.replace("{type}/{id}", "{stream}")
            wanted = re.escape(re.sub(r"{[^}]*}", "{}", whole)).replace(r"\{\}", r"(\{\}|[^/]+)")
            if not any(re.fullmatch(wanted, each) for each in known):
                missing.add(operation.replace(V1, ""))
    assert missing == WITHOUT
