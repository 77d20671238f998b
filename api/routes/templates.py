"""Workflows as a catalogue to choose from."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from api import problems
from api.auth.principal import PrincipalDep
from api.dependencies import ServicesDep, TenantDep
from api.paging import PageDep
from api.routes.workflows import Key, triggered
from api.workflows.schemas import TemplateOut, TemplateStatisticsOut, TemplateTriggerIn, TriggeredOut

router = APIRouter(prefix="/templates", tags=["templates"])

Words = Annotated[list[str] | None, Query(max_length=50)]


@router.get("", summary="List templates", responses=problems.responses(400, 422, 503))
def list_templates(services: ServicesDep, tenant: TenantDep, page: PageDep) -> list[TemplateOut]:
    """All of them."""
    found = page.of(services.workflows.templates(tenant), lambda template: (template.id,))
    return [TemplateOut.of(one) for one in found]


@router.get("/search", summary="Search templates", responses=problems.responses(400, 422, 503))
def search_templates(
    services: ServicesDep,
    tenant: TenantDep,
    page: PageDep,
    text: Annotated[str | None, Query(max_length=200, description="Part of the name or the description")] = None,
    category: Annotated[str | None, Query(max_length=100)] = None,
    complexity: Annotated[str | None, Query(max_length=20)] = None,
    tags: Words = None,
    has_inputs: Words = None,
    has_outputs: Words = None,
    max_duration: Annotated[float | None, Query(ge=0, le=10**9, description="Seconds")] = None,
) -> list[TemplateOut]:
    """Those for which everything holds that is asked."""
    found = services.workflows.templates(tenant).search(
        text=text,
        category=category,
        complexity=complexity,
        tags=tags or (),
        has_inputs=has_inputs or (),
        has_outputs=has_outputs or (),
        max_duration=None if max_duration is None else timedelta(seconds=max_duration),
    )
    return [TemplateOut.of(one) for one in page.of(found, lambda template: (template.id,))]


@router.get("/categories", summary="Count templates by category", responses=problems.responses(503))
def template_categories(services: ServicesDep, tenant: TenantDep) -> dict[str, int]:
    """How many there are of each."""
    return dict(services.workflows.templates(tenant).statistics().by_category)


@router.get("/tags", summary="Count templates by tag", responses=problems.responses(503))
def template_tags(services: ServicesDep, tenant: TenantDep) -> dict[str, int]:
    """How many have each."""
    tags = sorted(tag for found in services.workflows.templates(tenant) for tag in found.tags)
    return {tag: tags.count(tag) for tag in tags}


@router.get("/statistics", summary="Figures about the templates", responses=problems.responses(503))
def template_statistics(services: ServicesDep, tenant: TenantDep) -> TemplateStatisticsOut:
    """How many there are, and how long they take."""
    found = services.workflows.templates(tenant).statistics()
    return TemplateStatisticsOut(
        total=found.total,
        by_category=dict(found.by_category),
        by_complexity=dict(found.by_complexity),
        average_duration=found.average_duration.total_seconds() if found.average_duration else None,
    )


@router.post(
    "/trigger",
    status_code=HTTPStatus.ACCEPTED,
    summary="Run a template",
    responses=problems.responses(400, 404, 409, 413, 422, 503),
)
def trigger_template(
    body: TemplateTriggerIn, services: ServicesDep, principal: PrincipalDep, request: Request, key: Key = None
) -> TriggeredOut:
    """As `POST /workflows/{name}/run`."""
    services.workflows.templates(principal.tenant).get(body.template_id)
    return triggered(services, principal, request, body.template_id, body.inputs, key)


@router.get("/{template_id}", summary="Show a template", responses=problems.responses(404, 503))
def show_template(
    template_id: Annotated[str, Path(min_length=1, max_length=100)], services: ServicesDep, tenant: TenantDep
) -> TemplateOut:
    """With its whole spec."""
    return TemplateOut.of(services.workflows.templates(tenant).get(template_id), whole=True)
