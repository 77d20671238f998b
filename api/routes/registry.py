"""Agents that run elsewhere: they register, tell that they live, and are found by what they can do."""

from __future__ import annotations

import random
from functools import partial
from http import HTTPStatus
from itertools import count
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response

from api import problems
from api.dependencies import NowDep, ServicesDep, TenantDep
from api.preconditions import IfMatch, tagged, unless_changed
from api.registry import AgentIn, AgentOut, AgentPage, BeatIn, BeatOut, Capability, DiscoveredOut
from resources.registry.balancing import Strategy, choose
from resources.registry.model import HEARTBEAT, Beat, Registration, able

router = APIRouter(prefix="/registry/agents", tags=["registry"])

AgentId = Annotated[UUID, Path(description="Id of the agent")]
_turns = count()


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    summary="Register an agent",
    responses={
        200: {"model": AgentOut, "description": "It was known; what it says now counts"},
        **problems.responses(413, 422, 503),
    },
)
def register_agent(
    body: AgentIn, services: ServicesDep, tenant: TenantDep, now: NowDep, response: Response
) -> AgentOut:
    """An agent that was registered under the same name keeps its id."""
    capabilities = tuple(sorted(set(body.capabilities)))
    registration = Registration(**{**body.model_dump(), "capabilities": capabilities})
    agent, created = services.agents.register(registration, tenant=tenant, now=now)
    if not created:
        response.status_code = HTTPStatus.OK
    return AgentOut.of(agent, now)


@router.get("", summary="List agents", responses=problems.responses(422, 503))
def list_agents(
    services: ServicesDep,
    tenant: TenantDep,
    now: NowDep,
    after: Annotated[str, Query(max_length=100, pattern=r"^[^\x00]*$", description="Only names behind it")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> AgentPage:
    """By name, however they are."""
    found = services.agents.list(tenant=tenant, after=after, limit=limit + 1)
    agents = [AgentOut.of(agent, now) for agent in found[:limit]]
    return AgentPage(
        agents=agents,
        total_count=len(agents),
        active_count=sum(agent.status in {"healthy", "degraded"} for agent in agents),
        next_after=agents[-1].name if len(found) > limit else None,
    )


@router.get("/discover", summary="Find agents by what they can do", responses=problems.responses(422, 503))
def discover_agents(
    services: ServicesDep,
    tenant: TenantDep,
    now: NowDep,
    capability: Annotated[list[Capability], Query(min_length=1, max_length=20, description="All of them")],
    strategy: Annotated[Strategy, Query(description="Who is chosen among the healthy")] = "round_robin",
) -> DiscoveredOut:
    """Those who can do all of it, and the one to ask."""
    found = able(services.agents.able(capability, tenant=tenant), capability, now=now)
    chosen = choose(found, strategy, now=now, turn=next(_turns), chance=random.random())  # noqa: S311 - no secret
    return DiscoveredOut(
        agents=[AgentOut.of(agent, now) for agent in found],
        total_count=len(found),
        chosen=None if chosen is None else AgentOut.of(chosen, now),
    )


@router.get("/{agent_id}", summary="Show an agent", responses=problems.responses(404, 422, 503))
def show_agent(
    agent_id: AgentId, services: ServicesDep, tenant: TenantDep, now: NowDep, response: Response
) -> AgentOut:
    """One agent, however it is. Its tag changes with whatever is told of it here: with each heartbeat."""
    return tagged(AgentOut.of(services.agents.get(agent_id, tenant=tenant), now), response)


@router.post(
    "/{agent_id}/heartbeat", summary="Tell that an agent lives", responses=problems.responses(404, 413, 422, 503)
)
def beat(
    agent_id: AgentId, services: ServicesDep, tenant: TenantDep, now: NowDep, body: BeatIn | None = None
) -> BeatOut:
    """Once a minute. After three that are missed the agent is lost; after a day it is to register anew."""
    told = Beat() if body is None else Beat(**body.model_dump())
    agent = services.agents.heartbeat(agent_id, told, tenant=tenant, now=now)
    return BeatOut(
        message="heartbeat recorded",
        last_seen=agent.last_seen,
        status=agent.status(now),
        next_within_seconds=HEARTBEAT.total_seconds(),
    )


@router.delete(
    "/{agent_id}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Remove an agent",
    responses=problems.responses(404, 412, 422, 503),
)
def remove_agent(
    agent_id: AgentId, services: ServicesDep, tenant: TenantDep, now: NowDep, if_match: IfMatch = None
) -> None:
    """It may register again."""
    unless = unless_changed(if_match, partial(AgentOut.of, now=now))
    services.agents.remove(agent_id, tenant=tenant, unless=unless)
