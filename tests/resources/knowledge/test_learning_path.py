from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import NotFoundError
from resources.knowledge.learning_path import LearningPaths, validate
from resources.knowledge.memory import MemoryGraphStore
from resources.knowledge.model import Concept, Edge, EdgeType, LearningPath, PathWishes
from resources.knowledge.projection import GraphProjections
from tests.contracts.graph.given import extraction, requires, subject
from tests.resources.knowledge.strategies import prerequisite_edges

TENANT = "t"
EDGES = [
    requires("fastapi", "pydantic"),
    requires("fastapi", "starlette"),
    requires("pydantic", "typing-extensions"),
    requires("starlette", "anyio"),
    requires("anyio", "typing-extensions"),
    requires("pandas", "numpy"),
]


def store_of(edges: list[Edge], *more: Concept) -> MemoryGraphStore:
    names = sorted({end for edge in edges for end in (edge.source, edge.target)})
    store = MemoryGraphStore()
    concepts = {concept.id: concept for concept in (*(Concept(id=name, name=name) for name in names), *more)}
    store.weave(extraction("graph", concepts.values(), edges), tenant=TENANT)
    return store


def ids(path: LearningPath) -> list[str]:
    return [step.concept.id for step in path.steps]


@pytest.fixture
def store() -> MemoryGraphStore:
    return store_of(EDGES, subject("FastAPI"), Concept(id="graph-theory", name="Graph theory"))


@pytest.fixture
def paths(store: MemoryGraphStore) -> LearningPaths:
    return LearningPaths(GraphProjections(store))


def test_a_path_leads_through_all_prerequisites_to_the_goal(paths: LearningPaths) -> None:
    path = paths.plan("fastapi", tenant=TENANT)
    assert ids(path) == ["typing-extensions", "anyio", "pydantic", "starlette", "fastapi"]
    assert [step.order for step in path.steps] == [1, 2, 3, 4, 5]
    assert [step.level for step in path.steps] == [1, 2, 2, 3, 4]
    assert validate(path, EDGES) == []


def test_each_step_says_why_it_is_there(paths: LearningPaths) -> None:
    steps = paths.plan("fastapi", tenant=TENANT).steps
    assert [step.reason for step in steps] == [
        "needed by anyio, pydantic",
        "needed by starlette",
        "needed by FastAPI",
        "needed by FastAPI",
        "the goal",
    ]
    assert steps[-1].requires == ("pydantic", "starlette")


def test_a_reason_names_three_and_counts_the_rest() -> None:
    edges = [requires("goal", f"s{n}") for n in range(5)] + [requires(f"s{n}", "base") for n in range(5)]
    path = LearningPaths(GraphProjections(store_of(edges))).plan("goal", tenant=TENANT)
    assert path.steps[0].reason == "needed by s0, s1, s2 and 2 more"


def test_each_step_names_the_documents_most_about_it(store: MemoryGraphStore, paths: LearningPaths) -> None:
    for document, weight in (("little.md", 0.2), ("much.md", 0.8)):
        store.weave(extraction(document, [subject("anyio")], mentions={"anyio": weight}), tenant=TENANT)
    assert paths.plan("anyio", tenant=TENANT).steps[-1].documents == ("much.md", "little.md")


def test_the_source_and_what_it_requires_are_known(paths: LearningPaths) -> None:
    path = paths.plan("fastapi", source="starlette", tenant=TENANT)
    assert ids(path) == ["pydantic", "fastapi"]
    assert path.source == "starlette"
    assert path.notes == ()
    assert validate(path, EDGES) == []


def test_a_source_off_the_way_is_said_to_be_so(paths: LearningPaths) -> None:
    path = paths.plan("fastapi", source="pandas", tenant=TENANT)
    assert len(path.steps) == 5
    assert path.notes == ("pandas is not a prerequisite of FastAPI; the path starts from the beginning.",)


def test_what_only_a_known_concept_needs_is_left_out(paths: LearningPaths) -> None:
    path = paths.plan("fastapi", known={"starlette"}, tenant=TENANT)
    assert ids(path) == ["typing-extensions", "pydantic", "fastapi"]
    assert validate(path, EDGES, known={"starlette"}) == []


def test_a_goal_that_is_known_needs_no_steps(paths: LearningPaths) -> None:
    path = paths.plan("fastapi", known={"FastAPI"}, tenant=TENANT)
    assert path.steps == ()
    assert path.notes == ("FastAPI is known already.",)
    assert paths.plan("fastapi", source="fastapi", tenant=TENANT).steps == ()


def test_a_goal_without_prerequisites_is_one_step(paths: LearningPaths) -> None:
    assert ids(paths.plan("numpy", tenant=TENANT)) == ["numpy"]


@pytest.mark.parametrize("name", ["graph-theory", "Graph Theory", "GRAPH THEORY", "graph_theory", "theory"])
def test_a_concept_is_found_by_its_id_its_name_or_part_of_it(paths: LearningPaths, name: str) -> None:
    assert paths.plan(name, tenant=TENANT).target == "graph-theory"


