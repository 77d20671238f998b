from __future__ import annotations

import pytest

from resources.errors import NotFoundError
from resources.knowledge.memory import MemoryGraphStore
from resources.knowledge.model import Concept, Edge, EdgeType
from resources.knowledge.projection import GraphProjections
from resources.knowledge.questions import GraphQuestions
from tests.contracts.graph.given import extraction, merge, related, requires, topic

CONCEPTS = [
    Concept(id="sets", name="Sets", difficulty="beginner", category="maths", tags=("basic",), quality=0.9, minutes=20),
    Concept(id="logic", name="Logic", difficulty="beginner", category="maths", quality=0.4, minutes=10),
    Concept(id="graphs", name="Graphs", difficulty="intermediate", category="maths", tags=("basic",), quality=0.8),
    Concept(id="trees", name="Trees", difficulty="advanced", category="computing", description="Graphs without cycles"),
    Concept(id="proofs", name="Proofs", difficulty="expert", category="maths"),
    Concept(id="island", name="Island"),
]
EDGES = [
    requires("graphs", "sets"),
    requires("trees", "graphs", 0.9),
    related("proofs", "trees", 0.4),
    requires("proofs", "logic"),
    requires("logic", "sets", 0.6),
    Edge(source="trees", target="graphs", type=EdgeType.PART_OF, weight=0.5),
]


@pytest.fixture
def asked() -> GraphQuestions:
    store = MemoryGraphStore()
    store.weave(extraction("1", CONCEPTS, EDGES), tenant="t")
    store.put_merge(merge("tree-structure", "trees"), tenant="t")
    store.weave(extraction("other", [topic("sets"), topic("secret")], [related("secret", "sets")]), tenant="other")
    return GraphQuestions(GraphProjections(store))


def test_concepts_are_found_by_name_description_and_attributes(asked: GraphQuestions) -> None:
    assert {one.id for one in asked.concepts("graphs", tenant="t").concepts} == {"graphs", "trees"}
    assert {one.id for one in asked.concepts(tenant="t", tags=["basic"]).concepts} == {"sets", "graphs"}
    assert [one.id for one in asked.concepts(tenant="t", categories=["computing"]).concepts] == ["trees"]
    assert {one.id for one in asked.concepts(tenant="t", min_quality=0.5).concepts} == {"sets", "graphs"}
    page = asked.concepts(tenant="t", difficulties=["beginner"], limit=1, offset=1)
    assert (len(page.concepts), page.total) == (1, 2)


def test_ranking_begins_with_what_many_require(asked: GraphQuestions) -> None:
    assert asked.ranking(tenant="t")[0].concept.id == "sets"


def test_ranking_from_seeds_leaves_them_out_and_begins_near_them(asked: GraphQuestions) -> None:
    ranked = [one.concept.id for one in asked.ranking(tenant="t", seeds={"Logic": 1.0})]
    assert set(ranked[:2]) == {"sets", "proofs"}
    assert "logic" not in ranked
    assert "island" not in ranked


def test_neighbours_are_told_by_distance_and_strength(asked: GraphQuestions) -> None:
    near = asked.neighbours("trees", tenant="t", depth=2)
    assert [(one.concept.id, one.distance, one.strength) for one in near] == [
        ("graphs", 1, 0.9),
        ("proofs", 1, 0.4),
        ("sets", 2, 0.9),
        ("logic", 2, 0.4),
    ]
    assert [one.concept.id for one in asked.neighbours("trees", tenant="t", types=[EdgeType.RELATED_TO])] == ["proofs"]
    assert [one.concept.id for one in asked.neighbours("trees", tenant="t", min_weight=0.8)] == ["graphs", "sets"]


@pytest.mark.parametrize("algorithm", ["dijkstra", "astar", "bfs"])
def test_ways_are_found_with_alternatives_and_what_is_hard_on_them(asked: GraphQuestions, algorithm: str) -> None:
    answer = asked.ways("Sets", "proofs", tenant="t", algorithm=algorithm, count=3)  # type: ignore[arg-type]
    assert [[one.id for one in way.concepts] for way in answer.ways] == [
        ["sets", "logic", "proofs"],
        ["sets", "graphs", "trees", "proofs"],
    ]
    assert answer.ways[0].bottlenecks == ("logic", "proofs")
    assert answer.ways[0].minutes == 30
    assert answer.ways[0].cost < answer.ways[1].cost


