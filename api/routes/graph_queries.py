"""The graph as the platform's first API asked for it: the same verbs under other names, in its form of a reply.

A reply is `{success, data, error, execution_time_ms}`. One that failed is a problem like every other, with its status, and with
these members besides.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar, assert_never

from fastapi import APIRouter, Body, Path, Query
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from api import problems
from api.auth import access
from api.auth.principal import PrincipalDep
from api.dependencies import Services, ServicesDep, TenantDep
from resources.errors import PlatformError
from resources.knowledge.answers import MAX_ALTERNATIVES, Algorithm, Neighbour, ScoredConcept
from resources.knowledge.curation import ConceptName, Curation, Statement
from resources.knowledge.model import Concept, ConceptView, Difficulty, EdgeType, concept_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.tenants.model import Principal

router = APIRouter(tags=["graph"])

T = TypeVar("T")
WRITE = "write:documents"
_SIMILAR = 0.3
_ORDERS: dict[str, Any] = {"qualityScore": "quality", "estimatedTime": "minutes"}
_KINDS = {
    "prerequisites": EdgeType.REQUIRES,
    "prerequisite": EdgeType.REQUIRES,
    "enabledBy": EdgeType.REQUIRES,
    "relatedTo": EdgeType.RELATED_TO,
    "related": EdgeType.RELATED_TO,
    "subtopics": EdgeType.PART_OF,
    "subtopic": EdgeType.PART_OF,
    "parentTopic": EdgeType.PART_OF,
}

Named = Annotated[ConceptName, Field(validation_alias=AliasChoices("concept_id", "id", "concept"))]
Kind = Annotated[EdgeType, BeforeValidator(lambda given: _KINDS.get(given, given) if isinstance(given, str) else given)]
SortBy = Literal["relevance", "name", "quality", "minutes", "qualityScore", "estimatedTime"]


class _In(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class PathLimits(_In):
    """Over which concepts a path may lead."""

    difficulty: list[Difficulty] = Field(default=[], max_length=4)
    min_quality: float | None = Field(default=None, ge=0, le=1)
    categories: list[ConceptName] = Field(default=[], max_length=50)


class PathQuery(_In):
    """`POST /path`. Concepts are named by name or id."""

    from_concept: ConceptName
    to_concept: ConceptName
    algorithm: Algorithm = "dijkstra"
    max_cost: float | None = Field(default=None, gt=0)
    constraints: PathLimits = PathLimits()
    alternatives: int = Field(default=2, ge=0, le=MAX_ALTERNATIVES - 1, description="Other paths to tell")


class NearQuery(_In):
    """`POST /relationships`."""

    concept_id: Named
    max_depth: int = Field(default=3, ge=1, le=10)
    relationship_types: list[Kind] = Field(default=[], max_length=20, description="Any if none is given")
    min_strength: float = Field(default=0.3, ge=0, le=1)
    limit: int = Field(default=10, ge=1, le=1000)


class SimilarQuery(_In):
    """What is like a concept by category (.4), subcategory (.2), tags (.3) and difficulty (.1)."""

    concept_id: Named
    threshold: float = Field(default=_SIMILAR, ge=0, le=1)
    limit: int = Field(default=10, ge=1, le=1000)


class SearchQuery(_In):
    """What to look for among concepts."""

    q: str = Field(default="", max_length=200, validation_alias=AliasChoices("q", "query", "search_term"))
    category: list[ConceptName] = Field(default=[], max_length=20)
    difficulty: list[Difficulty] = Field(default=[], max_length=4)
    min_quality: float | None = Field(default=None, ge=0, le=1)
    limit: int = Field(default=20, ge=1, le=1000)
    offset: int = Field(default=0, ge=0, le=1_000_000)
    sort_by: SortBy = "relevance"
    sort_order: Literal["asc", "desc"] | None = None


class OneQuery(_In):
    """One concept."""

    concept_id: Named


class ChangeQuery(Statement):
    """A concept, and what is to be stated of it in place of what was."""

    concept_id: Named


class ShortestPath(_In):
    """As `POST /path`."""

    query_type: Literal["shortest_path"]
    parameters: PathQuery


class FindSimilar(_In):
    """As `GET /similarity/{concept}`."""

    query_type: Literal["find_similar"]
    parameters: SimilarQuery


class GetPrerequisites(_In):
    """All that a concept requires, in an order in which it can be learned."""

    query_type: Literal["get_prerequisites"]
    parameters: OneQuery


class SearchConcepts(_In):
    """As `GET /concepts`."""

    query_type: Literal["search_concepts"]
    parameters: SearchQuery = SearchQuery()


class GetConcept(_In):
    """As `GET /concepts/{concept}`."""

    query_type: Literal["get_concept"]
    parameters: OneQuery


class CreateConcept(_In):
    """As `POST /concepts`."""

    query_type: Literal["create_concept"]
    parameters: Statement


class UpdateConcept(_In):
    """As `PUT /concepts/{concept}`."""

    query_type: Literal["update_concept"]
    parameters: ChangeQuery


class DeleteConcept(_In):
    """As `DELETE /concepts/{concept}`."""

    query_type: Literal["delete_concept"]
    parameters: OneQuery


GraphQuery = (
    ShortestPath
    | FindSimilar
    | GetPrerequisites
    | SearchConcepts
    | GetConcept
    | CreateConcept
    | UpdateConcept
    | DeleteConcept
)


class PathMetadata(BaseModel):
    """What is to be known of a path."""

    alternative_paths: list[list[str]]
    bottlenecks: list[str] = Field(description="Concepts on it that are for experts, or of a quality below 0.5")
    difficulty_progression: list[Difficulty | None]
    estimated_time: int | None = Field(description="Minutes to learn them all; null where nothing is known of it")


class PathReply(BaseModel):
    """The path, or an empty one and no cost when there is none."""

    path: list[Concept]
    total_cost: float | None
    algorithm_used: Algorithm
    metadata: PathMetadata


class RelationshipsReply(BaseModel):
    """What is near a concept, the nearest first."""

    concept_id: str
    relationships: list[Neighbour]


class Pagination(BaseModel):
    """Where a page stands in all that was found."""

    total_count: int
    limit: int
    offset: int
    has_next: bool
    has_prev: bool


class SearchReply(BaseModel):
    """One page of concepts."""

    concepts: list[Concept]
    pagination: Pagination


class DeletedReply(BaseModel):
    """The concept (an id) of which nothing is stated any more."""

    deleted: str


class Reply(BaseModel, Generic[T]):
    """An answer in the form of the first API."""

    success: Literal[True] = True
    data: T
    error: None = None
    execution_time_ms: float


Answered = (
    PathReply
    | SearchReply
    | RelationshipsReply
    | ConceptView
    | Curation
    | DeletedReply
    | list[ScoredConcept]
    | list[Concept]
)

_ERRORS = problems.responses(404, 422, 503)


@router.get("/concepts", summary="Search concepts", responses=problems.responses(422, 503))
def search_concepts(
    asked: Annotated[SearchQuery, Query()], services: ServicesDep, tenant: TenantDep
) -> Reply[SearchReply]:
    """Concepts whose name or description contains `q`, with how many there are. Passages are found by `GET /search`."""
    return _replied(lambda: _search(asked, services, tenant))


@router.post("/path", summary="Find a path between two concepts", responses=_ERRORS)
def find_path(asked: PathQuery, services: ServicesDep, tenant: TenantDep) -> Reply[PathReply]:
    """The best way along edges of any type, as `GET /graph/ways`."""
    return _replied(lambda: _path(asked, services, tenant))


@router.post("/relationships", summary="Show what a concept has to do with others", responses=_ERRORS)
def relationships(asked: NearQuery, services: ServicesDep, tenant: TenantDep) -> Reply[RelationshipsReply]:
    """As `GET /graph/concepts/{concept}/neighbours`."""

    def near() -> RelationshipsReply:
        found = services.graph_questions.neighbours(
            asked.concept_id,
            tenant=tenant,
            depth=asked.max_depth,
            types=asked.relationship_types,
            min_weight=asked.min_strength,
            limit=asked.limit,
        )
        return RelationshipsReply(concept_id=concept_id(asked.concept_id), relationships=found)

    return _replied(near)


@router.get("/similarity/{concept}", summary="Find concepts alike", responses=_ERRORS)
def similarity(
    concept: Annotated[str, Path(min_length=1, max_length=200, description="A concept, by name or id")],
    services: ServicesDep,
    tenant: TenantDep,
    threshold: Annotated[float, Query(ge=0, le=1)] = _SIMILAR,
    limit: Annotated[int, Query(ge=1, le=1000)] = 10,
) -> Reply[list[ScoredConcept]]:
    """By category, subcategory, tags and difficulty, as `GET /graph/concepts/{concept}/similar?by=attributes`."""
    asked = SimilarQuery(concept_id=concept, threshold=threshold, limit=limit)
    return _replied(lambda: _similar(asked, services, tenant))


@router.post("/query", summary="Ask the graph anything", responses=problems.responses(403, 404, 409, 422, 503))
def query(
    asked: Annotated[GraphQuery, Body(discriminator="query_type")], services: ServicesDep, principal: PrincipalDep
) -> Reply[Answered]:
    """One address for what others do: `query_type` says which, `parameters` is what that one takes."""
    return _replied(lambda: _answer(asked, services, principal))


def _answer(asked: GraphQuery, services: Services, principal: Principal) -> Answered:
    tenant, by = principal.tenant, principal.subject
    if isinstance(asked, CreateConcept | UpdateConcept | DeleteConcept) and not principal.allows(WRITE):
        raise access.refused(WRITE)
    match asked:
        case ShortestPath():
            return _path(asked.parameters, services, tenant)
        case FindSimilar():
            return _similar(asked.parameters, services, tenant)
        case GetPrerequisites():
            return services.graph_questions.prerequisites(asked.parameters.concept_id, tenant=tenant)
        case SearchConcepts():
            return _search(asked.parameters, services, tenant)
        case GetConcept():
            return services.graph.concept(concept_id(asked.parameters.concept_id), tenant=tenant)
        case CreateConcept():
            return services.curations.add(asked.parameters, tenant=tenant, by=by)
        case UpdateConcept():
            stated = Statement.model_validate(asked.parameters.model_dump(exclude={"concept_id"}))
            return services.curations.change(asked.parameters.concept_id, stated, tenant=tenant, by=by)
        case DeleteConcept():
            services.curations.remove(asked.parameters.concept_id, tenant=tenant, by=by)
            return DeletedReply(deleted=concept_id(asked.parameters.concept_id))
        case _:
            assert_never(asked)


def _path(asked: PathQuery, services: Services, tenant: str) -> PathReply:
    found = services.graph_questions.ways(
        asked.from_concept,
        asked.to_concept,
        tenant=tenant,
        algorithm=asked.algorithm,
        count=1 + asked.alternatives,
        max_cost=asked.max_cost,
        categories=asked.constraints.categories,
        difficulties=asked.constraints.difficulty,
        min_quality=asked.constraints.min_quality,
    ).ways
    best = found[0] if found else None
    path = [] if best is None else list(best.concepts)
    return PathReply(
        path=path,
        total_cost=None if best is None else best.cost,
        algorithm_used=asked.algorithm,
        metadata=PathMetadata(
            alternative_paths=[[one.id for one in way.concepts] for way in found[1:]],
            bottlenecks=[] if best is None else list(best.bottlenecks),
            difficulty_progression=[one.difficulty for one in path],
            estimated_time=None if best is None else best.minutes,
        ),
    )


def _similar(asked: SimilarQuery, services: Services, tenant: str) -> list[ScoredConcept]:
    return services.graph_questions.similar(
        asked.concept_id, tenant=tenant, by="attributes", threshold=asked.threshold, limit=asked.limit
    )


def _search(asked: SearchQuery, services: Services, tenant: str) -> SearchReply:
    order: Any = "rank" if asked.sort_by == "relevance" else _ORDERS.get(asked.sort_by, asked.sort_by)
    page = services.graph_questions.concepts(
        asked.q,
        tenant=tenant,
        categories=asked.category,
        difficulties=asked.difficulty,
        min_quality=asked.min_quality,
        order_by=order,
        descending=None if asked.sort_order is None else asked.sort_order == "desc",
        limit=asked.limit,
        offset=asked.offset,
    )
    return SearchReply(
        concepts=list(page.concepts),
        pagination=Pagination(
            total_count=page.total,
            limit=page.limit,
            offset=page.offset,
            has_next=page.offset + len(page.concepts) < page.total,
            has_prev=page.offset > 0,
        ),
    )


def _replied(answer: Callable[[], T]) -> Reply[T]:
    started = time.perf_counter()

    def spent() -> float:
        return round((time.perf_counter() - started) * 1000, 3)

    try:
        return Reply(data=answer(), execution_time_ms=spent())
    except PlatformError as error:
        error.details |= {"success": False, "data": None, "error": error.message, "execution_time_ms": spent()}
        raise