def test_an_ambiguous_name_is_refused_with_suggestions(paths: LearningPaths) -> None:
    with pytest.raises(NotFoundError, match="Did you mean: anyio") as caught:
        paths.plan("y", tenant=TENANT)
    assert caught.value.code == "concept_ambiguous"
    assert "pydantic" in caught.value.details["suggestions"]


@pytest.mark.parametrize(
    "request_",
    [
        {"target": "fast api"},
        {"target": "numpy", "source": "fast api"},
        {"target": "numpy", "known": frozenset({"fast api"})},
    ],
)
def test_an_unknown_name_is_refused_with_suggestions(paths: LearningPaths, request_: dict[str, Any]) -> None:
    with pytest.raises(NotFoundError, match="Did you mean: fastapi") as caught:
        paths.plan(**request_, tenant=TENANT)
    assert caught.value.code == "concept_not_found"


@pytest.mark.parametrize("name", ["", "  ", "completely unlike anything"])
def test_a_name_like_nothing_is_refused(paths: LearningPaths, name: str) -> None:
    with pytest.raises(NotFoundError, match="Ingest documents"):
        paths.plan(name, tenant=TENANT)


def test_concepts_of_another_tenant_are_unknown(paths: LearningPaths) -> None:
    with pytest.raises(NotFoundError):
        paths.plan("fastapi", tenant="other")


def test_the_weakest_edge_of_a_cycle_is_left_out_and_named() -> None:
    edges = [requires("a", "b", 0.9), requires("b", "c", 0.8), requires("c", "a", 0.2)]
    path = LearningPaths(GraphProjections(store_of(edges))).plan("a", tenant=TENANT)
    assert ids(path) == ["c", "b", "a"]
    assert path.cut_edges == (requires("c", "a", 0.2),)
    assert validate(path, edges) == []


@given(
    edges=prerequisite_edges().filter(bool),
    data=st.data(),
)
def test_every_prerequisite_comes_before_what_needs_it(edges: list[Edge], data: st.DataObject) -> None:
    concepts = sorted({end for edge in edges for end in (edge.source, edge.target)})
    target = data.draw(st.sampled_from(concepts))
    source = data.draw(st.none() | st.sampled_from(concepts))
    known = data.draw(st.frozensets(st.sampled_from(concepts), max_size=2))
    path = LearningPaths(GraphProjections(store_of(edges))).plan(target, source=source, known=known, tenant=TENANT)

    assert validate(path, edges, known=known) == []
    assert not known & set(ids(path))
    place = {step.concept.id: step for step in path.steps}
    for step in path.steps:
        for before in step.requires:
            assert place[before].order < step.order
            assert place[before].level < step.level
    if path.steps:
        assert path.steps[-1].concept.id == target


def test_validation_names_what_is_wrong(paths: LearningPaths) -> None:
    path = paths.plan("fastapi", tenant=TENANT)
    first, *others = path.steps
    broken = path.model_copy(update={"steps": (*others, first, first)})
    messages = validate(broken, EDGES)
    assert "'typing-extensions' is there twice, as steps 5 and 6." in messages
    assert "'anyio' comes before 'typing-extensions', which it requires." in messages
    assert "Step 1, 'anyio', says that it is number 2." in messages


def test_validation_misses_a_prerequisite_that_is_neither_a_step_nor_known(paths: LearningPaths) -> None:
    path = paths.plan("fastapi", tenant=TENANT)
    shorter = path.model_copy(update={"steps": path.steps[1:]})
    assert "'anyio' requires 'typing-extensions', which is neither a step nor known." in validate(shorter, EDGES)
    empty = path.model_copy(update={"steps": ()})
    assert validate(empty, EDGES) == ["The target 'fastapi' is not on the path."]


WISHES = st.builds(
    PathWishes,
    max_steps=st.none() | st.integers(1, 6),
    max_minutes=st.none() | st.integers(1, 400),
    max_difficulty=st.sampled_from([None, "beginner", "intermediate", "advanced"]),
    prefer=st.sampled_from([(), ("x",)]),
    avoid=st.sampled_from([(), ("y",)]),
    optional=st.integers(0, 3),
    style=st.sampled_from(["breadth", "depth", "easy"]),
    alternatives=st.integers(0, 3),
)
LEVEL = {"beginner": 1, None: 2, "intermediate": 2, "advanced": 3, "expert": 4}


