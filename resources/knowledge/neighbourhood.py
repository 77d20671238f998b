"""What is near a concept: what it requires, what is related to it, and what is like it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from resources.knowledge.model import Concept, EdgeType
from resources.knowledge.naming import resolve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resources.knowledge.model import ConceptView, Edge
    from resources.knowledge.store import GraphStore


class NearConcept(BaseModel):
    """A concept, and how near it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    concept: Concept
    distance: int | None = Field(
        default=None, description="Edges on the shortest way; null where that is not the measure"
    )
    similarity: float | None = Field(default=None, description="0 to 1; null where that is not the measure")


class Neighbourhood:
    """Answers questions about one concept, over the graph of a store. Names are names or ids of concepts.

    Every verb raises NotFoundError, with suggestions, for a name that no concept or more than one has.
    """

    def __init__(self, graph: GraphStore) -> None:
        self._graph = graph

    def concept(self, name: str, *, tenant: str) -> ConceptView:
        """The concept itself with what is directly around it."""
        return self._graph.concept(resolve(name, self._concepts(tenant)), tenant=tenant)

    def prerequisites(self, name: str, *, depth: int, tenant: str) -> list[NearConcept]:
        """What must be known before it, up to `depth` steps away: the nearest first, then in order of id."""
        concepts = self._concepts(tenant)
        ahead: dict[str, set[str]] = defaultdict(set)
        for edge in self._graph.edges(tenant=tenant, type=EdgeType.REQUIRES):
            ahead[edge.source].add(edge.target)
        return _nearest(resolve(name, concepts), ahead, concepts, depth)

    def related(self, name: str, *, depth: int, tenant: str) -> list[NearConcept]:
        """What hangs together with it, along edges of any type in any direction."""
        concepts = self._concepts(tenant)
        return _nearest(resolve(name, concepts), _around(self._graph.edges(tenant=tenant)), concepts, depth)

    def similar(self, name: str, *, limit: int, tenant: str) -> list[NearConcept]:
        """Concepts that share neighbours and documents with it, the most similar first.

        The measure is the Jaccard index of the two sets of neighbours and documents (Jaccard 1912); concepts without anything in
        common are left out.
        """
        concepts = self._concepts(tenant)
        start = resolve(name, concepts)
        around = _around(self._graph.edges(tenant=tenant))
        documents = self._graph.documents_of(concepts, tenant=tenant)
        company = {
            key: {("concept", other) for other in around.get(key, ())} | {("document", name) for name in documents[key]}
            for key in concepts
        }
        own = company[start]
        scored = [
            (len(own & theirs) / len(own | theirs), key)
            for key, theirs in company.items()
            if key != start and own & theirs
        ]
        best = sorted(scored, key=lambda found: (-found[0], found[1]))[:limit]
        return [NearConcept(concept=concepts[key], similarity=round(score, 4)) for score, key in best]

    def _concepts(self, tenant: str) -> dict[str, Concept]:
        return {concept.id: concept for concept in self._graph.concepts(tenant=tenant)}


def _around(edges: Sequence[Edge]) -> Mapping[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for edge in edges:
        found[edge.source].add(edge.target)
        found[edge.target].add(edge.source)
    return found


def _nearest(start: str, ahead: Mapping[str, set[str]], concepts: dict[str, Concept], depth: int) -> list[NearConcept]:
    distances, frontier = {start: 0}, [start]
    for distance in range(1, depth + 1):
        frontier = sorted({other for key in frontier for other in ahead.get(key, ()) if other not in distances})
        distances |= dict.fromkeys(frontier, distance)
    return [
        NearConcept(concept=concepts[key], distance=distance)
        for key, distance in distances.items()
        if key != start and key in concepts
    ]
