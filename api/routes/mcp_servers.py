"""MCP servers that workflows and agents of the tenant call: the operator's, and its own."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body, Path, Query, Response

from api import problems
from api.auth.principal import PrincipalDep
from api.dependencies import NowDep, ServicesDep, TenantDep
from api.mcp_servers import (
    CalledOut,
    ConnectionOut,
    McpLoginIn,
    McpServerCheckOut,
    McpServerIn,
    McpServerList,
    McpServerOut,
    ToolList,
    ToolOut,
)
from api.paging import PageDep
from api.preconditions import IfMatch, tagged, unless_changed
from resources.ai import bridge
from resources.ai.call import CallOptions
from resources.ai.model import CallContext
from resources.errors import InvalidInputError, Problem
from resources.events.catalog import McpServerChanged
from resources.events.model import StreamId
from resources.mcp.arguments import problems_of
from resources.mcp.model import NAME
from resources.tenants.audit import Audit

router = APIRouter(prefix="/mcp-servers", tags=["mcp-servers"])

Name = Annotated[str, Path(pattern=NAME, description="Name of the server")]
ToolName = Annotated[str, Path(max_length=200, description="Name of the tool, as its server lists it")]


@router.get("", summary="List MCP servers", responses=problems.responses(400, 422, 503))
def list_mcp_servers(services: ServicesDep, tenant: TenantDep, page: PageDep) -> McpServerList:
    """By name. Of secrets, their names."""
    found = page.of(services.mcp_servers.list(tenant=tenant), lambda server: (server.config.name,))
    return McpServerList(servers=[McpServerOut.of(one) for one in found], next_cursor=page.next_cursor)


@router.get("/{name}", summary="Show an MCP server", responses=problems.responses(404, 422, 503))
def show_mcp_server(name: Name, services: ServicesDep, tenant: TenantDep, response: Response) -> McpServerOut:
    """Where it is, and how it is called."""
    return tagged(McpServerOut.of(services.mcp_servers.get(name, tenant=tenant)), response)


@router.put(
    "/{name}",
    summary="Add or change an MCP server",
    responses={
        201: {"model": McpServerOut, "description": "There was none of its name"},
        **problems.responses(400, 403, 409, 412, 422, 429, 503),
    },
)
def put_mcp_server(
    name: Name,
    body: McpServerIn,
    services: ServicesDep,
    principal: PrincipalDep,
    now: NowDep,
    response: Response,
    if_match: IfMatch = None,
) -> McpServerOut:
    """All of it: what was there before is gone, with its headers. Its addresses have to be public."""
    config = body.config(name)
    unless = unless_changed(if_match, McpServerOut.of)
    created = services.mcp_servers.save(config, tenant=principal.tenant, now=now, unless=unless)
    fact = McpServerChanged(
        server=name, change="added" if created else "changed", transport=config.transport, urls=config.urls
    )
    Audit(services.events).record(StreamId("mcp_server", name), fact, tenant=principal.tenant, actor=principal)
    if created:
        response.status_code = HTTPStatus.CREATED
    return tagged(McpServerOut.of(services.mcp_servers.get(name, tenant=principal.tenant)), response)


@router.delete(
    "/{name}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Remove an MCP server",
    responses=problems.responses(404, 409, 412, 422, 503),
)
def remove_mcp_server(name: Name, services: ServicesDep, principal: PrincipalDep, if_match: IfMatch = None) -> None:
    """The operator's stay."""
    unless = unless_changed(if_match, McpServerOut.of)
    services.mcp_servers.remove(name, tenant=principal.tenant, unless=unless)
    fact = McpServerChanged(server=name, change="removed")
    Audit(services.events).record(StreamId("mcp_server", name), fact, tenant=principal.tenant, actor=principal)


@router.put(
    "/{name}/login",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Keep a login to an MCP server",
    responses=problems.responses(400, 404, 409, 422, 503),
)
def keep_mcp_login(name: Name, body: McpLoginIn, services: ServicesDep, principal: PrincipalDep) -> None:
    """The tenant's workflows and agents call the server with it, and refresh it. It is good for the present addresses alone."""
    from pydantic import ValidationError

    from resources.mcp.oauth import Login

    try:
        login = Login.model_validate_json(body.login.get_secret_value())
    except ValidationError as error:
        raise InvalidInputError("This is no login.", code="mcp_login_invalid") from error
    services.mcp_servers.save_login(name, login, tenant=principal.tenant)
    fact = McpServerChanged(server=name, change="logged_in")
    Audit(services.events).record(StreamId("mcp_server", name), fact, tenant=principal.tenant, actor=principal)


@router.delete(
    "/{name}/login",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Forget a login to an MCP server",
    responses=problems.responses(404, 409, 422, 503),
)
def forget_mcp_login(name: Name, services: ServicesDep, principal: PrincipalDep) -> None:
    """Its tokens are gone here; that they end is the authorization server's business."""
    if services.mcp_servers.remove_login(name, tenant=principal.tenant):
        fact = McpServerChanged(server=name, change="logged_out")
        Audit(services.events).record(StreamId("mcp_server", name), fact, tenant=principal.tenant, actor=principal)


@router.get(
    "/{name}/tools", summary="List the tools of an MCP server", responses=problems.responses(404, 409, 422, 502, 503)
)
def mcp_server_tools(name: Name, services: ServicesDep, tenant: TenantDep) -> ToolList:
    """As the server lists them now, with their schemas."""
    return ToolList(tools=[ToolOut.of(one) for one in services.mcp_servers.tools(name, tenant=tenant, fresh=True)])


@router.post(
    "/{name}/tools/{tool}",
    summary="Call a tool of an MCP server",
    responses=problems.responses(400, 403, 404, 409, 422, 429, 502, 503),
)
def call_mcp_tool(
    name: Name,
    tool: ToolName,
    services: ServicesDep,
    principal: PrincipalDep,
    arguments: Annotated[dict[str, Any], Body(description="Its arguments")],
    timeout: Annotated[float, Query(gt=0, le=50, description="Seconds for the call")] = 30.0,
) -> CalledOut:
    """Checked against the tool's schema, and in the books like any call."""
    servers = services.mcp_servers
    found = bridge.run(servers.pool(name, tenant=principal.tenant).tool(tool))
    if wrong := problems_of(found, arguments):
        raise InvalidInputError(
            f"{tool!r} of {name!r} cannot be called so.",
            problems=tuple(Problem("arguments", one) for one in wrong),
            code="mcp_arguments_invalid",
        )
    context = CallContext(tenant=principal.tenant, user=principal.subject)
    options = CallOptions(timeout=timeout)
    result = bridge.run(servers.call(services.ai_calls(), name, tool, arguments, context=context, options=options))
    return CalledOut(**orjson.loads(result.text), call_id=result.call_id, memo=result.memo)


@router.post("/{name}/check", summary="Check an MCP server", responses=problems.responses(404, 409, 422, 502, 503))
def check_mcp_server(name: Name, services: ServicesDep, tenant: TenantDep) -> McpServerCheckOut:
    """Connect, list its tools, and tell how each of its connections is."""
    began = time.monotonic()
    tools = services.mcp_servers.tools(name, tenant=tenant, fresh=True)
    took = 1000 * (time.monotonic() - began)
    connections = services.mcp_servers.status(name, tenant=tenant)
    return McpServerCheckOut(
        tools=len(tools), milliseconds=took, connections=[ConnectionOut.of(one) for one in connections]
    )
