"""What every graph store promises. Subclass it and give a `store`; each test has a tenant of its own."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from resources.errors import InvalidInputError, NotFoundError
from resources.knowledge.memory import MemoryGraphStore
from resources.knowledge.model import Concept, Edge, EdgeType, Extraction, GraphCounts, concept_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from resources.knowledge.model import Difficulty
    from resources.knowledge.store import GraphStore


def subject(name: str, *, description: str | None = None, difficulty: Difficulty | None = None) -> Concept:
    return Concept(id=concept_id(name), name=name, kind="subject", description=description, difficulty=difficulty)


def topic(name: str) -> Concept:
    return Concept(id=concept_id(name), name=name)


def requires(source: str, target: str, weight: float = 1.0) -> Edge:
    return Edge(source=source, target=target, type=EdgeType.REQUIRES, weight=weight)


def related(source: str, target: str, weight: float = 0.5) -> Edge:
    return Edge(source=source, target=target, type=EdgeType.RELATED_TO, weight=weight)


def extraction(
    document: str,
    concepts: Iterable[Concept],
    edges: Iterable[Edge] = (),
    *,
    mentions: Mapping[str, float] | None = None,
    sha256: str = "0" * 64,
    title: str | None = None,
) -> Extraction:
    return Extraction(
        document_id=document,
        sha256=sha256,
        title=title,
        concepts=tuple(concepts),
        mentions=dict(mentions or {}),
        edges=tuple(edges),
    )


def contents(store: GraphStore, tenant: str) -> object:
    """All that a store says about a tenant, for comparison."""
    concepts = store.concepts(tenant=tenant)
    return (
        list(concepts),
        list(store.edges(tenant=tenant)),
        store.documents_of([concept.id for concept in concepts], tenant=tenant),
        store.counts(tenant=tenant),
    )


PANDAS = extraction(
    "pandas.md",
    [subject("Pandas", description="Data frames", difficulty="intermediate"), subject("NumPy"), topic("data frame")],
    [requires("pandas", "numpy"), related("pandas", "data-frame", 0.8)],
    mentions={"pandas": 1.0, "data-frame": 0.8},
    title="Pandas",
)
NUMPY = extraction(
    "numpy.md",
    [subject("NumPy", description="Arrays"), topic("array"), topic("Data Frame")],
    [related("numpy", "array"), related("numpy", "data-frame", 0.2)],
    mentions={"numpy": 1.0, "array": 0.7, "data-frame": 0.9},
)


class GraphStoreContract:
    @pytest.fixture
    def store(self) -> GraphStore:
        raise NotImplementedError

    def test_a_document_is_woven_into_concepts_and_edges(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        assert list(store.concepts(tenant=tenant)) == [topic("data frame"), subject("NumPy"), PANDAS.concepts[0]]
        assert list(store.edges(tenant=tenant)) == [
            related("pandas", "data-frame", 0.8),
            requires("pandas", "numpy"),
        ]
        assert store.counts(tenant=tenant) == GraphCounts(concepts=3, edges=2, documents=1)

    def test_edges_can_be_asked_for_by_type(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        assert list(store.edges(tenant=tenant, type=EdgeType.REQUIRES)) == [requires("pandas", "numpy")]

    def test_an_empty_graph_has_nothing(self, store: GraphStore, tenant: str) -> None:
        assert list(store.concepts(tenant=tenant)) == []
        assert list(store.edges(tenant=tenant)) == []
        assert store.documents_of(["pandas"], tenant=tenant) == {"pandas": []}
        assert store.counts(tenant=tenant) == GraphCounts(concepts=0, edges=0, documents=0)
        assert list(store.find("pandas", tenant=tenant)) == []

    def test_preparing_again_does_nothing(self, store: GraphStore) -> None:
        store.prepare()
        store.prepare()

    def test_a_concept_is_shown_with_its_neighbourhood(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        store.weave(NUMPY, tenant=tenant)
        numpy = store.concept("numpy", tenant=tenant)
        assert numpy.concept == NUMPY.concepts[0]
        assert numpy.required_by == ("pandas",)
        assert numpy.requires == ()
        assert numpy.related == ("array", "data-frame")
        assert numpy.documents == ("numpy.md",)
        assert store.concept("data-frame", tenant=tenant).related == ("numpy", "pandas")

    def test_an_unknown_concept_is_not_found(self, store: GraphStore, tenant: str) -> None:
        with pytest.raises(NotFoundError, match="'nothing'"):
            store.concept("nothing", tenant=tenant)

    def test_weaving_again_changes_nothing(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        before = contents(store, tenant)
        store.weave(PANDAS, tenant=tenant)
        assert contents(store, tenant) == before

    def test_a_new_revision_replaces_exactly_what_the_document_said(self, store: GraphStore, tenant: str) -> None:
        store.weave(NUMPY, tenant=tenant)
        store.weave(PANDAS, tenant=tenant)
        revision = extraction(
            "pandas.md", [subject("Polars"), topic("data frame")], mentions={"data-frame": 0.1}, sha256="1" * 64
        )
        store.weave(revision, tenant=tenant)
        rebuilt = MemoryGraphStore()
        rebuilt.weave(NUMPY, tenant=tenant)
        rebuilt.weave(revision, tenant=tenant)
        assert contents(store, tenant) == contents(rebuilt, tenant)

    def test_what_another_document_supports_survives_a_retraction(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        before = contents(store, tenant)
        store.weave(NUMPY, tenant=tenant)
        store.retract("numpy.md", tenant=tenant)
        assert contents(store, tenant) == before

    def test_the_last_retraction_leaves_nothing(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        store.weave(NUMPY, tenant=tenant)
        store.retract("pandas.md", tenant=tenant)
        store.retract("numpy.md", tenant=tenant)
        assert store.counts(tenant=tenant) == GraphCounts(concepts=0, edges=0, documents=0)

    def test_retracting_an_unknown_document_changes_nothing(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        store.retract("unknown.md", tenant=tenant)
        assert store.counts(tenant=tenant).documents == 1

    def test_a_concept_looks_the_same_in_whichever_order_its_documents_came(
        self, store: GraphStore, tenant: str
    ) -> None:
        store.weave(PANDAS, tenant=tenant)
        store.weave(NUMPY, tenant=tenant)
        store.weave(NUMPY, tenant=f"{tenant}-reversed")
        store.weave(PANDAS, tenant=f"{tenant}-reversed")
        assert contents(store, tenant) == contents(store, f"{tenant}-reversed")

    def test_an_edge_of_two_documents_has_the_higher_weight(self, store: GraphStore, tenant: str) -> None:
        ends = [subject("a"), subject("b")]
        store.weave(extraction("1", ends, [requires("a", "b", 0.3)]), tenant=tenant)
        store.weave(extraction("2", ends, [requires("a", "b", 0.7)]), tenant=tenant)
        assert list(store.edges(tenant=tenant)) == [requires("a", "b", 0.7)]
        assert store.counts(tenant=tenant).edges == 1
        store.retract("2", tenant=tenant)
        assert list(store.edges(tenant=tenant)) == [requires("a", "b", 0.3)]

    def test_documents_are_named_most_about_the_concept_first(self, store: GraphStore, tenant: str) -> None:
        for document, weight in (("little", 0.1), ("much", 0.9), ("some", 0.5)):
            store.weave(extraction(document, [topic("x")], mentions={"x": weight}), tenant=tenant)
        store.weave(extraction("named-only", [topic("x")]), tenant=tenant)
        assert store.documents_of(["x", "y"], tenant=tenant) == {"x": ["much", "some", "little"], "y": []}

    def test_tenants_do_not_see_each_other(self, store: GraphStore, tenant: str) -> None:
        other = f"{tenant}-other"
        store.weave(PANDAS, tenant=tenant)
        store.weave(NUMPY, tenant=other)
        store.retract("pandas.md", tenant=other)
        assert store.counts(tenant=tenant) == GraphCounts(concepts=3, edges=2, documents=1)
        assert store.concept("numpy", tenant=other).required_by == ()
        assert store.documents_of(["data-frame"], tenant=other) == {"data-frame": ["numpy.md"]}
        assert list(store.find("pandas", tenant=other)) == []
        with pytest.raises(NotFoundError):
            store.concept("pandas", tenant=other)

    def test_find_gives_exact_matches_first_then_shorter_names(self, store: GraphStore, tenant: str) -> None:
        names = ["Graph Database", "Graphs", "Graph", "Photography", "Größe"]
        store.weave(extraction("1", [topic(name) for name in names]), tenant=tenant)
        assert [c.name for c in store.find("graph", tenant=tenant)] == [
            "Graph",
            "Graphs",
            "Photography",
            "Graph Database",
        ]
        assert [c.name for c in store.find("GRAPH", tenant=tenant, limit=1)] == ["Graph"]
        assert [c.name for c in store.find("GRÖSSE", tenant=tenant)] == ["Größe"]
        assert [c.name for c in store.find("graph-database", tenant=tenant)] == ["Graph Database"]

    @pytest.mark.parametrize("text", ["'", '"}) DETACH DELETE c //', "$tenant", "\\", "`", "%", "*", "🦄"])
    def test_hostile_text_is_only_text(self, store: GraphStore, tenant: str, text: str) -> None:
        hostile = Concept(id="hostile", name=f"x{text}", description=text)
        store.weave(extraction(f"doc {text}", [hostile], mentions={"hostile": 0.5}, title=text), tenant=tenant)
        assert list(store.concepts(tenant=tenant)) == [hostile]
        assert list(store.find(text, tenant=tenant)) == [hostile]
        assert store.documents_of(["hostile"], tenant=tenant) == {"hostile": [f"doc {text}"]}

    @pytest.mark.parametrize(
        ("broken", "problem"),
        [
            (extraction("1", [topic("a")], [requires("a", "b")]), "'b' is not among the concepts"),
            (extraction("1", [topic("a")], [requires("a", "a")]), "'a' points to itself"),
            (extraction("1", [topic("a")], mentions={"b": 1}), "is not among the concepts"),
            (extraction("1", [topic("a")], mentions={"a": 2}), "not between 0 and 1"),
            (extraction("1", [topic("a"), topic("A")]), "'a' is there twice"),
            (extraction("1", [Concept(id="", name="?")]), "is empty"),
        ],
    )
    def test_an_extraction_that_does_not_fit_together_is_refused(
        self, store: GraphStore, tenant: str, broken: Extraction, problem: str
    ) -> None:
        with pytest.raises(InvalidInputError, match=problem) as caught:
            store.weave(broken, tenant=tenant)
        assert caught.value.code == "extraction_invalid"
        assert store.counts(tenant=tenant).documents == 0

    def test_weaves_at_the_same_time_all_succeed_and_are_exact(self, store: GraphStore, tenant: str) -> None:
        def document(number: int, revision: int) -> Extraction:
            shared = [topic(f"shared {n}") for n in range(3)]
            own = subject(f"own {number}", description=f"revision {revision}")
            return extraction(
                f"{number}.md",
                [own, *shared, topic(f"revision {revision}")],
                [related(own.id, concept.id, (number + 1) / 10) for concept in shared]
                + [related("shared-0", "shared-1", (number + 1) / 10)],
                mentions={"shared-0": (number + 1) / 10},
                sha256=str(revision) * 64,
            )

        writers = 4
        start = threading.Barrier(writers)

        def write(number: int) -> None:
            start.wait()
            for revision in range(3):
                store.weave(document(number, revision), tenant=tenant)
            if number == writers - 1:
                store.retract(f"{number}.md", tenant=tenant)

        with ThreadPoolExecutor(writers) as pool:
            list(pool.map(write, range(writers)))
        rebuilt = MemoryGraphStore()
        for number in range(writers - 1):
            rebuilt.weave(document(number, 2), tenant=tenant)
        assert contents(store, tenant) == contents(rebuilt, tenant)

    def test_a_hub_keeps_all_its_edges(self, store: GraphStore, tenant: str) -> None:
        spokes = [topic(f"spoke {n}") for n in range(400)]
        hub = extraction("hub", [topic("hub"), *spokes], [requires(s.id, "hub") for s in spokes])
        store.weave(hub, tenant=tenant)
        assert len(store.concept("hub", tenant=tenant).required_by) == 400
        store.retract("hub", tenant=tenant)
        assert store.counts(tenant=tenant) == GraphCounts(concepts=0, edges=0, documents=0)

    def test_ping_takes_some_time(self, store: GraphStore) -> None:
        assert store.ping() >= 0
