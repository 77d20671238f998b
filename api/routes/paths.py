"""Learning paths that are kept."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from api import problems
from api.auth.principal import PrincipalDep
from api.dependencies import ServicesDep, TenantDep
from api.paging import PageDep
from api.preconditions import IfMatch, as_it_is, tagged, unless_changed
from api.routes.knowledge import PathIn
from resources.errors import NotPermittedError
from resources.knowledge.model import SavedPath, concept_id
from resources.knowledge.progress.model import shares
from resources.knowledge.saving import saved

router = APIRouter(prefix="/learning-paths", tags=["knowledge"])

PathId = Annotated[str, Path(min_length=1, max_length=300, description="As the list of paths tells it")]


class KeepIn(PathIn):
    """`POST /learning-paths`: what to plan, and how to call it."""

    name: str = Field(min_length=1, max_length=200, description="For people")
    description: str = Field(default="", max_length=2000)
    audience: str | None = Field(default=None, max_length=200, description="Whom it is for")


@router.get("", summary="List kept paths", responses=problems.responses(400, 422, 503))
def kept_paths(
    services: ServicesDep,
    tenant: TenantDep,
    page: PageDep,
    over: Annotated[
        str | None, Query(min_length=1, max_length=200, description="A concept that they lead over")
    ] = None,
) -> list[SavedPath]:
    """Those of users, and those of the platform to its most demanding concepts (asset `knowledge/paths`), in order of name."""
    found = services.graph.paths(tenant=tenant, over=None if over is None else concept_id(over))
    return list(page.of(found, lambda path: (path.name, path.id)))


@router.post(
    "", status_code=HTTPStatus.CREATED, summary="Plan a path and keep it", responses=problems.responses(404, 422, 503)
)
def keep_path(body: KeepIn, services: ServicesDep, tenant: TenantDep, principal: PrincipalDep) -> SavedPath:
    """As `POST /learning-path`; the path stays as it was planned."""
    done = shares(services.progress.of(principal.subject, tenant=tenant)) if body.use_progress else {}
    planned = services.learning_paths.plan(
        body.target, source=body.source, known=body.known, done=done, wishes=body.wished(), tenant=tenant
    )
    path = saved(
        planned,
        id=str(uuid.uuid4()),
        name=body.name,
        description=body.description,
        audience=body.audience,
        creator=principal.subject,
        now=datetime.now(UTC),
    )
    services.graph.put_path(path, tenant=tenant)
    return path


@router.get("/{path_id}", summary="Show a kept path", responses=problems.responses(404, 422, 503))
def kept_path(path_id: PathId, services: ServicesDep, tenant: TenantDep, response: Response) -> SavedPath:
    """Its steps as they were planned; concepts may have gone since."""
    return tagged(services.graph.path(path_id, tenant=tenant), response)


@router.delete(
    "/{path_id}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Keep a path no longer",
    responses=problems.responses(403, 404, 412, 422, 503),
)
def drop_path(
    path_id: PathId, services: ServicesDep, tenant: TenantDep, principal: PrincipalDep, if_match: IfMatch = None
) -> None:
    """Only who made it may do that."""
    path = services.graph.path(path_id, tenant=tenant)
    if path.creator != principal.subject:
        raise NotPermittedError(f"Learning path {path_id!r} is somebody else's.", code="path_not_yours")
    if (unless := unless_changed(if_match, as_it_is)) is not None:
        unless(path)  # what a user has kept never changes: seen once, it is so until it is dropped
    services.graph.drop_path(path_id, tenant=tenant)
