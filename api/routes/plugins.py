"""Plugins of the tenant: modules of WebAssembly that work on documents, and may do nothing else."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Response

from api import problems
from api.auth.principal import PrincipalDep
from api.dependencies import NowDep, ServicesDep, TenantDep
from api.paging import LongPageDep, PageDep
from api.plugins import (
    PluginIn,
    PluginList,
    PluginOut,
    PluginPatch,
    PluginRunList,
    PluginRunOut,
    ProcessedOut,
    ProcessIn,
)
from api.preconditions import IfMatch, tagged, unless_changed
from resources.plugins.model import PluginInput

router = APIRouter(prefix="/plugins", tags=["plugins"])

Name = Annotated[str, Path(pattern=r"^[a-z][a-z0-9_-]{0,62}$", description="Name of the plugin")]


@router.get("", summary="List plugins", responses=problems.responses(400, 422, 503))
def list_plugins(services: ServicesDep, tenant: TenantDep, page: PageDep) -> PluginList:
    """By name."""
    found = page.of(services.plugins.list(tenant=tenant), lambda plugin: (plugin.name,))
    return PluginList(plugins=[PluginOut.of(plugin) for plugin in found], next_cursor=page.next_cursor)


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    summary="Install a plugin",
    responses={
        200: {"model": PluginOut, "description": "One of its name was there; it is replaced"},
        **problems.responses(400, 413, 422, 502, 503),
    },
)
def install_plugin(
    body: PluginIn, services: ServicesDep, principal: PrincipalDep, now: NowDep, response: Response
) -> PluginOut:
    """The module is compiled, asked what it is, and kept; it is disabled until it is enabled."""
    plugin, created = services.plugins.install(
        body.module(),
        tenant=principal.tenant,
        now=now,
        grants=body.grants,
        config=body.config,
        limits=body.limits,
        actor=principal.subject,
    )
    if not created:
        response.status_code = HTTPStatus.OK
    return PluginOut.of(plugin)


@router.get("/{name}", summary="Show a plugin", responses=problems.responses(404, 422, 503))
def show_plugin(name: Name, services: ServicesDep, tenant: TenantDep, response: Response) -> PluginOut:
    """What it is, what it may use, and how it is configured."""
    return tagged(PluginOut.of(services.plugins.get(name, tenant=tenant)), response)


@router.patch("/{name}", summary="Enable, disable or limit a plugin", responses=problems.responses(404, 412, 422, 503))
def change_plugin(
    name: Name,
    body: PluginPatch,
    services: ServicesDep,
    principal: PrincipalDep,
    now: NowDep,
    response: Response,
    if_match: IfMatch = None,
) -> PluginOut:
    """What is left out stays as it is."""
    plugin = services.plugins.change(
        name,
        tenant=principal.tenant,
        now=now,
        enabled=body.enabled,
        limits=body.limits,
        unless=unless_changed(if_match, PluginOut.of),
        actor=principal.subject,
    )
    return tagged(PluginOut.of(plugin), response)


@router.put(
    "/{name}/config",
    summary="Configure a plugin",
    responses=problems.responses(400, 404, 409, 412, 413, 422, 502, 503),
)
def configure_plugin(
    name: Name,
    config: Annotated[dict[str, Any], Body(description="All of it; what was there before is gone")],
    services: ServicesDep,
    principal: PrincipalDep,
    now: NowDep,
    response: Response,
    if_match: IfMatch = None,
) -> PluginOut:
    """It is checked against the plugin's schema, and by the plugin itself. `If-Match` takes the tag of the plugin."""
    unless = unless_changed(if_match, PluginOut.of)
    plugin = services.plugins.change(
        name, tenant=principal.tenant, now=now, config=config, unless=unless, actor=principal.subject
    )
    return tagged(PluginOut.of(plugin), response)


@router.delete(
    "/{name}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Remove a plugin",
    responses=problems.responses(404, 412, 422, 503),
)
def remove_plugin(name: Name, services: ServicesDep, principal: PrincipalDep, if_match: IfMatch = None) -> None:
    """With the journal of its calls."""
    unless = unless_changed(if_match, PluginOut.of)
    services.plugins.remove(name, tenant=principal.tenant, unless=unless, actor=principal.subject)


@router.post(
    "/{name}/run", summary="Run a plugin", responses=problems.responses(400, 404, 409, 413, 422, 429, 502, 503)
)
def run_plugin(name: Name, body: ProcessIn, services: ServicesDep, tenant: TenantDep, now: NowDep) -> ProcessedOut:
    """Once, on one text. The same text again is answered from what is kept."""
    given = PluginInput(
        content=body.content, content_type=body.content_type, metadata=body.metadata, config=body.config
    )
    return ProcessedOut.of(services.plugins.process(name, given, tenant=tenant, now=now))


@router.get("/{name}/runs", summary="Show what a plugin did", responses=problems.responses(400, 404, 422, 503))
def plugin_runs(name: Name, services: ServicesDep, tenant: TenantDep, page: LongPageDep) -> PluginRunList:
    """Its calls of the last 30 days: what came of them, what they used, and what the plugin logged."""
    found = page.of_newest(
        lambda limit: services.plugins.runs(name, tenant=tenant, limit=limit), lambda run: (run.at, run.id)
    )
    return PluginRunList(runs=[PluginRunOut.of(run) for run in found], next_cursor=page.next_cursor)
