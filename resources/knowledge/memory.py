"""The graph store in memory: keeps every document's extraction and builds the graph from scratch when it is read.

Exact by construction, which makes it the measure of the other stores.
"""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING

from resources.errors import NotFoundError
from resources.knowledge.changelog import MAX_CHANGES, Change, changes_of
from resources.knowledge.contribution import NOTHING, contribution_of, delta, roots_of, support_of
from resources.knowledge.model import (
    CURATION,
    Concept,
    ConceptView,
    Edge,
    EdgeType,
    GraphCounts,
    StepResource,
    concept_id,
)
from resources.knowledge.state import Changes, ChunkNames, EdgeKey, GraphState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from resources.knowledge.contribution import Claim, Contribution
    from resources.knowledge.model import Extraction, Merge, SavedPath, Support
    from resources.knowledge.state import LearnerProgress, Scores

_WORDS = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class _Graph:
    """A tenant's graph, built from all contributions at once."""

    concepts: dict[str, Concept]
    edges: dict[EdgeKey, float]
    mentions: dict[str, dict[str, float]]
    contributions: dict[str, Contribution]

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
        self._cuts: dict[str, list[Edge]] = {}
        self._paths: dict[str, dict[str, SavedPath]] = {}
        self._progress: dict[str, dict[tuple[str, str], LearnerProgress]] = {}
        self._vectors: dict[str, dict[str, tuple[str, NDArray[np.float32]]]] = {}
        self._lock = RLock()

    def prepare(self) -> None:
        """Nothing to do."""

    def weave(self, extraction: Extraction, *, tenant: str) -> bool:
        return self.revise(extraction.document_id, lambda _: extraction, tenant=tenant)

    def retract(self, document_id: str, *, tenant: str) -> bool:
        return self.revise(document_id, lambda _: None, tenant=tenant)

    def revise(self, document_id: str, make: Callable[[Extraction | None], Extraction | None], *, tenant: str) -> bool:
        with self._lock:
            extractions = self._extractions.setdefault(tenant, {})
            former = extractions.get(document_id)
            new = make(former)
            if (former is None and new is None) or (former and new and former.says_the_same(new)):
                return False
            roots = self._roots(tenant)
            now = contribution_of(new, roots) if new else NOTHING
            if new is not None:
                extractions[document_id] = new
            else:
                del extractions[document_id]
            self._changed([(contribution_of(former, roots) if former else NOTHING, now)], tenant=tenant)
            return True

    def said(self, document_id: str, *, tenant: str) -> Extraction | None:
        return self._extractions.get(tenant, {}).get(document_id)

    def curations(self, *, tenant: str) -> Sequence[Extraction]:
        with self._lock:
            said = sorted(self._extractions.get(tenant, {}).items())
        return [one for document, one in said if document.startswith(CURATION)]

    def forget(self, tenant: str) -> None:
        with self._lock:
            for kept in (self._extractions, self._merges, self._revisions, self._changes, self._scores, self._built):
                kept.pop(tenant, None)
            for learnt in (self._cuts, self._paths, self._progress, self._vectors):
                learnt.pop(tenant, None)

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
            said = [*self._extractions.get(tenant, {})]
            curations = sum(document.startswith(CURATION) for document in said)
        return GraphCounts(
            concepts=len(graph.concepts),
            edges=len(graph.edges),
            documents=len(said) - curations,
            chunks=sum(len(one.passages) for one in graph.contributions.values()),
            resources=sum(one.resource is not None for one in graph.contributions.values()),
            paths=len(self._paths.get(tenant, {})),
            learners=len(self._progress.get(tenant, {})),
            curations=curations,
        )

    def write_cuts(self, edges: Sequence[Edge], *, tenant: str) -> None:
        self._cuts[tenant] = list(edges)

    def cuts(self, *, tenant: str) -> list[Edge]:
        return list(self._cuts.get(tenant, ()))

    def resources(self, wanted: Mapping[str, Collection[str]], *, tenant: str) -> dict[str, list[StepResource]]:
        said = self._graph(tenant).contributions
        found: dict[str, list[StepResource]] = {}
        for concept, documents in wanted.items():
            several = [
                StepResource(**resource.model_dump(), document_id=key, weight=lesson.weight, passages=lesson.passages)
                for key in set(documents)
                if (one := said.get(key)) is not None
                and (resource := one.resource) is not None
                and (lesson := one.taught.get(concept)) is not None
            ]
            found[concept] = sorted(several, key=lambda one: (-one.weight, one.document_id))
        return found

    def named_in(self, document_id: str, *, tenant: str) -> Sequence[ChunkNames]:
        said = self._graph(tenant).contributions.get(document_id, NOTHING)
        return [
            ChunkNames(number, *span, tuple(sorted(key for at, _, key in said.named if at == number)))
            for number, span in sorted(said.passages.items())
        ]

    def put_path(self, path: SavedPath, *, tenant: str) -> None:
        with self._lock:
            self._paths.setdefault(tenant, {})[path.id] = path

    def path(self, path_id: str, *, tenant: str) -> SavedPath:
        found = self._paths.get(tenant, {}).get(path_id)
        if found is None:
            raise NotFoundError(f"There is no learning path {path_id!r}.", code="path_not_found")
        return found

    def paths(self, *, tenant: str, over: str | None = None) -> Sequence[SavedPath]:
        with self._lock:
            roots, known = self._roots(tenant), self._graph(tenant).concepts
            found = [
                path
                for path in self._paths.get(tenant, {}).values()
                if over is None
                or (over in known and any(roots.get(one.concept, one.concept) == over for one in path.concepts))
            ]
        return sorted(found, key=lambda path: (path.name, path.id))

    def drop_path(self, path_id: str, *, tenant: str) -> bool:
        with self._lock:
            return self._paths.get(tenant, {}).pop(path_id, None) is not None

    def put_progress(self, said: Collection[LearnerProgress], *, tenant: str) -> None:
        with self._lock:
            self._progress.setdefault(tenant, {}).update({(one.user, one.concept): one for one in said})

    def drop_progress(self, user: str, concept: str, *, tenant: str) -> None:
        with self._lock:
            self._progress.get(tenant, {}).pop((user, concept), None)

    def learners(self, concept_id: str, *, tenant: str) -> dict[str, int]:
        with self._lock:
            roots, known = self._roots(tenant), self._graph(tenant).concepts
            said = {
                (one.status, one.user)
                for one in self._progress.get(tenant, {}).values()
                if roots.get(one.concept, one.concept) == concept_id and concept_id in known
            }
        return dict(Counter(status for status, _ in said))

    def write_vectors(self, vectors: Mapping[str, NDArray[np.float32]], *, model_id: str, tenant: str) -> None:
        with self._lock:
            known = self._graph(tenant).concepts
            kept = self._vectors.setdefault(tenant, {})
            kept.update({key: (model_id, vector) for key, vector in vectors.items() if key in known})

    def vectors(self, concept_ids: Collection[str], *, model_id: str, tenant: str) -> dict[str, NDArray[np.float32]]:
        kept = self._vectors.get(tenant, {})
        return {key: kept[key][1] for key in concept_ids if key in kept and kept[key][0] == model_id}

    def nearest(
        self, vector: NDArray[np.float32], *, model_id: str, tenant: str, limit: int = 10
    ) -> list[tuple[str, float]]:
        kept = self.vectors([*self._vectors.get(tenant, {})], model_id=model_id, tenant=tenant)
        scored = [(key, float(own @ vector)) for key, own in kept.items()]
        return sorted(scored, key=lambda item: (-item[1], item[0]))[:limit]

    def matching(self, text: str, *, tenant: str, limit: int = 10) -> list[str]:
        asked = set(_WORDS.findall(text.casefold()))
        words = {key: set(_WORDS.findall(one.name.casefold())) for key, one in self._graph(tenant).concepts.items()}
        often = Counter(word for own in words.values() for word in own)
        scores = {
            key: sum(1 / often[word] for word in own & asked) / len(own) for key, own in words.items() if own & asked
        }
        return sorted(scores, key=lambda key: (-scores[key], key))[:limit]

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
        for kept in (self._scores.get(tenant, {}), self._vectors.get(tenant, {})):
            for gone in kept.keys() - known.keys():
                del kept[gone]


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
    return _Graph(concepts, edges, mentions, contributions)