@given(edges=prerequisite_edges().filter(bool), wishes=WISHES, data=st.data())
def test_whatever_is_wished_a_path_is_closed_repeats_nothing_and_keeps_its_limits(
    edges: list[Edge], wishes: PathWishes, data: st.DataObject
) -> None:
    names = sorted({end for edge in edges for end in (edge.source, edge.target)})
    levels = st.sampled_from([None, "beginner", "advanced", "expert"])
    concepts = [
        Concept(
            id=name,
            name=name,
            difficulty=data.draw(levels),
            category=data.draw(st.sampled_from([None, "x", "y"])),
            minutes=data.draw(st.none() | st.integers(0, 90)),
        )
        for name in names
    ]
    related = [
        Edge(source=one, target=other, type=EdgeType.RELATED_TO)
        for one, other in data.draw(st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=4))
        if one != other
    ]
    store = MemoryGraphStore()
    store.weave(extraction("graph", concepts, [*edges, *dict.fromkeys(related)]), tenant=TENANT)
    target = data.draw(st.sampled_from(names))
    known = data.draw(st.frozensets(st.sampled_from(names), max_size=2))
    path = LearningPaths(GraphProjections(store)).plan(target, known=known, wishes=wishes, tenant=TENANT)

    assert validate(path, edges, known=known) == []
    assert len(set(ids(path))) == len(path.steps)
    assert not known & set(ids(path))
    assert path.complete == (target in known or target in ids(path))
    assert path.complete == (not path.left_out)
    assert wishes.max_steps is None or len(path.steps) <= wishes.max_steps
    assert wishes.max_minutes is None or path.minutes <= wishes.max_minutes
    assert path.minutes == sum(step.minutes for step in path.steps)
    for step in path.steps:
        assert wishes.max_difficulty is None or LEVEL[step.concept.difficulty] <= LEVEL[wishes.max_difficulty]
        assert step.concept.category not in wishes.avoid or step.concept.id == target
        assert not set(step.substitutes) & (set(ids(path)) | known)
    assert sum(step.optional for step in path.steps) <= wishes.optional
    assert not any(step.optional for step in path.steps[-1:])
    for other in path.alternatives:
        skipped = {(edge.source, edge.target) for edge in (*other.presumes, *path.cut_edges)}
        place = {name: number for number, name in enumerate(other.steps)}
        for edge in edges:
            if edge.source in place and (edge.source, edge.target) not in skipped and edge.target not in known:
                assert place[edge.target] < place[edge.source]


def test_a_limit_leaves_out_what_does_not_fit_and_what_needs_it_and_says_why() -> None:
    hard = Concept(id="starlette", name="starlette", difficulty="expert")
    path = LearningPaths(GraphProjections(store_of(EDGES, hard))).plan(
        "fastapi", wishes=PathWishes(max_difficulty="advanced"), tenant=TENANT
    )
    assert ids(path) == ["typing-extensions", "anyio", "pydantic"]
    assert not path.complete
    assert [(one.concept, one.reason) for one in path.left_out] == [
        ("starlette", "is harder than advanced"),
        ("fastapi", "needs starlette, which is left out"),
    ]
    assert path.notes == ("Within these limits the path does not reach fastapi.",)


def test_styles_order_what_is_free() -> None:
    edges = [requires("goal", "a2"), requires("a2", "a1"), requires("goal", "b2"), requires("b2", "b1")]
    easy = Concept(id="b1", name="b1", difficulty="beginner"), Concept(id="b2", name="b2", difficulty="beginner")
    paths = LearningPaths(GraphProjections(store_of(edges, *easy)))

    def ordered(**wishes: Any) -> list[str]:
        return ids(paths.plan("goal", wishes=PathWishes(**wishes), tenant=TENANT))

    assert ordered(style="breadth") == ["a1", "b1", "a2", "b2", "goal"]
    assert ordered(style="depth") == ["a1", "a2", "b1", "b2", "goal"]
    assert ordered(style="easy") == ["b1", "b2", "a1", "a2", "goal"]


def test_an_alternative_does_without_the_weakest_prerequisite_and_names_it() -> None:
    edges = [requires("goal", "sure", 0.9), requires("goal", "vague", 0.3), requires("vague", "base", 0.8)]
    path = LearningPaths(GraphProjections(store_of(edges))).plan(
        "goal", wishes=PathWishes(alternatives=1), tenant=TENANT
    )
    (other,) = path.alternatives
    assert other.steps == ("sure", "goal")
    assert other.presumes == (requires("goal", "vague", 0.3),)


def test_what_is_learned_in_part_takes_the_rest_of_its_time() -> None:
    whole = Concept(id="numpy", name="numpy", minutes=60)
    paths = LearningPaths(GraphProjections(store_of(EDGES, whole)))
    path = paths.plan("pandas", done={"numpy": 0.75, "gone": 1.0}, tenant=TENANT)
    assert [step.minutes for step in path.steps] == [15, 60]
    assert ids(paths.plan("pandas", done={"numpy": 1.0}, tenant=TENANT)) == ["pandas"]


def test_optional_concepts_stand_before_the_goal_and_say_what_they_are_related_to() -> None:
    related = Edge(source="numpy", target="scipy", type=EdgeType.RELATED_TO)
    path = LearningPaths(GraphProjections(store_of([*EDGES, related]))).plan(
        "pandas", wishes=PathWishes(optional=2), tenant=TENANT
    )
    assert ids(path) == ["numpy", "scipy", "pandas"]
    assert path.steps[1].reason == "optional: related to numpy"
