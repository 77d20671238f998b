"""Every tool, resource and prompt of the three servers, asked by no one and by another tenant's admin.

Every kind of resource is asked by each role, too; tools are, in `test_access.py`. A new tool is asked like the others; what
its arguments name is the victim's.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from mcp import MCPError
from mcp.types import PromptReference, ResourceTemplateReference, TextContent

from api.mcp.resources import ALL, KNOWLEDGE
from resources.content.parse import parse_document
from resources.tenants.permissions import Role, allows, scopes_of
from tests.api.auth.people import People
from tests.api.graphql.conftest import World, build_world
from tests.api.mcp.conftest import connected
from tests.api.test_runs import executed, pleasantries

if TYPE_CHECKING:
    import httpx
    from dagster import DagsterInstance
    from fastapi import FastAPI
    from mcp import Client

    from api.dependencies import Services
    from api.mcp.resources import Kind
    from resources.database.postgres import Database

SERVERS = {
    "platform": "/mcp/platform",
    "customer-support": "/mcp/customer-support",
    "knowledge-base": "/mcp/knowledge-base",
}
SHELVES = {"platform": ALL, "knowledge-base": KNOWLEDGE}
LIBRARIES = ("platform", "customer-support")
# What only the tenant of the world has, and nobody asks for by name.
TRACES = ("On tea", "upload:tea.md", "Makes tea", "Hello there", "Boil water")
URIS = {
    "documents/{id}/text": "aiw://documents/{document}/text",
    "documents/{id}": "aiw://documents/{document}",
    "concepts/{id}": "aiw://concepts/tea",
    "workflows/{name}": "aiw://workflows/{workflow}",
    "runs/{run_id}/log": "aiw://runs/{run}/log",
    "runs/{run_id}": "aiw://runs/{run}",
    "prompts/{id}": "aiw://prompts/greeting",
}


@pytest.fixture(scope="module")
def world(services: Services, database: Database) -> World:
    tenant = f"mcp-{uuid.uuid4().hex[:12]}"
    People(services.identity, tenant)
    world = build_world(services, database, tenant)
    document = services.documents.get(world.document, tenant=tenant)
    parsed = parse_document(b"# Tea\n\nBoil water.", name="tea.md")
    services.documents.save_parsed(document.id, document.sha256, parsed, tenant=tenant)
    return world


@pytest.fixture(scope="module")
def run(dagster_instance: DagsterInstance, world: World) -> str:
    """One that Dagster knows, and has written a log about."""
    return executed(pleasantries, dagster_instance, world.tenant)


@pytest.fixture(scope="module")
def thief(services: Services, world: World) -> str:
    return People(services.identity, f"{world.tenant}-thief").pair("admin").access_token


def uri_of(path: str, world: World, run: str | None = None) -> str:
    return URIS[path].format(document=world.document, workflow=world.workflow, run=run or world.run)


async def everything_listed(client: Client) -> list[str]:
    """Addresses and names on the whole shelf, page after page."""
    page = await client.list_resources()
    found = list(page.resources)
    while page.next_cursor is not None:
        page = await client.list_resources(cursor=page.next_cursor)
        found += page.resources
    return [f"{one.uri} {one.title} {one.description}" for one in found]


def value(schema: dict[str, Any], name: str, world: World, definitions: dict[str, Any]) -> Any:
    """Something good enough to get to where the tenant matters: what is the world's, where a name is asked for."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        schema = schema["anyOf"][0]
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {
                key: value(inner, key, world, definitions)
                for key, inner in schema.get("properties", {}).items()
                if key in schema.get("required", ())
            }
        case "array":
            return [value(schema.get("items", {"type": "string"}), name, world, definitions)]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
    names = {"document": world.document, "page": world.document, "article": world.document, "run": world.run}
    names |= {
        "workflow": world.workflow,
        "name": world.workflow,
        "concept": "tea",
        "target": "tea",
        "query": "tea water",
    }
    return next((known for part, known in names.items() if part in name.lower()), "tea")


def arguments_of(declaration: Any, world: World) -> dict[str, Any]:
    schema = declaration.input_schema
    made: dict[str, Any] = value({**schema, "type": "object"}, "", world, schema.get("$defs", {}))
    return made


def state_of(services: Services, tenant: str) -> tuple[Any, ...]:
    return (
        services.events.head(tenant=tenant),
        list(services.documents.list(tenant=tenant)),
        services.graph.revision(tenant=tenant),
        [entry.spec.name for entry in services.workflows.list(tenant)],
    )


@pytest.mark.parametrize("path", ["/mcp", *SERVERS.values()])
@pytest.mark.parametrize("method", ["tools/list", "tools/call", "resources/read", "prompts/get", "initialize"])
def test_nobody_is_told_anything(guarded: httpx.Client, path: str, method: str) -> None:
    asked = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {}}
    assert guarded.post(path, json=asked, headers={"Accept": "application/json, text/event-stream"}).status_code == 401


