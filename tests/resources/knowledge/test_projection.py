"""The resident graph follows the store's: incrementally where it can, and anew where it must."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import LimitExceededError
from resources.knowledge.changelog import MAX_CHANGES
from resources.knowledge.memory import MemoryGraphStore
from resources.knowledge.projection import GraphProjections
from resources.knowledge.view import KINDS, GraphView
from tests.contracts.graph.given import NUMPY, PANDAS, extraction, related, requires, topic
from tests.resources.knowledge.strategies import changes

if TYPE_CHECKING:
    from resources.knowledge.store import GraphStore
    from tests.resources.knowledge.strategies import Decide, Retract, Weave


def told(view: GraphView) -> object:
    """All that a view says."""
    rows = zip(view.sources.tolist(), view.targets.tolist(), view.kinds.tolist(), view.weights.tolist(), strict=True)
    edges = {(view.ids[source], view.ids[target], KINDS[kind]): weight for source, target, kind, weight in rows}
    return view.concepts, edges, view.mentions, view.aliases, view.revision


def anew(store: GraphStore, tenant: str = "t") -> GraphView:
    return GraphProjections(store).view(tenant)


@given(history=st.lists(changes(), max_size=10))
def test_following_each_change_equals_reading_the_graph_anew(history: list[Weave | Retract | Decide]) -> None:
    store = MemoryGraphStore()
    projections = GraphProjections(store)
    projections.view("t")
    for change in history:
        change.apply(store, "t")
        assert told(projections.view("t")) == told(anew(store))
    assert projections.counts().loads == 1


def test_an_unchanged_graph_is_the_same_view() -> None:
    store = MemoryGraphStore()
    store.weave(PANDAS, tenant="t")
    projections = GraphProjections(store)
    assert projections.view("t") is projections.view("t")


def test_a_former_view_stays_as_it_was() -> None:
    store = MemoryGraphStore()
    store.weave(PANDAS, tenant="t")
    projections = GraphProjections(store)
    former = projections.view("t")
    before = told(former)
    store.retract("pandas.md", tenant="t")
    assert len(projections.view("t")) == 0
    assert told(former) == before


def test_tenants_have_graphs_of_their_own() -> None:
    store = MemoryGraphStore()
    store.weave(PANDAS, tenant="one")
    store.weave(NUMPY, tenant="two")
    projections = GraphProjections(store)
    assert projections.view("one").ids == ("data-frame", "numpy", "pandas")
    assert projections.view("two").ids == ("array", "data-frame", "numpy")
    assert projections.view("two").concepts[2] == NUMPY.concepts[0]
    assert projections.view("three").ids == ()


def test_more_changes_than_are_kept_are_read_anew() -> None:
    store = MemoryGraphStore()
    projections = GraphProjections(store)
    projections.view("t")
    for number in range(MAX_CHANGES + 1):
        store.weave(extraction("1", [topic(f"c {number}")]), tenant="t")
    assert told(projections.view("t")) == told(anew(store))
    assert projections.counts().loads == 2


def test_a_change_too_large_to_be_told_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.knowledge.changelog.MAX_TOUCHED", 10)
    store = MemoryGraphStore()
    projections = GraphProjections(store)
    projections.view("t")
    store.weave(extraction("hub", [topic(f"spoke {number}") for number in range(11)]), tenant="t")
    assert len(projections.view("t")) == 11
    assert projections.counts().loads == 2


def test_a_store_that_was_emptied_is_read_anew() -> None:
    full, empty = MemoryGraphStore(), MemoryGraphStore()
    full.weave(PANDAS, tenant="t")
    projections = GraphProjections(full)
    projections.view("t")
    projections._store = empty
    assert len(projections.view("t")) == 0


def test_the_graph_that_was_not_asked_for_longest_is_let_go() -> None:
    store = MemoryGraphStore()
    for tenant in ("one", "two", "three"):
        store.weave(PANDAS, tenant=tenant)
    size = len(PANDAS.concepts) + len(PANDAS.edges) + len(PANDAS.mentions)
    projections = GraphProjections(store, max_items=2 * size)
    for tenant in ("one", "two", "one", "three"):
        projections.view(tenant)
    assert (projections.counts().tenants, projections.counts().items) == (2, 2 * size)
    assert projections.counts().loads == 3
    projections.view("one")
    assert projections.counts().loads == 3
    projections.view("two")
    assert projections.counts().loads == 4


def test_a_graph_larger_than_the_bound_is_refused() -> None:
    store = MemoryGraphStore()
    store.weave(PANDAS, tenant="t")
    with pytest.raises(LimitExceededError) as caught:
        GraphProjections(store, max_items=3).view("t")
    assert caught.value.code == "graph_too_large"


def test_many_threads_ask_while_the_graph_changes() -> None:
    store = MemoryGraphStore()
    projections = GraphProjections(store)

    def ask(number: int) -> None:
        store.weave(extraction(f"{number}", [topic("a"), topic(f"b {number}")]), tenant="t")
        assert f"b-{number}" in projections.view("t").place

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(40)))
    assert told(projections.view("t")) == told(anew(store))


def test_edges_to_what_is_not_there_are_left_out() -> None:
    view = GraphView.of([topic("a"), topic("b")], [related("a", "b"), requires("a", "x")])
    assert len(view.sources) == 1
