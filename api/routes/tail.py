"""Events as they happen."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from api import problems
from api.dependencies import ServicesDep, TenantDep
from api.routes.events import StreamType, Tags, Types, expanded, tags_of
from api.tail import Tails
from resources.errors import InvalidInputError, Problem

router = APIRouter(prefix="/events", tags=["events"])


@router.get(
    "/tail",
    summary="Follow events as they happen",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events: `id` is the position, `data` an event as JSON",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **problems.responses(422, 429, 503),
    },
)
async def follow_events(
    request: Request,
    services: ServicesDep,
    tenant: TenantDep,
    after: Annotated[int | None, Query(ge=0, description="Begin after this position; unset = with what comes")] = None,
    types: Types = None,
    stream_type: StreamType = None,
    tag: Tags = None,
    last_event_id: Annotated[str | None, Header(description="Begin after this position; wins over `after`")] = None,
) -> StreamingResponse:
    """An endless answer, for `EventSource` and its like.

    Nothing is lost or repeated when a reader comes back with `Last-Event-ID`, as browsers do by themselves.
    """
    tails: Tails = request.app.state.tails
    tails.check()
    chosen, tags, position = expanded(types), tags_of(tag), _position(last_event_id)
    start = after if position is None else position
    if start is None:
        start = await run_in_threadpool(services.events.head, tenant=tenant)
    return StreamingResponse(
        tails.follow(
            services.events,
            after=start,
            tenant=tenant,
            types=chosen,
            stream_type=stream_type,
            tags=tags,
        ),
        media_type="text/event-stream",
        headers={"X-Accel-Buffering": "no"},
    )


def _position(last_event_id: str | None) -> int | None:
    if not last_event_id:
        return None
    if not (last_event_id.isascii() and last_event_id.isdecimal() and len(last_event_id) < 19):  # noqa: PLR2004  # bigint
        problem = Problem("header.last-event-id", f"{last_event_id!r} is not a position")
        raise InvalidInputError(f"Cannot go on there: {problem}.", code="query_invalid", problems=(problem,))
    return int(last_event_id)
