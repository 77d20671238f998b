"""Streams, one by one: their events, and what they add up to."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import AwareDatetime

from api import problems
from api.dependencies import ServicesDep, TenantDep
from api.schemas import AggregateOut, EventOut, StreamPage
from resources.errors import NotFoundError
from resources.events.aggregate import Aggregate
from resources.events.model import StreamId
from resources.events.workflow import WorkflowAggregate

router = APIRouter(tags=["events"])

AGGREGATES: dict[str, type[Aggregate[Any]]] = {WorkflowAggregate.stream_type: WorkflowAggregate}

Type = Annotated[str, Path(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$")]
Id = Annotated[str, Path(pattern=r"^[^\s/\x00][^\s\x00]{0,254}$")]
AtVersion = Annotated[int | None, Query(ge=1, lt=2**31, description="As it was at this version")]
AtPosition = Annotated[int | None, Query(ge=1, lt=2**63, description="As it was at this global position")]
AtTime = Annotated[AwareDatetime | None, Query(description="As it was at this time, by the time of recording")]


@router.get("/streams/{type}/{id:path}", summary="Read a stream", responses=problems.responses(404, 422, 503))
def read_stream(
    type: Type,
    id: Id,
    services: ServicesDep,
    tenant: TenantDep,
    after_version: Annotated[int, Query(ge=0, lt=2**31, description="Only versions above this one")] = 0,
    up_to_version: AtVersion = None,
    up_to_position: AtPosition = None,
    up_to_time: AtTime = None,
    backwards: Annotated[bool, Query(description="Newest first")] = False,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> StreamPage:
    """The stream's events, oldest or newest first, as they are or as they were."""
    stream, events = StreamId(type, id), services.events
    newest = events.read_stream(stream, backwards=True, limit=1, tenant=tenant)
    if not newest:
        raise NotFoundError(f"There is no stream {str(stream)!r}.", code="stream_not_found")
    found = events.read_stream(
        stream,
        after_version=after_version,
        up_to_version=up_to_version,
        up_to_position=up_to_position,
        up_to_time=up_to_time,
        backwards=backwards,
        limit=limit + 1,
        tenant=tenant,
    )
    page = found[:limit]
    more = len(found) > limit
    following = page[-1].version - 1 if backwards and more else page[-1].version if more else None
    return StreamPage(
        stream=str(stream), version=newest[0].version, events=[EventOut.of(event) for event in page], next=following
    )


@router.get(
    "/aggregates/{type}/{id:path}", summary="Show an aggregate's state", responses=problems.responses(404, 422, 503)
)
def show_aggregate(
    type: Type,
    id: Id,
    services: ServicesDep,
    tenant: TenantDep,
    at_version: AtVersion = None,
    at_position: AtPosition = None,
    at_time: AtTime = None,
) -> AggregateOut:
    """What the stream's events add up to, now or as it was at a version, a position or a time."""
    kind = AGGREGATES.get(type)
    if kind is None:
        known = ", ".join(sorted(AGGREGATES))
        raise NotFoundError(f"There are no aggregates of type {type!r}, only of: {known}.", code="aggregate_unknown")
    found = services.aggregates.load(
        kind, id, up_to_version=at_version, up_to_position=at_position, up_to_time=at_time, tenant=tenant
    )
    if found is None:
        raise NotFoundError(f"There is (or was then) no {type} {id!r}.", code="aggregate_not_found")
    return AggregateOut(stream=str(found.stream), version=found.version, state=found.state.model_dump(mode="json"))
