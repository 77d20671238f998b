"""Ask the tenant's graph of knowledge: a concept, what it requires, what is near it or like it, and the way to it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from assets.nodes.base import Text, node
from resources.errors import Problem
from resources.knowledge.learning_path import LearningPaths
from resources.knowledge.model import Concept, ConceptView, LearningPath
from resources.knowledge.neighbourhood import NearConcept, Neighbourhood
from resources.knowledge.projection import GraphProjections
from resources.workflows.node_type import NodeConfig, NodeContext
from resources.workflows.spec import NodeSpec

if TYPE_CHECKING:
    from resources.knowledge.store import GraphStore

Query = Literal["find", "concept", "prerequisites", "related", "similar", "path"]


class Config(NodeConfig):
    """The question. There is one for each thing that can be asked, and no query language: nothing can be changed."""

    query: Query = Field(
        description="find = by a part of the name, concept = one with what is around it, path = the way to learn it"
    )
    concept: Text = Field(min_length=1, max_length=500, description="Name or id of the concept; for find, a part of it")
    source: Text | None = Field(default=None, max_length=500, description="path: where the learner comes from")
    known: tuple[Text, ...] = Field(default=(), max_length=1000, description="path: concepts that are known already")
    depth: int = Field(default=3, ge=1, le=10, description="prerequisites, related: steps away at most")
    limit: int = Field(default=20, ge=1, le=1000, description="Concepts at most")


class Output(BaseModel):
    """The answer; what the question does not ask for is empty."""

    concepts: list[NearConcept] = Field(description="The concepts found, the nearest first")
    concept: ConceptView | None = Field(default=None, description="concept: it and its neighbours")
    path: LearningPath | None = Field(default=None, description="path: the steps, prerequisites first")


def _check(spec: NodeSpec) -> Sequence[Problem]:
    query = spec.config.get("query")
    if query not in {"find", "concept", "prerequisites", "related", "similar"}:
        return ()
    return [
        Problem(f"config.{name}", "is only for the query `path`", f"this one is {query!r}")
        for name in ("source", "known")
        if spec.config.get(name)
    ]


@node(
    "graph_query",
    output=Output,
    summary="Ask the graph of knowledge",
    resources={"graph"},
    compute_kind="graph",
    check=_check,
    examples=[{"id": "first", "type": "graph_query", "config": {"query": "find", "concept": "session"}}],
)
def graph_query(config: Config, context: NodeContext) -> Output:
    """Raises NotFoundError, with suggestions, for a concept that is not there, and UnavailableError."""
    graph: GraphStore = context.resource("graph")
    near, tenant = Neighbourhood(graph), context.tenant
    match config.query:
        case "find":
            return Output(concepts=_plain(graph.find(config.concept, tenant=tenant, limit=config.limit)))
        case "concept":
            view = near.concept(config.concept, tenant=tenant)
            return Output(concepts=_plain([view.concept]), concept=view)
        case "prerequisites":
            found = near.prerequisites(config.concept, depth=config.depth, tenant=tenant)
            return Output(concepts=found[: config.limit])
        case "related":
            found = near.related(config.concept, depth=config.depth, tenant=tenant)
            return Output(concepts=found[: config.limit])
        case "similar":
            return Output(concepts=near.similar(config.concept, limit=config.limit, tenant=tenant))
        case "path":
            paths = LearningPaths(GraphProjections(graph))
            path = paths.plan(config.concept, source=config.source, known=config.known, tenant=tenant)
            return Output(concepts=_plain([step.concept for step in path.steps]), path=path)


def _plain(concepts: Sequence[Concept]) -> list[NearConcept]:
    return [NearConcept(concept=concept) for concept in concepts]
