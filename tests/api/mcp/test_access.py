"""Who may do what: every tool asked by every role, and by another tenant's admin; tokens, pages of others, limits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as open_socket

from api.mcp.exposed import PREFIX, SCOPE
from resources.tenants.permissions import Role, allows, scopes_of
from tests.api.mcp.conftest import connected

if TYPE_CHECKING:
    from fastapi import FastAPI

    from api.dependencies import Services
    from tests.api.auth.people import People

SERVERS = ("platform", "customer-support", "knowledge-base")
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
ACCEPT = {"Accept": "application/json, text/event-stream"}


def error_of(result: Any) -> str:
    return str(result.content[0].text) if result.is_error else ""


@pytest.mark.parametrize("name", SERVERS)
async def test_a_role_is_shown_what_it_may_call_and_refused_the_rest(
    guarded_app: FastAPI, guarded_url: str, people: People, name: str
) -> None:
    tools = guarded_app.state.mcp.servers[name].tools
    for role in Role:
        may = {tool.name for tool in tools.values() if allows(scopes_of(role, at_home=False), tool.scope)}
        async with connected(guarded_url, path=f"/mcp/{name}", token=people.pair(role).access_token) as client:
            shown = {tool.name for tool in (await client.list_tools()).tools}
            workflows = {tool for tool in shown if tool.startswith(PREFIX)}
            assert shown - workflows == may
            assert bool(workflows) == (name == "platform" and allows(scopes_of(role, at_home=False), SCOPE))
            for tool in set(tools) - may:
                assert "scope_missing" in error_of(await client.call_tool(tool, {}))


@pytest.mark.parametrize("name", SERVERS)
def test_whatever_changes_something_says_so_and_asks_for_more_than_reading(guarded_app: FastAPI, name: str) -> None:
    for tool in guarded_app.state.mcp.servers[name].tools.values():
        hints = tool.declaration.annotations
        if hints.destructive_hint or not hints.read_only_hint:
            assert not tool.scope.startswith("read:"), tool.name
            assert not (hints.destructive_hint and hints.read_only_hint)


@pytest.mark.usefixtures("taught")
async def test_another_tenants_admin_finds_and_reads_nothing(
    guarded_url: str, services: Services, people: People, strangers: People, tenant: str
) -> None:
    (document,) = services.documents.list(tenant=tenant)
    async with connected(guarded_url, token=people.pair("viewer").access_token) as client:
        mine = await client.call_tool("search", {"query": "how to make tea"})
        assert mine.structured_content is not None
        assert mine.structured_content["hits"]
        await client.read_resource(f"aiw://documents/{document.id}")
    async with connected(guarded_url, token=strangers.pair("admin").access_token) as client:
        found = await client.call_tool("search", {"query": "how to make tea"})
        assert found.structured_content is not None
        assert found.structured_content["hits"] == []
        with pytest.raises(Exception, match="no document"):
            await client.read_resource(f"aiw://documents/{document.id}")


@pytest.mark.parametrize("path", ["/mcp", "/mcp/knowledge-base"])
def test_who_shows_nothing_is_told_how_to_get_in(guarded: httpx.Client, path: str) -> None:
    refused = guarded.post(path, json=PING, headers=ACCEPT)
    assert refused.status_code == 401
    where = refused.headers["www-authenticate"].partition('resource_metadata="')[2].rstrip('"')
    document = httpx.get(where, trust_env=False).json()
    assert document["resource"] == f"{guarded.base_url}".rstrip("/") + path
    assert "read:knowledge" in document["scopes_supported"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer nonsense"}])
def test_a_socket_of_nobody_is_refused(guarded_url: str, headers: dict[str, str]) -> None:
    address = guarded_url.replace("http", "ws", 1) + "/mcp/ws"
    with (
        pytest.raises(InvalidStatus) as refused,
        open_socket(address, additional_headers=headers, proxy=None),
    ):
        pass
    assert refused.value.response.status_code == 401


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_pages_of_others_may_not_ask(guarded: httpx.Client, people: People, origin: str) -> None:
    asked = guarded.post("/mcp", json=PING, headers=ACCEPT | people.headers("admin") | {"Origin": origin})
    assert asked.status_code == 403
    assert asked.json()["code"] == "origin_not_allowed"


def test_a_session_is_its_openers_alone(guarded: httpx.Client, people: People, strangers: People) -> None:
    opened = guarded.post("/mcp", json=INITIALIZE, headers=ACCEPT | people.headers("member"))
    session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
    assert guarded.post("/mcp", json=PING, headers=ACCEPT | session | people.headers("member")).status_code == 200
    for other in (people.headers("admin"), strangers.headers("admin")):
        assert guarded.post("/mcp", json=PING, headers=ACCEPT | session | other).status_code == 404
    assert guarded.delete("/mcp", headers=session | people.headers("member")).status_code == 200


def test_a_message_that_means_harm_is_refused_before_it_is_read(http: httpx.Client) -> None:
    arguments = {"query": "x\x00y"}
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "search", "arguments": arguments}}
    refused = http.post("/mcp", json=call, headers=ACCEPT)
    assert refused.status_code == 400
    assert refused.json()["error"]["data"]["code"] == "mcp_argument_refused"


async def test_a_tenant_has_so_many_calls_under_way_and_no_more(api_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.mcp.server.MAX_CALLS", 0)
    async with connected(api_url) as client:
        assert "busy" in error_of(await client.call_tool("list_workflows", {}))


def test_there_is_no_other_server(http: httpx.Client) -> None:
    assert http.post("/mcp/nonsense", json=PING, headers=ACCEPT).status_code == 404


async def test_an_id_that_waits_cannot_be_used_again(
    api_url: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    from websockets.asyncio.client import connect

    held = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(*_: Any, **__: Any) -> Any:
        asyncio.run_coroutine_threadsafe(held.wait(), loop).result(60)
        return []

    monkeypatch.setattr(type(services.workflows), "list", slow)
    call = '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"list_workflows","arguments":{}}}'
    async with connect(api_url.replace("http", "ws", 1) + "/mcp/ws", subprotocols=["mcp"], proxy=None) as socket:  # type: ignore[list-item]
        import orjson

        await socket.send(orjson.dumps(INITIALIZE).decode())
        await socket.recv()
        await socket.send('{"jsonrpc":"2.0","method":"notifications/initialized"}')
        await socket.send(call)
        await socket.send(call)
        refused = orjson.loads(await socket.recv())
        held.set()
        answered = orjson.loads(await socket.recv())
    assert refused["error"]["data"]["code"] == "mcp_id_in_flight"
    assert answered["result"]["structuredContent"] == {"workflows": []}
