"""What people state of concepts, beside what documents say."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Response

from api import problems
from api.auth.principal import PrincipalDep
from api.dependencies import ServicesDep, TenantDep
from api.paging import PageDep
from api.preconditions import IfMatch, as_it_is, tagged, unless_changed
from resources.knowledge.curation import Curation, Statement

router = APIRouter(tags=["graph"])

Name = Annotated[str, Path(min_length=1, max_length=200, description="A concept, by name or id")]


@router.get("/graph/curations", summary="List what people state", responses=problems.responses(400, 422, 503))
def curations(services: ServicesDep, tenant: TenantDep, page: PageDep) -> list[Curation]:
    """Statements with who made them last, in order of the concepts' ids."""
    return list(page.of(services.curations.all(tenant=tenant), lambda one: (one.id,)))


@router.get(
    "/concepts/{concept}/curation", summary="Show what people state", responses=problems.responses(404, 422, 503)
)
def curation(concept: Name, services: ServicesDep, tenant: TenantDep, response: Response) -> Curation:
    """What is stated of a concept, apart from what documents say."""
    return tagged(services.curations.of(concept, tenant=tenant), response)


@router.post(
    "/concepts",
    status_code=HTTPStatus.CREATED,
    summary="State a concept",
    responses=problems.responses(409, 422, 503),
)
def state_concept(
    body: Statement, services: ServicesDep, tenant: TenantDep, principal: PrincipalDep, response: Response
) -> Curation:
    """A concept, whether documents know it or not, and its edges to others. No document that goes takes it along."""
    made = services.curations.add(body, tenant=tenant, by=principal.subject)
    response.headers["Location"] = f"/api/v1/concepts/{made.id}"
    return tagged(made, response)


@router.put(
    "/concepts/{concept}",
    summary="Change what is stated of a concept",
    responses=problems.responses(404, 409, 412, 422, 503),
)
def change_concept(
    concept: Name,
    body: Statement,
    services: ServicesDep,
    tenant: TenantDep,
    principal: PrincipalDep,
    response: Response,
    if_match: IfMatch = None,
) -> Curation:
    """The whole statement, in place of the one before. A concept that only documents knew is stated for the first time."""
    changed = services.curations.change(
        concept, body, tenant=tenant, by=principal.subject, unless=unless_changed(if_match, as_it_is)
    )
    return tagged(changed, response)


@router.delete(
    "/concepts/{concept}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Take a statement back",
    responses=problems.responses(404, 409, 412, 422, 503),
)
def remove_concept(
    concept: Name, services: ServicesDep, tenant: TenantDep, principal: PrincipalDep, if_match: IfMatch = None
) -> None:
    """Exactly what nothing else supports goes with it: a concept that documents name stays as they tell it."""
    services.curations.remove(concept, tenant=tenant, by=principal.subject, unless=unless_changed(if_match, as_it_is))
