"""What every graph store promises. Subclass it and give a `store`; each test has a tenant of its own."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest

from resources.errors import InvalidInputError, NotFoundError
from resources.knowledge.dialects import DIMENSIONS
from resources.knowledge.memory import MemoryGraphStore
from resources.knowledge.model import (
    Concept,
    Edge,
    EdgeType,
    Evidence,
    Extraction,
    GraphCounts,
    LearningResource,
    Merge,
    Origin,
    PathConcept,
    SavedPath,
    Support,
    concept_id,
    evidence_key,
)
from resources.knowledge.state import Changes, ChunkNames, LearnerProgress, Scores

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Literal

    from numpy.typing import NDArray

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


def merge(
    alias: str,
    into: str,
    *,
    status: Literal["proposed", "merged", "rejected", "undone"] = "merged",
    id: str | None = None,
) -> Merge:
    return Merge(
        id=id or f"{alias} {into}", alias=alias, into=into, status=status, score=0.9, reason="alike", by="test", at=NOW
    )


def contents(store: GraphStore, tenant: str) -> object:
    """All that a store says about a tenant, for comparison."""
    concepts = store.concepts(tenant=tenant)
    return (
        list(concepts),
        list(store.edges(tenant=tenant)),
        store.documents_of([concept.id for concept in concepts], tenant=tenant),
        store.counts(tenant=tenant),
        [list(store.support(concept.id, tenant=tenant)) for concept in concepts],
        store.resources({one.id: DOCUMENTS for one in concepts}, tenant=tenant),
        [list(store.named_in(document, tenant=tenant)) for document in DOCUMENTS],
        {one.id: [path.id for path in store.paths(tenant=tenant, over=one.id)] for one in concepts},
        {one.id: store.learners(one.id, tenant=tenant) for one in concepts},
    )


NOW = datetime(2026, 1, 2, tzinfo=UTC)
DOCUMENTS = ("1.md", "2.md", "3.md")
"""Of the random histories that `contents` compares."""


def resource(title: str = "A page", *, minutes: int = 7) -> LearningResource:
    return LearningResource(
        url=f"https://example.org/{title}",
        title=title,
        resource_type="page",
        format="text/html",
        source="https",
        quality=0.7,
        difficulty="advanced",
        minutes=minutes,
        language="en",
    )


def saved_path(name: str, *concepts: str) -> SavedPath:
    return SavedPath(
        id=name,
        name=name,
        target=concepts[-1],
        concepts=tuple(PathConcept(order=number, concept=key) for number, key in enumerate(concepts, 1)),
        minutes=90,
        difficulties=tuple(None for _ in concepts),
        outcomes=(f"explain {concepts[-1]}",),
        creator="ada",
        custom=True,
        updated_at=NOW,
    )


def learned(user: str, concept: str, status: str = "completed") -> LearnerProgress:
    return LearnerProgress(
        user=user,
        concept=concept,
        status=status,
        percent=100,
        minutes=30,
        rating=None,
        started_at=NOW,
        completed_at=NOW,
        updated_at=NOW,
    )


def vector(*head: float) -> NDArray[np.float32]:
    """A vector of unit length that begins so."""
    whole = np.zeros(DIMENSIONS, np.float32)
    whole[: len(head)] = head
    unit: NDArray[np.float32] = whole / np.linalg.norm(whole)
    return unit


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


PAGE = PANDAS.model_copy(
    update={
        "resource": resource("Pandas"),
        "passages": ((0, 100), (80, 200), (200, 260)),
        "evidence": {
            "pandas": Evidence(origin=Origin.STRUCTURE, chunks=(0, 2)),
            "data-frame": Evidence(origin=Origin.STRUCTURE, chunks=(1,)),
        },
    }
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

    def test_a_tenant_is_forgotten_and_no_other(self, store: GraphStore, tenant: str) -> None:
        for name in (tenant, f"{tenant}-other"):
            store.weave(PANDAS, tenant=name)
            store.weave(NUMPY, tenant=name)
        before = contents(store, f"{tenant}-other")
        store.forget(tenant)
        assert store.counts(tenant=tenant) == GraphCounts(concepts=0, edges=0, documents=0)
        assert store.revision(tenant=tenant) == 0
        assert contents(store, f"{tenant}-other") == before

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

    def test_all_that_is_known_of_a_concept_is_kept(self, store: GraphStore, tenant: str) -> None:
        rich = Concept(
            id="x",
            name="X",
            kind="subject",
            description="d",
            difficulty="expert",
            category="c",
            subcategory="s",
            tags=("one", "two"),
            quality=0.5,
            minutes=90,
        )
        store.weave(extraction("1", [rich]), tenant=tenant)
        assert list(store.concepts(tenant=tenant)) == [rich]

    def test_a_topic_is_part_of_a_wider_one(self, store: GraphStore, tenant: str) -> None:
        part = Edge(source="tree", target="graph", type=EdgeType.PART_OF)
        store.weave(extraction("1", [topic("tree"), topic("graph")], [part]), tenant=tenant)
        assert list(store.edges(tenant=tenant, type=EdgeType.PART_OF)) == [part]
        assert store.concept("tree", tenant=tenant).part_of == ("graph",)
        assert store.concept("graph", tenant=tenant).parts == ("tree",)

    def test_support_names_documents_passages_runs_and_calls(self, store: GraphStore, tenant: str) -> None:
        said = PANDAS.model_copy(
            update={
                "run_id": "run-1",
                "evidence": {
                    "pandas": Evidence(origin=Origin.STRUCTURE, chunks=(0, 2)),
                    evidence_key("pandas", "numpy", EdgeType.REQUIRES): Evidence(
                        origin=Origin.MODEL, calls=("call-1",)
                    ),
                },
            }
        )
        store.weave(said, tenant=tenant)
        store.weave(NUMPY, tenant=tenant)
        (pandas,) = store.support("pandas", tenant=tenant)
        assert pandas == Support(
            document_id="pandas.md", title="Pandas", weight=1.0, run_id="run-1", evidence=(said.evidence["pandas"],)
        )
        (edge,) = store.support("pandas", "numpy", EdgeType.REQUIRES, tenant=tenant)
        assert edge.evidence[0].calls == ("call-1",)
        assert [one.document_id for one in store.support("numpy", tenant=tenant)] == ["numpy.md", "pandas.md"]
        assert list(store.support("numpy", "pandas", EdgeType.REQUIRES, tenant=tenant)) == []
        assert list(store.support("pandas", tenant=f"{tenant}-other")) == []

    def test_merged_concepts_are_one_until_that_is_undone(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        store.weave(NUMPY, tenant=tenant)
        before = contents(store, tenant)
        store.put_merge(merge("array", "data-frame"), tenant=tenant)
        assert [concept.id for concept in store.concepts(tenant=tenant)] == ["data-frame", "numpy", "pandas"]
        assert store.concept("data-frame", tenant=tenant).concept.name.casefold() == "data frame"
        weights = {(e.source, e.target): e.weight for e in store.edges(tenant=tenant, type=EdgeType.RELATED_TO)}
        assert weights["data-frame", "numpy"] == 0.5
        store.put_merge(merge("array", "data-frame", status="undone"), tenant=tenant)
        assert contents(store, tenant) == before
        assert [one.status for one in store.merges(tenant=tenant)] == ["undone"]

    def test_what_comes_after_a_merge_is_merged_too(self, store: GraphStore, tenant: str) -> None:
        store.put_merge(merge("np", "numpy"), tenant=tenant)
        store.weave(extraction("1", [topic("NP"), topic("x")], [related("np", "x")]), tenant=tenant)
        assert [concept.id for concept in store.concepts(tenant=tenant)] == ["numpy", "x"]
        store.put_merge(merge("numpy", "numerical-python"), tenant=tenant)
        assert [concept.id for concept in store.concepts(tenant=tenant)] == ["numerical-python", "x"]
        store.retract("1", tenant=tenant)
        assert store.counts(tenant=tenant).concepts == 0

    def test_a_proposal_changes_nothing(self, store: GraphStore, tenant: str) -> None:
        store.weave(NUMPY, tenant=tenant)
        before = contents(store, tenant)
        store.put_merge(merge("array", "numpy", status="proposed"), tenant=tenant)
        assert contents(store, tenant) == before

    def test_a_concept_cannot_stand_for_itself(self, store: GraphStore, tenant: str) -> None:
        store.put_merge(merge("a", "b"), tenant=tenant)
        with pytest.raises(InvalidInputError) as caught:
            store.put_merge(merge("b", "a"), tenant=tenant)
        assert caught.value.code == "merge_circular"
        assert len(store.merges(tenant=tenant)) == 1

    def test_the_revision_grows_with_each_change_and_tells_what_was_touched(
        self, store: GraphStore, tenant: str
    ) -> None:
        assert store.revision(tenant=tenant) == 0
        store.weave(PANDAS, tenant=tenant)
        store.weave(PANDAS, tenant=tenant)
        assert store.revision(tenant=tenant) == 1
        store.weave(NUMPY, tenant=tenant)
        changes = store.changes(since=1, tenant=tenant)
        assert changes is not None
        assert changes.revision == 2
        assert changes.concepts == {"numpy", "array", "data-frame"}
        assert changes.edges == {
            ("numpy", "array", EdgeType.RELATED_TO),
            ("numpy", "data-frame", EdgeType.RELATED_TO),
        }
        part = store.part(changes.concepts, changes.edges, tenant=tenant)
        whole = store.state(tenant=tenant)
        assert part.edges == {key: whole.edges[key] for key in changes.edges}
        assert part.mentions == {key: whole.mentions[key] for key in changes.concepts if key in whole.mentions}
        assert whole.revision == 2
        assert whole.concepts == {concept.id: concept for concept in store.concepts(tenant=tenant)}
        assert store.changes(since=2, tenant=tenant) == Changes(2, frozenset(), frozenset())

    def test_changes_of_before_the_beginning_are_not_known(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        assert store.changes(since=-1, tenant=tenant) is None

    def test_scores_stand_beside_their_concepts(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        scores = Scores(revision=1, rank=0.5, betweenness=0.1, closeness=0.2, degree=2, community=0)
        store.write_scores({"pandas": scores, "unknown": scores}, tenant=tenant)
        assert store.scores(["pandas", "numpy", "unknown"], tenant=tenant) == {"pandas": scores}
        assert store.scores(["pandas"], tenant=f"{tenant}-other") == {}
        assert store.revision(tenant=tenant) == 1
        store.retract("pandas.md", tenant=tenant)
        assert store.scores(["pandas"], tenant=tenant) == {}

    def test_ping_takes_some_time(self, store: GraphStore) -> None:
        assert store.ping() >= 0

    def test_a_document_is_a_resource_with_passages_that_name_concepts(self, store: GraphStore, tenant: str) -> None:
        store.weave(PAGE, tenant=tenant)
        (told,) = store.resources({"pandas": ["pandas.md"]}, tenant=tenant)["pandas"]
        assert (told.title, told.minutes, told.weight, told.passages) == ("Pandas", 7, 1.0, ((0, 100), (200, 260)))
        assert list(store.named_in("pandas.md", tenant=tenant)) == [
            ChunkNames(0, 0, 100, ("pandas",)),
            ChunkNames(1, 80, 200, ("data-frame",)),
            ChunkNames(2, 200, 260, ("pandas",)),
        ]
        counts = store.counts(tenant=tenant)
        assert (counts.chunks, counts.resources) == (3, 1)

    def test_another_text_replaces_passages_and_what_they_name(self, store: GraphStore, tenant: str) -> None:
        store.weave(PAGE, tenant=tenant)
        evidence = {"pandas": Evidence(origin=Origin.STRUCTURE, chunks=(1,))}
        changed = {"passages": ((0, 100), (100, 150)), "evidence": evidence, "resource": resource("Pandas", minutes=3)}
        store.weave(PAGE.model_copy(update=changed), tenant=tenant)
        assert list(store.named_in("pandas.md", tenant=tenant)) == [
            ChunkNames(0, 0, 100, ()),
            ChunkNames(1, 100, 150, ("pandas",)),
        ]
        found = store.resources({"pandas": ["pandas.md"], "data-frame": ["pandas.md"]}, tenant=tenant)
        assert [(one.minutes, one.passages) for several in found.values() for one in several] == [
            (3, ((100, 150),)),
            (3, ()),
        ]

    def test_a_retracted_document_takes_its_passages_along(self, store: GraphStore, tenant: str) -> None:
        store.weave(PAGE, tenant=tenant)
        store.weave(NUMPY, tenant=tenant)
        store.retract("pandas.md", tenant=tenant)
        assert store.resources({"data-frame": ["pandas.md"]}, tenant=tenant) == {"data-frame": []}
        assert list(store.named_in("pandas.md", tenant=tenant)) == []
        assert store.counts(tenant=tenant) == GraphCounts(concepts=3, edges=2, documents=1)

    def test_what_another_run_reads_again_stays_as_it_is(self, store: GraphStore, tenant: str) -> None:
        assert store.weave(PAGE.model_copy(update={"run_id": "first"}), tenant=tenant)
        revision = store.revision(tenant=tenant)
        assert not store.weave(PAGE.model_copy(update={"run_id": "second"}), tenant=tenant)
        assert store.revision(tenant=tenant) == revision
        assert [one.run_id for one in store.support("pandas", tenant=tenant)] == ["first"]

    def test_a_path_is_kept_and_found_by_what_it_leads_over(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        kept = saved_path("tables", "numpy", "pandas")
        store.put_path(saved_path("tables", "array", "pandas"), tenant=tenant)
        store.put_path(kept, tenant=tenant)
        assert store.path("tables", tenant=tenant) == kept
        assert list(store.paths(tenant=tenant)) == [kept]
        assert list(store.paths(tenant=tenant, over="numpy")) == [kept]
        assert list(store.paths(tenant=tenant, over="array")) == []
        assert store.drop_path("tables", tenant=tenant)
        assert not store.drop_path("tables", tenant=tenant)
        with pytest.raises(NotFoundError):
            store.path("tables", tenant=tenant)

    def test_learners_are_joined_to_concepts_that_come_and_go(self, store: GraphStore, tenant: str) -> None:
        store.put_progress([learned("ada", "numpy"), learned("bob", "numpy", "in_progress")], tenant=tenant)
        store.put_path(saved_path("tables", "numpy", "pandas"), tenant=tenant)
        assert store.learners("numpy", tenant=tenant) == {}
        store.weave(PANDAS, tenant=tenant)
        assert store.learners("numpy", tenant=tenant) == {"completed": 1, "in_progress": 1}
        store.retract("pandas.md", tenant=tenant)
        store.weave(NUMPY, tenant=tenant)
        assert store.learners("numpy", tenant=tenant) == {"completed": 1, "in_progress": 1}
        assert [path.id for path in store.paths(tenant=tenant, over="numpy")] == ["tables"]
        store.put_progress([learned("bob", "numpy")], tenant=tenant)
        store.drop_progress("ada", "numpy", tenant=tenant)
        assert store.learners("numpy", tenant=tenant) == {"completed": 1}

    def test_learners_follow_a_merge_and_come_back_when_it_is_undone(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        store.weave(NUMPY, tenant=tenant)
        store.put_progress([learned("ada", "array"), learned("bob", "numpy")], tenant=tenant)
        store.put_merge(merge("array", "numpy", id="one"), tenant=tenant)
        assert store.learners("numpy", tenant=tenant) == {"completed": 2}
        store.put_merge(merge("array", "numpy", id="one", status="undone"), tenant=tenant)
        assert store.learners("array", tenant=tenant) == {"completed": 1}
        assert store.learners("numpy", tenant=tenant) == {"completed": 1}

    def test_concepts_are_found_by_the_vectors_of_their_names(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        kept = {"pandas": vector(1, 0), "numpy": vector(1, 1), "nobody": vector(1, 2)}
        store.write_vectors(kept, model_id="m", tenant=tenant)
        store.write_vectors({"data-frame": vector(1, 0)}, model_id="another", tenant=tenant)
        found = store.nearest(vector(3, 1), model_id="m", tenant=tenant)
        assert [key for key, _ in found] == ["pandas", "numpy"]
        assert dict(found)["pandas"] == pytest.approx(3 / 10**0.5, abs=1e-5)
        assert [key for key, _ in store.nearest(vector(1, 0), model_id="m", tenant=tenant, limit=1)] == ["pandas"]
        own = store.vectors(["pandas", "data-frame", "nobody"], model_id="m", tenant=tenant)
        assert list(own) == ["pandas"]
        np.testing.assert_allclose(own["pandas"], kept["pandas"], atol=1e-6)
        store.retract("pandas.md", tenant=tenant)
        assert store.nearest(vector(1, 0), model_id="m", tenant=tenant) == []

    def test_concepts_are_found_by_the_words_of_their_names(self, store: GraphStore, tenant: str) -> None:
        store.weave(PANDAS, tenant=tenant)
        store.weave(NUMPY, tenant=tenant)
        assert store.matching('What is a "frame" AND (an array?', tenant=tenant, limit=5) in (
            ["array", "data-frame"],
            ["data-frame", "array"],
        )
        assert store.matching("", tenant=tenant) == []
        assert store.matching("nothing of it", tenant=tenant) == []

    def test_what_was_cut_is_kept(self, store: GraphStore, tenant: str) -> None:
        assert store.cuts(tenant=tenant) == []
        store.weave(PANDAS, tenant=tenant)
        revision = store.revision(tenant=tenant)
        store.write_cuts([requires("pandas", "numpy", 0.5)], tenant=tenant)
        assert store.cuts(tenant=tenant) == [requires("pandas", "numpy", 0.5)]
        assert store.revision(tenant=tenant) == revision

    def test_tenants_with_the_same_names_do_not_see_each_others_lessons(self, store: GraphStore, tenant: str) -> None:
        other = f"{tenant}-other"
        for one in (tenant, other):
            store.weave(PAGE, tenant=one)
            store.write_vectors({"pandas": vector(1, 0)}, model_id="m", tenant=one)
            store.put_progress([learned("ada", "pandas")], tenant=one)
            store.put_path(saved_path("tables", "pandas"), tenant=one)
        before = contents(store, other), store.nearest(vector(1, 0), model_id="m", tenant=other)
        assert store.learners("pandas", tenant=other) == {"completed": 1}
        store.retract("pandas.md", tenant=tenant)
        store.drop_path("tables", tenant=tenant)
        store.drop_progress("ada", "pandas", tenant=tenant)
        assert (contents(store, other), store.nearest(vector(1, 0), model_id="m", tenant=other)) == before
        assert store.counts(tenant=tenant) == GraphCounts(concepts=0, edges=0, documents=0)
        assert store.matching("pandas", tenant=tenant) == []
