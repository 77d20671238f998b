"""The graph of knowledge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pydantic import TypeAdapter

from api.client.answers import V1, model_of
from api.client.base import HttpClient
from resources.knowledge.answers import (
    CommunitiesAnswer,
    ConceptPage,
    Neighbour,
    ScoredConcept,
    SpanningAnswer,
    StructureAnswer,
    WaysAnswer,
)
from resources.knowledge.model import Merge, StepResource, Support
from resources.knowledge.state import Scores

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resources.knowledge.answers import Algorithm, Measure
    from resources.knowledge.model import Difficulty, EdgeType
    from resources.knowledge.resolution import Decision

_SCORED = TypeAdapter(list[ScoredConcept])
_NEIGHBOURS = TypeAdapter(list[Neighbour])
_SUPPORT = TypeAdapter(list[Support])
_MERGES = TypeAdapter(list[Merge])
_RESOURCES = TypeAdapter(list[StepResource])
_LEARNERS = TypeAdapter(dict[str, int])
_SCORES = TypeAdapter(Scores | None)


class GraphClient(HttpClient):
    """The graph of knowledge. Concepts are named by name or id."""

    def graph(self) -> StructureAnswer:
        return self._get(f"{V1}/graph", StructureAnswer)

    def graph_concepts(
        self,
        text: str = "",
        *,
        category: Iterable[str] = (),
        difficulty: Iterable[Difficulty] = (),
        tags: Iterable[str] = (),
        min_quality: float | None = None,
        limit: int = 20,
        offset: int = 0,
    ) -> ConceptPage:
        wanted = {"category": list(category), "difficulty": list(difficulty), "tag": list(tags)}
        page = {"min_quality": min_quality, "limit": limit, "offset": offset}
        return self._get(f"{V1}/graph/concepts", ConceptPage, q=text, **wanted, **page)

    def graph_ranking(self, *, seeds: Iterable[str] = (), limit: int = 20) -> list[ScoredConcept]:
        return _SCORED.validate_python(self._plain("GET", f"{V1}/graph/ranking", seed=list(seeds), limit=limit))

    def graph_ways(
        self,
        source: str,
        target: str,
        *,
        algorithm: Algorithm = "dijkstra",
        count: int = 1,
        max_cost: float | None = None,
        category: Iterable[str] = (),
        difficulty: Iterable[Difficulty] = (),
        min_quality: float | None = None,
    ) -> WaysAnswer:
        ends: dict[str, Any] = {"from": source, "to": target, "algorithm": algorithm, "count": count}
        wanted = {"category": list(category), "difficulty": list(difficulty), "min_quality": min_quality}
        return self._get(f"{V1}/graph/ways", WaysAnswer, max_cost=max_cost, **ends, **wanted)

    def graph_communities(self, *, limit: int = 20) -> CommunitiesAnswer:
        return self._get(f"{V1}/graph/communities", CommunitiesAnswer, limit=limit)

    def graph_neighbours(
        self,
        concept: str,
        *,
        depth: int = 3,
        types: Iterable[EdgeType] = (),
        min_weight: float = 0.0,
        limit: int = 20,
    ) -> list[Neighbour]:
        asked = {"depth": depth, "type": [str(kind) for kind in types], "min_weight": min_weight, "limit": limit}
        return _NEIGHBOURS.validate_python(
            self._plain("GET", f"{V1}/graph/concepts/{quote(concept, safe='')}/neighbours", **asked)
        )

    def graph_similar(
        self, concept: str, *, by: Measure = "company", threshold: float | None = None, limit: int = 20
    ) -> list[ScoredConcept]:
        asked = {"by": by, "threshold": threshold, "limit": limit}
        return _SCORED.validate_python(
            self._plain("GET", f"{V1}/graph/concepts/{quote(concept, safe='')}/similar", **asked)
        )

    def graph_spanning(self, concept: str, *, limit: int = 10) -> SpanningAnswer:
        return self._get(f"{V1}/graph/concepts/{quote(concept, safe='')}/spanning", SpanningAnswer, limit=limit)

    def graph_resources(self, concept: str, *, limit: int = 10) -> list[StepResource]:
        """The documents that teach a concept, the one most about it first."""
        found = self._plain("GET", f"{V1}/graph/concepts/{quote(concept, safe='')}/resources", limit=limit)
        return _RESOURCES.validate_python(found)

    def graph_learners(self, concept: str) -> dict[str, int]:
        """How many users have said what of a concept, by status."""
        found = self._plain("GET", f"{V1}/graph/concepts/{quote(concept, safe='')}/learners")
        return _LEARNERS.validate_python(found)

    def graph_scores(self, concept: str) -> Scores | None:
        return _SCORES.validate_python(self._plain("GET", f"{V1}/graph/concepts/{quote(concept, safe='')}/scores"))

    def graph_support(
        self, concept: str, *, target: str | None = None, type: EdgeType | None = None, limit: int = 100
    ) -> list[Support]:
        """Who supports a concept, or with `target` and `type` the edge to that."""
        if target is None or type is None:
            return _SUPPORT.validate_python(
                self._plain("GET", f"{V1}/graph/concepts/{quote(concept, safe='')}/support", limit=limit)
            )
        asked = {"source": concept, "target": target, "type": str(type), "limit": limit}
        return _SUPPORT.validate_python(self._plain("GET", f"{V1}/graph/support", **asked))

    def graph_merges(self, *, status: str | None = None) -> list[Merge]:
        return _MERGES.validate_python(self._plain("GET", f"{V1}/graph/merges", status=status))

    def merge_concepts(self, alias: str, into: str, *, reason: str = "decided by hand") -> Merge:
        body = {"alias": alias, "into": into, "reason": reason}
        return model_of(Merge, self._send("POST", f"{V1}/graph/merges", json=body))

    def scan_merges(self, *, meaning: bool = True) -> list[Merge]:
        return _MERGES.validate_json(self._send("POST", f"{V1}/graph/merges/scan", json={"meaning": meaning}).content)

    def decide_merge(self, merge_id: str, decision: Decision) -> Merge:
        path = f"{V1}/graph/merges/{quote(merge_id, safe='')}/decision"
        return model_of(Merge, self._send("POST", path, json={"decision": decision}))
