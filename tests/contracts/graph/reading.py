"""A graph store tells what is in it, who says so, and what has changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from resources.errors import NotFoundError
from resources.knowledge.model import (
    Concept,
    Edge,
    EdgeType,
    GraphCounts,
)
from resources.knowledge.state import Changes, Scores
from tests.contracts.graph.given import (
    NUMPY,
    PANDAS,
    extraction,
    requires,
    topic,
    vector,
)

if TYPE_CHECKING:
    from resources.knowledge.store import GraphStore


class ReadingContract:
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

    def test_documents_are_named_most_about_the_concept_first(self, store: GraphStore, tenant: str) -> None:
        for document, weight in (("little", 0.1), ("much", 0.9), ("some", 0.5)):
            store.weave(extraction(document, [topic("x")], mentions={"x": weight}), tenant=tenant)
        store.weave(extraction("named-only", [topic("x")]), tenant=tenant)
        assert store.documents_of(["x", "y"], tenant=tenant) == {"x": ["much", "some", "little"], "y": []}

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
