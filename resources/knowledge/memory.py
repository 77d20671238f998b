"""The graph store in memory: keeps every document's extraction and builds the graph from scratch when it is read.

Exact by construction, which makes it the measure of the other stores.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING

from resources.errors import NotFoundError
from resources.knowledge.contribution import EdgeKey, contribution_of
from resources.knowledge.model import Concept, ConceptView, Edge, EdgeType, GraphCounts, concept_id

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from resources.knowledge.contribution import Contribution, Support
    from resources.knowledge.model import Extraction


@dataclass(frozen=True, slots=True)
class _Graph:
    """A tenant's graph, built from all contributions at once."""

    concepts: dict[str, Concept]
    edges: dict[EdgeKey, float]
    documents: dict[str, list[str]]


class MemoryGraphStore:
    """A GraphStore for one process, lost with it. Safe to share between threads."""

    def __init__(self) -> None:
        self._contributions: dict[str, dict[str, Contribution]] = {}
        self._built: dict[str, _Graph] = {}
        self._lock = RLock()

    def prepare(self) -> None:
        """Nothing to do."""

    def weave(self, extraction: Extraction, *, tenant: str) -> None:
        contribution = contribution_of(extraction)
        with self._lock:
            self._contributions.setdefault(tenant, {})[extraction.document_id] = contribution
            self._built.pop(tenant, None)

    def retract(self, document_id: str, *, tenant: str) -> None:
        with self._lock:
            self._contributions.get(tenant, {}).pop(document_id, None)
            self._built.pop(tenant, None)

    def concept(self, concept_id: str, *, tenant: str) -> ConceptView:
        graph = self._graph(tenant)
        if concept_id not in graph.concepts:
            raise NotFoundError(f"There is no concept {concept_id!r}.", code="concept_not_found")
        edges = self.edges(tenant=tenant)
        requires = [edge for edge in edges if edge.type is EdgeType.REQUIRES]
        related = [edge for edge in edges if edge.type is EdgeType.RELATED_TO]
        return ConceptView(
            concept=graph.concepts[concept_id],
            requires=tuple(sorted(edge.target for edge in requires if edge.source == concept_id)),
            required_by=tuple(sorted(edge.source for edge in requires if edge.target == concept_id)),
            related=tuple(
                sorted(
                    {edge.target for edge in related if edge.source == concept_id}
                    | {edge.source for edge in related if edge.target == concept_id}
                )
            ),
            documents=tuple(graph.documents[concept_id]),
        )

    def find(self, text: str, *, tenant: str, limit: int = 10) -> Sequence[Concept]:
        folded, plain = text.casefold(), concept_id(text)
        found = [
            concept
            for concept in self._graph(tenant).concepts.values()
            if folded in concept.name.casefold() or concept.id == plain
        ]
        found.sort(key=lambda c: (c.name.casefold() != folded and c.id != plain, len(c.name), c.id))
        return found[:limit]

    def concepts(self, *, tenant: str) -> Sequence[Concept]:
        return [concept for _, concept in sorted(self._graph(tenant).concepts.items())]

    def edges(self, *, tenant: str, type: EdgeType | None = None) -> Sequence[Edge]:
        return [
            Edge(source=source, target=target, type=kind, weight=weight)
            for (source, target, kind), weight in sorted(self._graph(tenant).edges.items())
            if type is None or kind is type
        ]

    def documents_of(self, concept_ids: Collection[str], *, tenant: str) -> dict[str, list[str]]:
        documents = self._graph(tenant).documents
        return {concept: list(documents.get(concept, ())) for concept in concept_ids}

    def counts(self, *, tenant: str) -> GraphCounts:
        with self._lock:
            graph = self._graph(tenant)
            documents = len(self._contributions.get(tenant, {}))
        return GraphCounts(concepts=len(graph.concepts), edges=len(graph.edges), documents=documents)

    def ping(self) -> float:
        started = time.perf_counter()
        return time.perf_counter() - started

    def _graph(self, tenant: str) -> _Graph:
        with self._lock:
            if tenant not in self._built:
                self._built[tenant] = _build(self._contributions.get(tenant, {}))
            return self._built[tenant]


def _build(contributions: dict[str, Contribution]) -> _Graph:
    supports: dict[str, dict[str, Support]] = {}
    edges: dict[EdgeKey, float] = {}
    for document, contribution in contributions.items():
        for concept, support in contribution.supports.items():
            supports.setdefault(concept, {})[document] = support
        for key, weight in contribution.edges.items():
            edges[key] = max(weight, edges.get(key, 0.0))
    concepts = {
        concept: min(by_document.items(), key=lambda item: item[1].rank(item[0]))[1].concept
        for concept, by_document in supports.items()
    }
    documents = {
        concept: [
            document
            for _, document in sorted(
                (-support.weight, document) for document, support in by_document.items() if support.weight is not None
            )
        ]
        for concept, by_document in supports.items()
    }
    return _Graph(concepts, edges, documents)
