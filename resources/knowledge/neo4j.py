"""The graph store over Bolt: for ArcadeDB (embedded) and Neo4j.

One `weave` is one transaction of about six short statements. It begins by writing the tenant's `Graph` node, so that
changes of one tenant happen one after the other: Neo4j lets the second wait, ArcadeDB lets it fail, and it is repeated
here. That makes reading what the document supported before, and deciding what to do about it in Python, exact.
"""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from resources.errors import NotFoundError
from resources.knowledge import arcadedb, queries
from resources.knowledge.bolt.learning import BoltLearning
from resources.knowledge.changelog import MAX_CHANGES, Change, changes_of
from resources.knowledge.contribution import contribution_of, support_of
from resources.knowledge.model import ConceptView, Edge, EdgeType, Extraction, GraphCounts, Merge, concept_id
from resources.knowledge.state import GraphState, Scores
from resources.knowledge.weaving import BATCH, Row, concept_of, put_merge, revise

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from resources.knowledge.model import Concept, Support
    from resources.knowledge.state import Changes, EdgeKey


class BoltGraphStore(BoltLearning):
    """A GraphStore on a Bolt server. Safe to share between threads; a forked child opens connections of its own."""

    # --- changes ---------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Create constraints and indexes where they are missing.

        ArcadeDB takes the statements for full-text and vector indexes over HTTP alone: without its `http_url` there are none, and
        concepts are looked for one by one.
        """
        dialect = self._dialect()
        for statement in dialect.schema:
            self._change(statement)
        if dialect.over_http and self._http_url is not None:
            user, password = self._auth
            here = arcadedb.Address(self._http_url, user, password, self._database)
            for statement in dialect.over_http:
                arcadedb.run(here, statement)

    def weave(self, extraction: Extraction, *, tenant: str) -> bool:
        """Make `extraction` the document's whole contribution, at once. An unchanged one costs two round trips.

        Returns whether it says anything new.

        Raises InvalidInputError for an extraction whose parts do not fit together, ConflictError when other writers
        kept coming first, and UnavailableError.
        """
        contribution_of(extraction)
        return self.revise(extraction.document_id, lambda _: extraction, tenant=tenant)

    def retract(self, document_id: str, *, tenant: str) -> bool:
        """Remove the document's contribution, and whatever no other document supports, at once; whether there was one."""
        return self.revise(document_id, lambda _: None, tenant=tenant)

    def revise(self, document_id: str, make: Callable[[Extraction | None], Extraction | None], *, tenant: str) -> bool:
        """Make what `make` says, given what was said before, the whole contribution, at once; whether that is anything new."""
        return self._write(lambda tx: revise(tx, document_id, make, tenant=tenant))

    def forget(self, tenant: str) -> None:
        """Remove the tenant's whole graph, with its history: many transactions, to be repeated if one fails."""
        for some, remove in queries.FORGET:
            while self._read(some, tenant=tenant):
                self._change(remove, tenant=tenant, most=BATCH)

    def put_merge(self, merge: Merge, *, tenant: str) -> None:
        """Keep a decision in the log of merges, in place of the one with its id, and make the graph agree with it, at once.

        Raises InvalidInputError for a merge that would make a concept stand for itself.
        """
        self._write(lambda tx: put_merge(tx, merge, tenant=tenant))

    # --- questions -------------------------------------------------------------------------------------------------

    def concept(self, concept_id: str, *, tenant: str) -> ConceptView:
        """One concept with its neighbours. Raises NotFoundError."""
        rows = self._read(queries.CONCEPT, tenant=tenant, id=concept_id)
        if not rows:
            raise NotFoundError(f"There is no concept {concept_id!r}.", code="concept_not_found")
        return ConceptView(
            concept=concept_of(rows[0]),
            requires=tuple(sorted(rows[0]["requires"])),
            required_by=tuple(sorted(rows[0]["required_by"])),
            related=tuple(sorted(rows[0]["related"])),
            documents=tuple(self.documents_of([concept_id], tenant=tenant)[concept_id]),
            part_of=tuple(sorted(rows[0]["part_of"])),
            parts=tuple(sorted(rows[0]["parts"])),
        )

    def find(self, text: str, *, tenant: str, limit: int = 10) -> Sequence[Concept]:
        """Concepts whose name contains `text` (case-insensitive): exact matches first, then shorter names."""
        rows = self._read(queries.FIND, tenant=tenant, folded=text.casefold(), id=concept_id(text), limit=limit)
        return [concept_of(row) for row in rows]

    def concepts(self, *, tenant: str) -> Sequence[Concept]:
        """All concepts, in order of id."""
        return sorted(self._concepts(tenant), key=lambda concept: concept.id)

    def edges(self, *, tenant: str, type: EdgeType | None = None) -> Sequence[Edge]:
        """All edges, in order of source, target and type; the weight is the highest that any document gave."""
        edges = [
            Edge(source=source, target=target, type=kind, weight=weight)
            for kind in EdgeType
            if type is None or kind is type
            for source, target, weight in self._edges(kind, tenant)
        ]
        return sorted(edges, key=lambda edge: (edge.source, edge.target, edge.type))

    def documents_of(self, concept_ids: Collection[str], *, tenant: str) -> dict[str, list[str]]:
        """For each concept the documents that mention it, the one most about it first."""
        documents: dict[str, list[str]] = {concept: [] for concept in concept_ids}
        rows = self._read(queries.DOCUMENTS_OF, tenant=tenant, ids=list(documents))
        for row in sorted(rows, key=lambda row: (-row["weight"], row["document"])):
            documents[row["concept"]].append(row["document"])
        return documents

    def support(
        self, source: str, target: str | None = None, type: EdgeType | None = None, *, tenant: str, limit: int = 100
    ) -> Sequence[Support]:
        """The documents that support the concept `source`, or the edge from it to `target`, in order of id."""
        whole = target is None or type is None
        query = queries.SUPPORTING_CONCEPT if target is None or type is None else queries.SUPPORTING_EDGE[type]
        ends = {"source": source} if whole else {"source": source, "target": target}
        rows = sorted(self._read(query, tenant=tenant, limit=limit, **ends), key=lambda row: str(row["id"]))
        said = (Extraction.model_validate_json(row["extraction"]) for row in rows)
        roots = self._roots(tenant)
        found = (support_of(extraction, source, target, type, roots=roots) for extraction in said)
        return [support for support in found if support is not None]

    def supports(self, concept_ids: Collection[str], *, tenant: str, limit: int = 100) -> dict[str, list[Support]]:
        """For each concept the documents that support it, in order of id, `limit` of them at most."""
        found: dict[str, list[Support]] = {concept: [] for concept in concept_ids}
        pairs = sorted(
            (row["concept"], row["document"])
            for row in self._read(queries.SUPPORTING_CONCEPTS, tenant=tenant, ids=list(found))
        )
        kept = [(key, document) for key, several in groupby(pairs, itemgetter(0)) for _, document in [*several][:limit]]
        documents = sorted({document for _, document in kept})
        rows = self._read(queries.CONTRIBUTIONS, tenant=tenant, ids=documents) if documents else []
        said = {row["id"]: Extraction.model_validate_json(row["extraction"]) for row in rows}
        roots = self._roots(tenant)
        for key, document in kept:
            support = support_of(said[document], key, roots=roots) if document in said else None
            if support is not None:
                found[key].append(support)
        return found

    def said(self, document_id: str, *, tenant: str) -> Extraction | None:
        """What the document contributes, or the person; None if it contributes nothing."""
        rows = self._read(queries.CONTRIBUTIONS, tenant=tenant, ids=[document_id])
        return Extraction.model_validate_json(rows[0]["extraction"]) if rows else None

    def curations(self, *, tenant: str) -> Sequence[Extraction]:
        """What people state of concepts, in order of id."""
        ids = sorted(row["id"] for row in self._read(queries.CURATIONS, tenant=tenant))
        rows = self._read(queries.CONTRIBUTIONS, tenant=tenant, ids=ids) if ids else []
        said = [Extraction.model_validate_json(row["extraction"]) for row in rows]
        return sorted(said, key=lambda one: one.document_id)

    def revision(self, *, tenant: str) -> int:
        """A number that grows by one with each change of the tenant's graph; 0 before the first."""
        rows = self._read(queries.REVISION, tenant=tenant)
        return int(rows[0]["revision"]) if rows else 0

    def state(self, *, tenant: str) -> GraphState:
        """The whole graph as plain data. It is at least as new as the revision it names, which is read first."""
        revision = self.revision(tenant=tenant)
        concepts = {concept.id: concept for concept in self._concepts(tenant)}
        edges = {
            (source, target, kind): weight for kind in EdgeType for source, target, weight in self._edges(kind, tenant)
        }
        mentions: dict[str, dict[str, float]] = {}
        for row in self._read(queries.MENTIONS, tenant=tenant):
            for concept, weight in row["concepts"]:
                mentions.setdefault(concept, {})[row["document"]] = weight
        return GraphState(revision, concepts, edges, mentions, self._roots(tenant))

    def _concepts(self, tenant: str) -> Iterator[Concept]:
        names = ("id", *queries.FIELDS)
        for row in self._read(queries.CONCEPTS, tenant=tenant):
            for told in row["told"]:
                yield concept_of(dict(zip(names, told, strict=True)))

    def _edges(self, kind: EdgeType, tenant: str) -> Iterator[tuple[str, str, float]]:
        for row in self._read(queries.EDGES[kind], tenant=tenant):
            for source, weight in row["sources"]:
                yield source, row["target"], weight

    def changes(self, *, since: int, tenant: str) -> Changes | None:
        """What was touched after that revision. None when that is not known any more, or too much to be told one by one."""
        current = self.revision(tenant=tenant)
        wanted = list(range(since + 1, current + 1))
        if len(wanted) > MAX_CHANGES:
            return None
        rows = self._read(queries.CHANGES, tenant=tenant, revisions=wanted) if wanted else []
        kept = [Change.from_json(row["revision"], row["touched"]) for row in rows]
        return changes_of(kept, since=since, current=current)

    def part(self, concepts: Collection[str], edges: Collection[EdgeKey], *, tenant: str) -> GraphState:
        """The named concepts and edges as they are now. Those that are not there any more are left out."""
        revision = self.revision(tenant=tenant)
        ids = [{"id": key} for key in sorted(concepts)]
        found = {row["id"]: concept_of(row) for row in self._each(queries.SOME_CONCEPTS, ids, tenant=tenant)}
        weights = {
            (row["source"], row["target"], kind): row["weight"]
            for kind, query in queries.SOME_EDGES.items()
            for row in self._each(
                query, [{"source": s, "target": t} for s, t, k in sorted(edges) if k is kind], tenant=tenant
            )
        }
        said = self._each(queries.MENTIONS_OF, ids, tenant=tenant)
        return GraphState(revision, found, weights, _mentions(said), self._roots(tenant))

    def write_scores(self, scores: Mapping[str, Scores], *, tenant: str) -> None:
        """Keep what was computed about concepts beside them. Unknown concepts are left out."""
        rows = [{"id": key, "scores": value.model_dump_json()} for key, value in sorted(scores.items())]
        for start in range(0, len(rows), BATCH):
            self._change(queries.WRITE_SCORES, tenant=tenant, rows=rows[start : start + BATCH])

    def scores(self, concept_ids: Collection[str], *, tenant: str) -> dict[str, Scores]:
        """What was last computed about these concepts."""
        rows = self._each(queries.SCORES, [{"id": key} for key in sorted(set(concept_ids))], tenant=tenant)
        return {row["id"]: Scores.model_validate_json(row["scores"]) for row in rows}

    def counts(self, *, tenant: str) -> GraphCounts:
        """How large the tenant's graph is."""

        def total(query: str) -> int:
            return int(self._read(query, tenant=tenant)[0]["total"])

        return GraphCounts(
            concepts=total(queries.COUNT_CONCEPTS),
            edges=sum(total(query) for query in queries.COUNT_EDGES.values()),
            documents=total(queries.COUNT_DOCUMENTS),
            chunks=total(queries.COUNT_CHUNKS),
            resources=total(queries.COUNT_RESOURCES),
            paths=total(queries.COUNT_PATHS),
            learners=total(queries.COUNT_LEARNERS),
            curations=total(queries.COUNT_CURATIONS),
        )


def _mentions(rows: list[Row]) -> dict[str, dict[str, float]]:
    mentions: dict[str, dict[str, float]] = {}
    for row in rows:
        mentions.setdefault(row["concept"], {})[row["document"]] = row["weight"]
    return mentions
