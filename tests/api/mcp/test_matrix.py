"""Every tool of the three servers, asked by no one and by another tenant's admin; every kind of resource, by each role.

`test_access.py` asks as every role. A new tool is asked like the others; what its arguments name is the victim's.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
from mcp.types import TextContent

from api.mcp.resources import ALL
from resources.tenants.permissions import Role, allows, scopes_of
from tests.api.auth.people import People
from tests.api.graphql.conftest import World, build_world
from tests.api.mcp.conftest import connected

if TYPE_CHECKING:
    import httpx
    from fastapi import FastAPI

    from api.dependencies import Services
    from resources.database.postgres import Database

SERVERS = {
    "platform": "/mcp/platform",
    "customer-support": "/mcp/customer-support",
    "knowledge-base": "/mcp/knowledge-base",
}
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
    return build_world(services, database, tenant)


@pytest.fixture(scope="module")
def thief(services: Services, world: World) -> str:
    return People(services.identity, f"{world.tenant}-thief").pair("admin").access_token


def uri_of(path: str, world: World) -> str:
    return URIS[path].format(document=world.document, workflow=world.workflow, run=world.run)


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