def test_a_way_that_does_not_exist_is_an_empty_answer(asked: GraphQuestions) -> None:
    assert asked.ways("sets", "island", tenant="t", count=3).ways == ()
    assert asked.ways("sets", "proofs", tenant="t", max_cost=0.5).ways == ()
    assert asked.ways("sets", "proofs", tenant="t", difficulties=["expert"]).ways == ()


def test_the_way_to_itself_costs_nothing(asked: GraphQuestions) -> None:
    (way,) = asked.ways("sets", "sets", tenant="t", count=3).ways
    assert (way.cost, len(way.concepts)) == (0, 1)


def test_similar_concepts_share_company_or_attributes(asked: GraphQuestions) -> None:
    assert {one.concept.id for one in asked.similar("graphs", tenant="t")} >= {"logic"}
    alike = asked.similar("sets", tenant="t", by="attributes")
    assert alike[0].concept.id == "graphs"
    assert alike[0].score == pytest.approx(0.4 + 0.3)
    assert "island" not in {one.concept.id for one in alike}


def test_the_structure_tells_parts_cycles_and_levels(asked: GraphQuestions) -> None:
    answer = asked.structure(tenant="t")
    assert (answer.components, answer.component_count) == ((5, 1), 2)
    assert answer.levels == (2, 2, 2)
    assert answer.cycles == ()
    assert answer.cut == ()


def test_communities_and_spanning_concepts_name_concepts(asked: GraphQuestions) -> None:
    groups = asked.communities(tenant="t").communities
    assert sum(group.size for group in groups) == len(CONCEPTS)
    spanned = asked.spanning("graphs", tenant="t")
    assert spanned.size == 5
    assert spanned.concepts[-1].score == pytest.approx(1)
    assert len(spanned.tree) == 4


def test_a_merged_name_still_finds_its_concept(asked: GraphQuestions) -> None:
    assert asked.neighbours("Tree structure", tenant="t", depth=1)[0].concept.id == "graphs"


def test_an_unknown_name_is_not_found_with_suggestions(asked: GraphQuestions) -> None:
    with pytest.raises(NotFoundError) as caught:
        asked.neighbours("logics of", tenant="t")
    assert caught.value.code == "concept_not_found"


def test_another_tenants_concepts_of_the_same_name_are_others(asked: GraphQuestions) -> None:
    assert [one.concept.id for one in asked.neighbours("sets", tenant="other")] == ["secret"]
    with pytest.raises(NotFoundError):
        asked.neighbours("graphs", tenant="other")


def test_a_graph_with_loops_and_cycles_is_answered() -> None:
    store = MemoryGraphStore()
    ring = [requires("a", "b", 0.9), requires("b", "c", 0.2), requires("c", "a", 0.5)]
    store.weave(extraction("1", [topic("a"), topic("b"), topic("c")], ring), tenant="t")
    answer = GraphQuestions(GraphProjections(store)).structure(tenant="t")
    assert answer.cycles == (("a", "b", "c"),)
    assert [(edge.source, edge.target) for edge in answer.cut] == [("b", "c")]


def test_an_empty_graph_is_answered() -> None:
    asked = GraphQuestions(GraphProjections(MemoryGraphStore()))
    assert asked.ranking(tenant="t") == []
    assert asked.communities(tenant="t").communities == ()
    assert asked.structure(tenant="t").levels == ()
    assert asked.concepts(tenant="t").total == 0


def test_a_hub_of_a_hundred_thousand_edges_is_answered() -> None:
    from resources.knowledge.state import GraphState

    class Hub(MemoryGraphStore):
        def revision(self, *, tenant: str) -> int:
            return len(tenant)

        def state(self, *, tenant: str) -> GraphState:
            plain = Concept(id="hub", name="Hub")
            ids = [f"s{number:06}" for number in range(100_000)]
            words = plain.model_dump()
            concepts = {key: Concept.model_construct(**words | {"id": key, "name": key}) for key in ids}
            edges = {(key, "hub", EdgeType.REQUIRES): 1.0 for key in ids}
            return GraphState(len(tenant), concepts | {"hub": plain}, edges)

    asked = GraphQuestions(GraphProjections(Hub()))
    assert asked.structure(tenant="t").levels == (1, 100_000)
    assert asked.ranking(tenant="t", limit=1)[0].concept.id == "hub"
    assert len(asked.ways("s000001", "s099999", tenant="t", count=2).ways) == 1
    assert len(asked.neighbours("hub", tenant="t", limit=5)) == 5