@pytest.mark.parametrize("name", list(SERVERS))
async def test_another_tenants_admin_gets_nothing_out_of_any_tool(
    guarded_app: FastAPI, guarded_url: str, services: Services, world: World, thief: str, name: str
) -> None:
    before = state_of(services, world.tenant)
    async with connected(guarded_url, path=SERVERS[name], token=thief) as client:
        for tool in guarded_app.state.mcp.servers[name].tools.values():
            result = await client.call_tool(tool.name, arguments_of(tool.declaration, world))
            assert not any(trace in str(result) for trace in TRACES), (tool.name, result)
            refused = (
                str(result.content[0].text) if result.is_error and isinstance(result.content[0], TextContent) else ""
            )
            assert "scope_missing" not in refused, tool.name
    assert state_of(services, world.tenant) == before


def test_every_kind_of_resource_has_an_address_here() -> None:
    assert {kind.path for kind in ALL} == set(URIS)


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_reads_the_kinds_of_resources_that_it_may_and_no_others(
    guarded_url: str, services: Services, world: World, role: Role
) -> None:
    may = {kind.template for kind in ALL if allows(scopes_of(role, at_home=False), kind.scope)}
    token = People(services.identity, world.tenant).pair(role).access_token
    async with connected(guarded_url, path=SERVERS["platform"], token=token) as client:
        assert {one.uri_template for one in (await client.list_resource_templates()).resource_templates} == may
        for kind in ALL:
            if kind.template not in may:
                with pytest.raises(Exception, match="may not"):
                    await client.read_resource(uri_of(kind.path, world))


@pytest.mark.parametrize("name", list(SHELVES))
async def test_what_its_tenants_admin_reads_is_not_there_for_another_tenants(
    guarded_url: str, services: Services, world: World, run: str, thief: str, name: str
) -> None:
    owner = People(services.identity, world.tenant).pair("admin").access_token
    uris = {kind: uri_of(kind.path, world, run) for kind in SHELVES[name]}
    ids = (world.document, run, "greeting", "brew", "tea")

    async def completed(client: Client, kind: Kind) -> set[str]:
        reference = ResourceTemplateReference(uri=kind.template)
        found = await client.complete(reference, {"name": kind.parameter, "value": ""})
        return set(found.completion.values)

    async with connected(guarded_url, path=SERVERS[name], token=owner) as client:
        told = {kind: str(await client.read_resource(uri)) for kind, uri in uris.items()}
        listed = str(await everything_listed(client))
        assert world.document in listed
        offered = [await completed(client, kind) & set(ids) for kind in uris if kind.scope != "read:runs"]
        assert all(offered)
    assert [
        kind.path for kind, text in told.items() if not any(trace in text for trace in (*TRACES, *ids, "greet"))
    ] == []
    async with connected(guarded_url, path=SERVERS[name], token=thief) as client:
        for kind, uri in uris.items():
            with pytest.raises(MCPError) as refused:
                await client.read_resource(uri)
            assert "may not" not in str(refused.value), kind.path
            assert not any(trace in f"{refused.value} {refused.value.error}" for trace in TRACES), kind.path
            assert not await completed(client, kind) & set(ids), kind.path
        stolen = str(await everything_listed(client))
    assert not any(trace in stolen for trace in (*TRACES, world.document, run, world.run, "s/brew", "s/greeting"))


@pytest.mark.parametrize("name", LIBRARIES)
async def test_prompts_of_a_tenant_are_not_there_for_another(
    guarded_url: str, services: Services, world: World, thief: str, name: str
) -> None:
    owner = People(services.identity, world.tenant).pair("admin").access_token
    async with connected(guarded_url, path=SERVERS[name], token=owner) as client:
        names = {one.name for one in (await client.list_prompts()).prompts}
        assert "Hello there" in str(await client.get_prompt("greeting"))
    async with connected(guarded_url, path=SERVERS[name], token=thief) as client:
        assert {one.name for one in (await client.list_prompts()).prompts} == names - {"greeting"}
        for ask in (
            lambda: client.get_prompt("greeting"),
            lambda: client.complete(PromptReference(name="greeting"), {"name": "x", "value": ""}),
        ):
            with pytest.raises(MCPError, match="no prompt"):
                await ask()


async def test_every_server_that_has_resources_or_prompts_is_asked(guarded_url: str, thief: str) -> None:
    found: dict[str, tuple[bool, bool]] = {}
    for name, path in SERVERS.items():
        async with connected(guarded_url, path=path, token=thief) as client:
            can = client.server_capabilities
            found[name] = (can.resources is not None, can.prompts is not None)
    assert found == {name: (name in SHELVES, name in LIBRARIES) for name in SERVERS}
