"""Read models: where they stand, their rows, and building them anew."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api import problems
from api.dependencies import Services, ServicesDep, TenantDep
from api.paging import PageDep
from api.routes.replays import replay_out
from api.schemas import LagOut, ProjectionOut, ProjectionRow, ProjectionRows, RebuildOut, ReplayOut, Storable
from resources.errors import NotFoundError
from resources.events.projections import PROJECTIONS
from resources.events.projections.lag import lag_of
from resources.events.projections.model import Projection
from resources.events.replays.model import ReplayRequest, Selection

router = APIRouter(prefix="/projections", tags=["projections"])

Name = Annotated[Storable, Path(min_length=1, max_length=100, description="Name of the projection")]


@router.get("", summary="List projections", responses=problems.responses(400, 422, 503))
def list_projections(services: ServicesDep, page: PageDep) -> list[ProjectionOut]:
    """All read models, with their lag. They are kept for all tenants together; rows are told to their own tenant alone."""
    return [_out(services, projection) for projection in page.of(PROJECTIONS, lambda projection: (projection.name,))]


@router.get("/{name}", summary="Show a projection", responses=problems.responses(404, 422, 503))
def show_projection(name: Name, services: ServicesDep) -> ProjectionOut:
    """Where a read model stands, and how far it is being built anew."""
    return _out(services, _projection(name))


@router.get("/{name}/rows", summary="Read a projection's rows", responses=problems.responses(404, 422, 503))
def read_rows(
    name: Name,
    services: ServicesDep,
    tenant: TenantDep,
    prefix: Annotated[Storable, Query(max_length=500, description="Only keys that begin so")] = "",
    after: Annotated[Storable, Query(max_length=500, description="Only keys after this one")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> ProjectionRows:
    """The tenant's rows in order of key. A read model that is being built anew is read as it was before."""
    _projection(name)
    found = services.projections.rows(name, tenant=tenant, prefix=prefix, after=after, limit=limit + 1)
    page = found[:limit]
    return ProjectionRows(
        rows=[ProjectionRow(key=key, data=data) for key, data in page],
        next_after=page[-1][0] if len(found) > limit else None,
    )


@router.post(
    "/{name}/rebuild",
    status_code=HTTPStatus.ACCEPTED,
    summary="Build a projection anew",
    responses=problems.responses(404, 422, 503),
)
def rebuild_projection(
    name: Name,
    services: ServicesDep,
    tenant: TenantDep,
    response: Response,
    rate: Annotated[float | None, Query(gt=0, le=1_000_000, description="Events a second at most")] = None,
) -> ReplayOut:
    """From the first event on, beside the rows in use, which it replaces in one step. Follow the replay at `Location`."""
    projection = _projection(name)
    request = ReplayRequest(selection=Selection(tenant=tenant), targets=(f"projection:{projection.name}",), rate=rate)
    status = services.replays.start(request)
    response.headers["Location"] = f"/api/v1/replays/{request.id}"
    return replay_out(status)


@router.post("/{name}/cancel", summary="Cancel a rebuild", responses=problems.responses(404, 422, 503))
def cancel_rebuild(name: Name, services: ServicesDep) -> ProjectionOut:
    """Stop building it anew, whoever does; the rows in use stay. Does nothing when nobody does."""
    projection = _projection(name)
    if _out(services, projection).rebuilding is not None:
        services.projections.cancel_rebuild(name)
    return _out(services, projection)


def _projection(name: str) -> Projection:
    for projection in PROJECTIONS:
        if projection.name == name:
            return projection
    known = ", ".join(projection.name for projection in PROJECTIONS)
    raise NotFoundError(f"There is no projection {name!r}. There are: {known}.", code="projection_not_found")


def _out(services: Services, projection: Projection) -> ProjectionOut:
    try:
        status = services.projections.status(projection.name)
    except NotFoundError:  # nobody has kept it yet
        services.projections.define(projection.name, version=projection.version)
        status = services.projections.status(projection.name)
    lag = lag_of(services.events, status, now=datetime.now(UTC))
    return ProjectionOut(
        name=status.name,
        description=inspect.getdoc(type(projection)) or "",
        types=sorted(projection.types),
        version=status.version,
        state=status.state,
        position=status.position,
        events=status.events,
        lag=LagOut(events=lag.positions, seconds=lag.seconds),
        error=status.error,
        rebuilding=None if status.rebuilding is None else RebuildOut.model_validate(status.rebuilding),
        updated_at=status.updated_at,
    )
