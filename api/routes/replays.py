"""Stored events, delivered once more."""

from __future__ import annotations

from http import HTTPStatus
from uuid import UUID

from fastapi import APIRouter, Response

from api import problems
from api.auth import access
from api.auth.principal import PrincipalDep
from api.dependencies import ServicesDep, TenantDep
from api.paging import LongPageDep
from api.routes.events import expanded
from api.schemas import ReplayIn, ReplayOut, ReplayPage, ReplayPlanOut
from resources.events.model import StreamId, new_event_id
from resources.events.replays.model import ReplayRequest, ReplayStatus, Selection

_EVERYBODYS = "system_operate"
"""Read models are of all tenants."""

router = APIRouter(prefix="/replays", tags=["replays"])


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    summary="Start a replay, or see what it would do",
    responses={
        200: {"model": ReplayPlanOut, "description": "With `dry_run`: what would be done"},
        **problems.responses(400, 403, 422, 503),
    },
)
def start_replay(
    body: ReplayIn, services: ServicesDep, principal: PrincipalDep, response: Response
) -> ReplayOut | ReplayPlanOut:
    """Deliver a range, a stream or a story once more. It runs in the background, also across restarts; follow `Location`.

    To a projection means building it anew from all of history. To a subscription is done with `effects` alone. A replayed
    event carries the replay's id.
    """
    tenant = principal.tenant
    if any(target.startswith("projection:") for target in body.targets) and not principal.allows(_EVERYBODYS):
        raise access.refused(_EVERYBODYS)
    stream_type, _, stream_id = (body.stream or "").partition("/")
    types = expanded(body.types)
    selection = Selection(
        tenant=tenant,
        after_position=body.after,
        up_to_position=body.up_to,
        types=None if types is None else tuple(sorted(types)),
        stream=StreamId(stream_type, stream_id) if body.stream else None,
        correlation_id=body.correlation_id,
    )
    request = ReplayRequest(
        selection=selection,
        targets=tuple(body.targets),
        rate=body.rate,
        effects=body.effects,
        id=body.id or new_event_id(),
    )
    if body.dry_run:
        response.status_code = HTTPStatus.OK
        return ReplayPlanOut.model_validate(services.replays.plan(request))
    status = services.replays.start(request)
    response.headers["Location"] = f"/api/v1/replays/{request.id}"
    return replay_out(status)


@router.get("", summary="List replays", responses=problems.responses(400, 422, 503))
def list_replays(services: ServicesDep, tenant: TenantDep, page: LongPageDep) -> ReplayPage:
    """The newest replays, newest first."""
    found = page.of_newest(
        lambda limit: services.replays.list(tenant=tenant, limit=limit),
        lambda status: (status.started_at, status.request.id),
    )
    return ReplayPage(replays=[replay_out(status) for status in found], next_cursor=page.next_cursor)


@router.get("/{replay_id}", summary="Show a replay", responses=problems.responses(404, 422, 503))
def show_replay(replay_id: UUID, services: ServicesDep, tenant: TenantDep) -> ReplayOut:
    """How far a replay is."""
    return replay_out(services.replays.get(replay_id, tenant=tenant))


@router.post("/{replay_id}/cancel", summary="Cancel a replay", responses=problems.responses(404, 422, 503))
def cancel_replay(replay_id: UUID, services: ServicesDep, tenant: TenantDep) -> ReplayOut:
    """End it after the batch at hand. One that has ended stays as it is."""
    return replay_out(services.replays.cancel(replay_id, tenant=tenant))


def replay_out(status: ReplayStatus) -> ReplayOut:
    """The answer that tells of a replay."""
    request = status.request
    start, way = request.selection.after_position, status.up_to - request.selection.after_position
    done = status.state == "completed" or way <= 0
    return ReplayOut(
        id=request.id,
        state=status.state,
        targets=list(request.targets),
        position=status.position,
        up_to=status.up_to,
        events=status.events,
        share=1.0 if done else min(1.0, (status.position - start) / way),
        error=status.error,
        started_at=status.started_at,
        updated_at=status.updated_at,
    )
