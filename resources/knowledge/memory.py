"""The graph store in memory: keeps every document's extraction and builds the graph from scratch when it is read.

Exact by construction, which makes it the measure of the other stores.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING

from resources.errors import NotFoundError
from resources.knowledge.changelog import MAX_CHANGES, Change, changes_of
from resources.knowledge.contribution import NOTHING, contribution_of, delta, roots_of, support_of
from resources.knowledge.model import Concept, ConceptView, Edge, EdgeType, GraphCounts, concept_id
from resources.knowledge.state import Changes, EdgeKey, GraphState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from resources.knowledge.contribution import Claim, Contribution
    from resources.knowledge.model import Extraction, Merge, Support
    from resources.knowledge.state import Scores


@dataclass(frozen=True, slots=True)
class _Graph:
    """A tenant's graph, built from all contributions at once."""

    concepts: dict[str, Concept]
    edges: dict[EdgeKey, float]
    mentions: dict[str, dict[str, float]]

    def documents_of(self, concept: str) -> list[str]:
        found = self.mentions.get(concept, {}).items()
        return [document for _, document in sorted((-weight, document) for document, weight in found)]


class MemoryGraphStore:
    """A GraphStore for one process, lost with it. Safe to share between threads."""

    def __init__(self) -> None:
        self._extractions: dict[str, dict[str, Extraction]] = {}
        self._merges: dict[str, dict[str, Merge]] = {}
        self._revisions: dict[str, int] = {}
        self._changes: dict[str, deque[Change]] = {}
        self._scores: dict[str, dict[str, Scores]] = {}
        self._built: dict[str, _Graph] = {}
        self._lock = RLock()

    def prepare(self) -> None:
        """Nothing to do."""

    def weave(self, extraction: Extraction, *, tenant: str) -> None:
        contribution_of(extraction)
        with self._lock:
            extractions = self._extractions.setdefault(tenant, {})
            former = extractions.get(extraction.document_id)
            if former != extraction:
                extractions[extraction.document_id] = extraction
                roots = self._roots(tenant)
                now = contribution_of(extraction, roots)
                self._changed([(contribution_of(former, roots) if former else NOTHING, now)], tenant=tenant)

    def retract(self, document_id: str, *, tenant: str) -> None:
        with self._lock:
            former = self._extractions.get(tenant, {}).pop(document_id, None)
            if former is not None:
                self._changed([(contribution_of(former, self._roots(tenant)), NOTHING)], tenant=tenant)

    def put_merge(self, merge: Merge, *, tenant: str) -> None:
        with self._lock:
            kept = self._merges.get(tenant, {})
            before, after = roots_of(kept.values()), roots_of((kept | {merge.id: merge}).values())
            self._merges[tenant] = kept | {merge.id: merge}
            said = self._extractions.get(tenant, {}).values()
            changes = [(contribution_of(one, before), contribution_of(one, after)) for one in said]
            self._changed([(one, other) for one, other in changes if one != other], tenant=tenant)

    def merges(self, *, tenant: str) -> Sequence[Merge]:
        with self._lock:
            return sorted(self._merges.get(tenant, {}).values(), key=lambda merge: (merge.at, merge.id), reverse=True)

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
            documents=tuple(graph.documents_of(concept_id)),
            part_of=tuple(sorted(e.target for e in edges if e.type is EdgeType.PART_OF and e.source == concept_id)),
            parts=tuple(sorted(e.source for e in edges if e.type is EdgeType.PART_OF and e.target == concept_id)),
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
        graph = self._graph(tenant)
        return {concept: graph.documents_of(concept) for concept in concept_ids}

    def support(
        self, source: str, target: str | None = None, type: EdgeType | None = None, *, tenant: str, limit: int = 100
    ) -> Sequence[Support]:
        with self._lock:
            extractions = sorted(self._extractions.get(tenant, {}).items())
            roots = self._roots(tenant)
        found = (support_of(extraction, source, target, type, roots=roots) for _, extraction in extractions)
        return [support for support in found if support is not None][:limit]

    def supports(self, concept_ids: Collection[str], *, tenant: str, limit: int = 100) -> dict[str, list[Support]]:
        return {concept: list(self.support(concept, tenant=tenant, limit=limit)) for concept in concept_ids}

    def revision(self, *, tenant: str) -> int:
        return self._revisions.get(tenant, 0)

    def state(self, *, tenant: str) -> GraphState:
        with self._lock:
            graph = self._graph(tenant)
            return GraphState(
                self.revision(tenant=tenant), graph.concepts, graph.edges, graph.mentions, self._roots(tenant)
            )

    def changes(self, *, since: int, tenant: str) -> Changes | None:
        with self._lock:
            kept = [change for change in self._changes.get(tenant, ()) if change.revision > since]
            return changes_of(kept, since=since, current=self.revision(tenant=tenant))

    def part(self, concepts: Collection[str], edges: Collection[EdgeKey], *, tenant: str) -> GraphState:
        with self._lock:
            graph = self._graph(tenant)
            return GraphState(
                self.revision(tenant=tenant),
                {key: graph.concepts[key] for key in concepts if key in graph.concepts},
                {key: graph.edges[key] for key in edges if key in graph.edges},
                {key: graph.mentions[key] for key in concepts if key in graph.mentions},
                self._roots(tenant),
            )

    def write_scores(self, scores: Mapping[str, Scores], *, tenant: str) -> None:
        with self._lock:
            known = self._graph(tenant).concepts
            self._scores.setdefault(tenant, {}).update({key: value for key, value in scores.items() if key in known})

    def scores(self, concept_ids: Collection[str], *, tenant: str) -> dict[str, Scores]:
        with self._lock:
            known = self._graph(tenant).concepts
            kept = self._scores.get(tenant, {})
            return {key: kept[key] for key in concept_ids if key in kept and key in known}

    def counts(self, *, tenant: str) -> GraphCounts:
        with self._lock:
            graph = self._graph(tenant)
            documents = len(self._extractions.get(tenant, {}))
        return GraphCounts(concepts=len(graph.concepts), edges=len(graph.edges), documents=documents)

    def ping(self) -> float:
        started = time.perf_counter()
        return time.perf_counter() - started

    def _graph(self, tenant: str) -> _Graph:
        with self._lock:
            if tenant not in self._built:
                extractions = self._extractions.get(tenant, {})
                self._built[tenant] = _build(
                    {key: contribution_of(said, self._roots(tenant)) for key, said in extractions.items()}
                )
            return self._built[tenant]

    def _roots(self, tenant: str) -> dict[str, str]:
        return roots_of(self._merges.get(tenant, {}).values())

    def _changed(self, changes: Sequence[tuple[Contribution, Contribution]], *, tenant: str) -> None:
        """Note what became what. The caller holds the lock."""
        revision = self._revisions[tenant] = self.revision(tenant=tenant) + 1
        log = self._changes.setdefault(tenant, deque(maxlen=MAX_CHANGES))
        log.append(Change.of(revision, [delta(former, new) for former, new in changes]))
        self._built.pop(tenant, None)
        known = self._graph(tenant).concepts
        self._scores[tenant] = {key: value for key, value in self._scores.get(tenant, {}).items() if key in known}


def _build(contributions: dict[str, Contribution]) -> _Graph:
    claims: dict[str, dict[str, Claim]] = {}
    edges: dict[EdgeKey, float] = {}
    for document, contribution in contributions.items():
        for concept, claim in contribution.supports.items():
            claims.setdefault(concept, {})[document] = claim
        for key, weight in contribution.edges.items():
            edges[key] = max(weight, edges.get(key, 0.0))
    concepts = {
        concept: min(by_document.items(), key=lambda item: item[1].rank(item[0]))[1].concept
        for concept, by_document in claims.items()
    }
    mentions = {
        concept: said
        for concept, by_document in claims.items()
        if (said := {key: claim.weight for key, claim in by_document.items() if claim.weight is not None})
    }
    return _Graph(concepts, edges, mentions)
