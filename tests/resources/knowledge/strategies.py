"""Random graphs for property tests: few names, so that documents share concepts."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from resources.errors import InvalidInputError
from resources.knowledge.curation import Relation, Statement, extraction_of
from resources.knowledge.model import Concept, Edge, EdgeType, Evidence, Extraction, Merge, Origin, Stated, curation_id
from tests.contracts.graph.given import DOCUMENTS, NOW, learned, merge, resource, saved_path

if TYPE_CHECKING:
    from resources.knowledge.store import GraphStore

NAMES = ["a", "b", "c", "d", "e"]
WEIGHTS = st.sampled_from([0.25, 0.5, 0.75, 1.0])


@dataclass(frozen=True)
class Weave:
    extraction: Extraction

    def apply(self, store: GraphStore, tenant: str) -> None:
        store.weave(self.extraction, tenant=tenant)


@dataclass(frozen=True)
class Retract:
    document: str

    def apply(self, store: GraphStore, tenant: str) -> None:
        store.retract(self.document, tenant=tenant)


@dataclass(frozen=True)
class Decide:
    """A merge; one that makes a concept stand for itself is refused everywhere."""

    merge: Merge

    def apply(self, store: GraphStore, tenant: str) -> None:
        with suppress(InvalidInputError):
            store.put_merge(self.merge, tenant=tenant)


@dataclass(frozen=True)
class Learn:
    """Somebody says that a concept is learned, and keeps a path to it."""

    concept: str

    def apply(self, store: GraphStore, tenant: str) -> None:
        store.put_progress([learned("ada", self.concept)], tenant=tenant)
        store.put_path(saved_path("path", "a", self.concept), tenant=tenant)


@st.composite
def decisions(draw: st.DrawFn) -> Decide:
    alias, into = draw(st.sampled_from(NAMES)), draw(st.sampled_from(NAMES))
    return Decide(merge(alias, into, status=draw(st.sampled_from(["merged", "undone"])), id=f"decision {alias}"))


@st.composite
def extractions(draw: st.DrawFn) -> Extraction:
    ids = draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=4))
    concepts = [
        Concept(
            id=name,
            name=draw(st.sampled_from([name, name.upper()])),
            kind=draw(st.sampled_from(["subject", "topic"])),
            description=draw(st.sampled_from([None, "one", "other"])),
            difficulty=draw(st.sampled_from([None, "beginner"])),
        )
        for name in ids
    ]
    pairs = [(source, target) for source in ids for target in ids if source != target]
    edges = [
        Edge(source=source, target=target, type=draw(st.sampled_from(EdgeType)), weight=draw(WEIGHTS))
        for source, target in (draw(st.lists(st.sampled_from(pairs), max_size=5)) if pairs else [])
    ]
    mentions = draw(st.dictionaries(st.sampled_from(ids), WEIGHTS)) if ids else {}
    return Extraction(
        document_id=draw(st.sampled_from(DOCUMENTS)),
        sha256=draw(st.sampled_from(["0" * 64, "1" * 64])),
        title=draw(st.sampled_from([None, "title"])),
        concepts=tuple(concepts),
        mentions=mentions,
        edges=tuple(edges),
        resource=draw(st.sampled_from([None, resource("One"), resource("Other")])),
        passages=tuple(draw(st.lists(st.sampled_from([(0, 9), (5, 20), (20, 30)]), max_size=3))),
        evidence={
            name: Evidence(origin=Origin.STRUCTURE, chunks=tuple(draw(st.sets(st.integers(0, 2)))))
            for name in draw(st.sets(st.sampled_from(ids)) if ids else st.just(set()))
        },
    )


@st.composite
def statements(draw: st.DrawFn) -> Extraction:
    name = draw(st.sampled_from(NAMES))
    others = st.sampled_from([other for other in NAMES if other != name])
    relations = st.builds(Relation, target=others, type=st.sampled_from(EdgeType), weight=WEIGHTS)
    statement = Statement(
        name=draw(st.sampled_from([name, name.upper()])),
        description=draw(st.sampled_from([None, "stated"])),
        difficulty=draw(st.sampled_from([None, "expert"])),
        relations=tuple(draw(st.lists(relations, max_size=3, unique_by=lambda one: (one.target, one.type)))),
    )
    version = draw(st.integers(1, 2))
    return extraction_of(statement, Stated(by="ada", version=version, created_at=NOW, updated_at=NOW))


def changes() -> st.SearchStrategy[Weave | Retract | Decide | Learn]:
    return st.one_of(
        st.builds(Weave, extractions()),
        st.builds(Retract, st.sampled_from([*DOCUMENTS, *map(curation_id, NAMES)])),
        st.builds(Weave, statements()),
        decisions(),
        st.builds(Learn, st.sampled_from(NAMES)),
    )


def prerequisite_edges(names: int = 8) -> st.SearchStrategy[list[Edge]]:
    """REQUIRES edges of an arbitrary graph, mostly with cycles."""
    ids = st.sampled_from([f"c{number}" for number in range(names)])
    return st.lists(
        st.builds(Edge, source=ids, target=ids, type=st.just(EdgeType.REQUIRES), weight=WEIGHTS).filter(
            lambda edge: edge.source != edge.target
        ),
        max_size=20,
        unique_by=lambda edge: (edge.source, edge.target),
    )
