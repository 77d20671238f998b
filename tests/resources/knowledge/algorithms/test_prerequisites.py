from __future__ import annotations

from typing import TYPE_CHECKING

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.knowledge.algorithms.prerequisites import closure, cycles, levels, without_cycles
from tests.contracts.graph.given import requires
from tests.resources.knowledge.strategies import prerequisite_edges

if TYPE_CHECKING:
    from resources.knowledge.model import Edge


def as_networkx(edges: list[Edge]) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_edges_from((edge.source, edge.target) for edge in edges)
    return graph


def test_a_closure_holds_what_is_required_indirectly() -> None:
    edges = [requires("a", "b"), requires("b", "c"), requires("x", "c")]
    assert closure(["a"], edges) == {"a", "b", "c"}


def test_a_closure_does_not_look_behind_what_is_known() -> None:
    edges = [requires("a", "b"), requires("b", "c"), requires("a", "d")]
    assert closure(["a"], edges, known={"b"}) == {"a", "d"}


@given(edges=prerequisite_edges())
def test_a_closure_is_what_networkx_finds(edges: list[Edge]) -> None:
    graph = as_networkx(edges)
    for concept in graph:
        assert closure([concept], edges) == nx.descendants(graph, concept) | {concept}


@given(edges=prerequisite_edges())
def test_cycles_are_what_networkx_finds(edges: list[Edge]) -> None:
    groups = nx.strongly_connected_components(as_networkx(edges))
    assert cycles(edges) == sorted(sorted(group) for group in groups if len(group) > 1)


def test_a_concept_that_requires_itself_is_a_cycle_and_is_cut() -> None:
    assert cycles([requires("a", "a"), requires("a", "b")]) == [["a"]]
    assert without_cycles([requires("a", "a"), requires("a", "b")]) == ([requires("a", "b")], [requires("a", "a")])


def test_the_weakest_edge_of_a_cycle_is_cut() -> None:
    edges = [requires("a", "b", 0.9), requires("b", "c", 0.2), requires("c", "a", 0.5), requires("x", "a", 0.1)]
    assert without_cycles(edges)[1] == [requires("b", "c", 0.2)]


@given(edges=prerequisite_edges(), data=st.data())
def test_cutting_leaves_no_cycle_takes_no_more_than_needed_and_ignores_order(
    edges: list[Edge], data: st.DataObject
) -> None:
    kept, cut = without_cycles(edges)
    assert sorted(map(str, kept + cut)) == sorted(map(str, edges))
    assert nx.is_directed_acyclic_graph(as_networkx(kept))
    for edge in cut:
        graph = as_networkx([other for other in kept if other.weight >= edge.weight])
        assert nx.has_path(graph, edge.target, edge.source)
    assert without_cycles(data.draw(st.permutations(edges))) == (kept, cut)


@given(edges=prerequisite_edges())
def test_levels_are_the_generations_of_networkx(edges: list[Edge]) -> None:
    kept, _ = without_cycles(edges)
    graph = as_networkx(kept).reverse()
    assert levels(graph, kept) == [sorted(generation) for generation in nx.topological_generations(graph)]


def test_levels_of_a_cycle_are_refused() -> None:
    with pytest.raises(ValueError, match="require each other: a, b"):
        levels(["a", "b", "c"], [requires("a", "b"), requires("b", "a")])


def test_concepts_without_edges_are_of_the_first_level() -> None:
    assert levels(["b", "a"], [requires("a", "elsewhere")]) == [["a", "b"]]


def test_ten_thousand_concepts_in_one_cycle_are_cut_once() -> None:
    size = 10_000
    edges = [requires(f"c{n}", f"c{(n + 1) % size}", 0.5 if n else 0.1) for n in range(size)]
    kept, cut = without_cycles(edges)
    assert cut == [requires("c0", "c1", 0.1)]
    assert len(levels([edge.source for edge in edges], kept)) == size
