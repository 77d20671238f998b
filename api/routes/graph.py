"""The graph of knowledge: what is in it, who says so, and what follows from how it hangs together."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from api import problems
from api.auth.principal import PrincipalDep
from api.dependencies import ServicesDep, TenantDep
from api.paging import PageDep
from resources.knowledge.answers import (
    MAX_ALTERNATIVES,
    Algorithm,
    CommunitiesAnswer,
    ConceptPage,
    Measure,
    Neighbour,
    ScoredConcept,
    SpanningAnswer,
    StructureAnswer,
    Subgraph,
    WaysAnswer,
)
from resources.knowledge.model import Difficulty, EdgeType, Merge, StepResource, Support, concept_id
from resources.knowledge.resolution import Decision
from resources.knowledge.state import Scores

router = APIRouter(prefix="/graph", tags=["graph"])

Name = Annotated[str, Query(min_length=1, max_length=200, description="A concept, by name or id")]
NameInPath = Annotated[str, Path(min_length=1, max_length=200, description="A concept, by name or id")]
Limit = Annotated[int, Query(ge=1, le=1000)]
Categories = Annotated[list[str], Query(max_length=20, description="Of the concepts; any if none is given")]
Difficulties = Annotated[list[Difficulty], Query(max_length=4, description="Of the concepts; any if none is given")]
Quality = Annotated[float | None, Query(ge=0, le=1, description="Of the concepts, at least")]


class MergeIn(BaseModel):
    """Let one concept stand for another from now on."""

    model_config = ConfigDict(extra="forbid")

    alias: str = Field(min_length=1, max_length=200, description="The concept that goes, by name or id")
    into: str = Field(min_length=1, max_length=200, description="The concept that stays")
    reason: str = Field(default="decided by hand", min_length=1, max_length=500)


class ScanIn(BaseModel):
    """How to look for concepts that may be one."""

    model_config = ConfigDict(extra="forbid")

    meaning: bool = Field(default=True, description="Compare what names mean, too, not only how they are spelt")


class DecisionIn(BaseModel):
    """Accept or reject a proposal, or undo a merge."""

    model_config = ConfigDict(extra="forbid")

    decision: Decision


class SubgraphIn(BaseModel):
    """Where a part of the graph begins, and how far it reaches."""

    model_config = ConfigDict(extra="forbid")

    concepts: list[Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        min_length=1, max_length=100, description="By name or id"
    )
    depth: int = Field(default=1, ge=0, le=10, description="Edges away at most")
    types: list[EdgeType] = Field(default=[], max_length=3, description="Of edges; any if none is given")
    min_weight: float = Field(default=0.0, ge=0, le=1, description="Of edges")
    limit: int = Field(default=100, ge=1, le=1000, description="Concepts at most")


@router.get("", summary="Show how the graph hangs together", responses=problems.responses(422, 503))
def structure(services: ServicesDep, tenant: TenantDep) -> StructureAnswer:
    """Components, cycles of prerequisites with the edges to cut, and levels of prerequisites."""
    return services.graph_questions.structure(tenant=tenant)


@router.get("/concepts", summary="Find concepts", responses=problems.responses(422, 503))
def concepts(
    services: ServicesDep,
    tenant: TenantDep,
    q: Annotated[str, Query(max_length=200, description="A part of the name or the description")] = "",
    category: Categories = [],  # noqa: B006  FastAPI copies defaults
    difficulty: Difficulties = [],  # noqa: B006
    tag: Annotated[list[str], Query(max_length=20, description="All of them")] = [],  # noqa: B006
    min_quality: Quality = None,
    limit: Limit = 20,
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> ConceptPage:
    """Concepts that fit, the most central first."""
    return services.graph_questions.concepts(
        q,
        tenant=tenant,
        categories=category,
        difficulties=difficulty,
        tags=tag,
        min_quality=min_quality,
        limit=limit,
        offset=offset,
    )


@router.get("/ranking", summary="Rank concepts", responses=problems.responses(404, 422, 503))
def ranking(
    services: ServicesDep,
    tenant: TenantDep,
    seed: Annotated[list[str], Query(max_length=50, description="Rank by nearness to these concepts")] = [],  # noqa: B006
    limit: Limit = 20,
) -> list[ScoredConcept]:
    """Concepts by PageRank; with seeds by personalised PageRank."""
    seeds = dict.fromkeys(seed, 1.0) or None
    return services.graph_questions.ranking(tenant=tenant, seeds=seeds, limit=limit)


@router.get("/ways", summary="Find ways between two concepts", responses=problems.responses(404, 422, 503))
def ways(
    services: ServicesDep,
    tenant: TenantDep,
    source: Annotated[str, Query(alias="from", min_length=1, max_length=200, description="Where the ways begin")],
    target: Annotated[str, Query(alias="to", min_length=1, max_length=200, description="Where they end")],
    algorithm: Annotated[
        Algorithm, Query(description="bfs counts steps; the others add up what steps cost")
    ] = "dijkstra",
    count: Annotated[int, Query(ge=1, le=MAX_ALTERNATIVES, description="The best way, and alternatives to it")] = 1,
    max_cost: Annotated[float | None, Query(gt=0)] = None,
    category: Categories = [],  # noqa: B006
    difficulty: Difficulties = [],  # noqa: B006
    min_quality: Quality = None,
) -> WaysAnswer:
    """The best way along edges of any type, and alternatives. None is an empty list, not an error."""
    return services.graph_questions.ways(
        source,
        target,
        tenant=tenant,
        algorithm=algorithm,
        count=count,
        max_cost=max_cost,
        categories=category,
        difficulties=difficulty,
        min_quality=min_quality,
    )


@router.post("/subgraph", summary="Show a part of the graph", responses=problems.responses(404, 422, 503))
def subgraph(body: SubgraphIn, services: ServicesDep, tenant: TenantDep) -> Subgraph:
    """Concepts with what is near them, and the edges between all of these."""
    return services.graph_questions.subgraph(
        body.concepts, tenant=tenant, depth=body.depth, types=body.types, min_weight=body.min_weight, limit=body.limit
    )


@router.get("/communities", summary="Show communities", responses=problems.responses(422, 503))
def communities(services: ServicesDep, tenant: TenantDep, limit: Limit = 20) -> CommunitiesAnswer:
    """Groups of concepts with more edges among each other than chance would give them (Leiden)."""
    return services.graph_questions.communities(tenant=tenant, limit=limit)


@router.get("/support", summary="Show who supports an edge", responses=problems.responses(422, 503))
def support_of_edge(
    services: ServicesDep, tenant: TenantDep, source: Name, target: Name, type: EdgeType, limit: Limit = 100
) -> list[Support]:
    """The documents that support an edge, with passages, runs and calls of models."""
    ends = (concept_id(source), concept_id(target))
    return list(services.graph.support(*ends, type, tenant=tenant, limit=limit))


@router.get("/merges", summary="Show the log of merges", responses=problems.responses(400, 422, 503))
def merges(
    services: ServicesDep,
    tenant: TenantDep,
    page: PageDep,
    status: Literal["proposed", "merged", "rejected", "undone"] | None = None,
) -> list[Merge]:
    """Decisions and proposals that two concepts are one, the newest first."""
    found = services.graph.merges(tenant=tenant)
    wanted = [merge for merge in found if status is None or merge.status == status]
    return list(page.of(wanted, lambda merge: (merge.at, merge.id), newest=True))


@router.post(
    "/merges",
    status_code=HTTPStatus.CREATED,
    summary="Merge two concepts",
    responses=problems.responses(400, 409, 422, 503),
)
def merge(body: MergeIn, services: ServicesDep, tenant: TenantDep, principal: PrincipalDep) -> Merge:
    """Let one concept stand for another. Documents to come are read so, too, until the merge is undone."""
    return services.resolution.merge(
        body.alias, body.into, reason=body.reason, by=principal.subject, tenant=tenant, now=datetime.now(UTC)
    )


@router.post("/merges/scan", summary="Look for concepts that may be one", responses=problems.responses(409, 422, 503))
def scan(body: ScanIn, services: ServicesDep, tenant: TenantDep) -> list[Merge]:
    """Names of the same letters are merged, others proposed. Returns what is new in the log."""
    return services.resolution.scan(tenant=tenant, now=datetime.now(UTC), meaning=body.meaning)


@router.post(
    "/merges/{merge_id}/decision", summary="Decide about a merge", responses=problems.responses(404, 409, 422, 503)
)
def decide(
    merge_id: Annotated[str, Path(min_length=1, max_length=100)],
    body: DecisionIn,
    services: ServicesDep,
    tenant: TenantDep,
    principal: PrincipalDep,
) -> Merge:
    """Accept or reject a proposal, or undo a merge. What is undone is as if it had never been."""
    return services.resolution.decide(
        merge_id, body.decision, by=principal.subject, tenant=tenant, now=datetime.now(UTC)
    )


@router.get(
    "/concepts/{concept}/neighbours", summary="Show what is near a concept", responses=problems.responses(404, 422, 503)
)
def neighbours(
    concept: NameInPath,
    services: ServicesDep,
    tenant: TenantDep,
    depth: Annotated[int, Query(ge=1, le=10)] = 3,
    type: Annotated[list[EdgeType], Query(max_length=3, description="Of edges; any if none is given")] = [],  # noqa: B006
    min_weight: Annotated[float, Query(ge=0, le=1, description="Of edges")] = 0.0,
    limit: Limit = 20,
) -> list[Neighbour]:
    """The nearest first, then the strongest."""
    return services.graph_questions.neighbours(
        concept, tenant=tenant, depth=depth, types=type, min_weight=min_weight, limit=limit
    )


@router.get("/concepts/{concept}/similar", summary="Find similar concepts", responses=problems.responses(404, 422, 503))
def similar(
    concept: NameInPath,
    services: ServicesDep,
    tenant: TenantDep,
    by: Annotated[Measure, Query(description="Neighbours and documents, or category, tags and difficulty")] = "company",
    threshold: Annotated[float | None, Query(ge=0, le=1)] = None,
    limit: Limit = 20,
) -> list[ScoredConcept]:
    """The most similar first."""
    return services.graph_questions.similar(concept, tenant=tenant, by=by, threshold=threshold, limit=limit)


@router.get("/concepts/{concept}/spanning", summary="Span a topic", responses=problems.responses(404, 422, 503))
def spanning(
    concept: NameInPath, services: ServicesDep, tenant: TenantDep, limit: Annotated[int, Query(ge=1, le=100)] = 10
) -> SpanningAnswer:
    """The few concepts that together are next to as much of a topic as possible."""
    return services.graph_questions.spanning(concept, tenant=tenant, limit=limit)


@router.get(
    "/concepts/{concept}/support", summary="Show who supports a concept", responses=problems.responses(422, 503)
)
def support_of_concept(
    concept: NameInPath, services: ServicesDep, tenant: TenantDep, limit: Limit = 100
) -> list[Support]:
    """The documents that support a concept, with passages, runs and calls of models. Empty for one that is not there."""
    return list(services.graph.support(concept_id(concept), tenant=tenant, limit=limit))


@router.get("/concepts/{concept}/resources", summary="Show what to read", responses=problems.responses(404, 422, 503))
def resources(
    concept: NameInPath, services: ServicesDep, tenant: TenantDep, limit: Annotated[int, Query(ge=1, le=100)] = 10
) -> list[StepResource]:
    """The documents that teach a concept, the one most about it first, with the passages that name it."""
    view = services.graph.concept(concept_id(concept), tenant=tenant)
    wanted = {view.concept.id: view.documents[:limit]}
    return services.graph.resources(wanted, tenant=tenant)[view.concept.id]


@router.get("/concepts/{concept}/learners", summary="Count learners", responses=problems.responses(404, 422, 503))
def learners(concept: NameInPath, services: ServicesDep, tenant: TenantDep) -> dict[str, int]:
    """How many users have said what of a concept, by status."""
    view = services.graph.concept(concept_id(concept), tenant=tenant)
    return services.graph.learners(view.concept.id, tenant=tenant)


@router.get(
    "/concepts/{concept}/scores", summary="Show a concept's scores", responses=problems.responses(404, 422, 503)
)
def scores(concept: NameInPath, services: ServicesDep, tenant: TenantDep) -> Scores | None:
    """What was last computed about it by the asset `knowledge/ranking`; null before that."""
    view = services.graph.concept(concept_id(concept), tenant=tenant)
    return services.graph.scores([view.concept.id], tenant=tenant).get(view.concept.id)
