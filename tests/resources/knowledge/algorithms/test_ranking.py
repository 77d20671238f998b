from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.knowledge.algorithms.ranking import pagerank
from resources.knowledge.model import Edge, EdgeType
from resources.knowledge.view import GraphView
from tests.contracts.graph.given import related, requires, topic
from tests.resources.knowledge.strategies import NAMES, WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Iterable

ALL_EDGES = st.lists(
    st.builds(
        Edge,
        source=st.sampled_from(NAMES),
        target=st.sampled_from(NAMES),
        type=st.sampled_from(EdgeType),
        weight=WEIGHTS,
    ).filter(lambda edge: edge.source != edge.target),
    max_size=15,
)


def ranked(names: Iterable[str], edges: Iterable[Edge], **how: Any) -> dict[str, float]:
    view = GraphView.of([topic(name) for name in names], edges)
    return dict(zip(view.ids, pagerank(view, **how).tolist(), strict=True))


def as_networkx(edges: Iterable[Edge]) -> nx.MultiDiGraph:
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(NAMES)
    for edge in edges:
        graph.add_edge(edge.source, edge.target, weight=edge.weight)
        if edge.type is EdgeType.RELATED_TO:
            graph.add_edge(edge.target, edge.source, weight=edge.weight)
    return graph


@given(edges=ALL_EDGES, seeds=st.dictionaries(st.sampled_from(NAMES), WEIGHTS, min_size=1))
def test_personal_ranks_are_those_of_networkx(edges: list[Edge], seeds: dict[str, float]) -> None:
    expected = nx.pagerank(as_networkx(edges), alpha=0.85, personalization=seeds, tol=1e-9, max_iter=500)
    assert ranked(NAMES, edges, seeds=seeds) == pytest.approx(expected, abs=1e-5)


def test_nobody_knows_the_seeds() -> None:
    assert ranked("ab", [requires("a", "b")], seeds={"x": 1.0}) == {"a": 0.0, "b": 0.0}


def test_attention_flows_back_when_it_may() -> None:
    edges = [requires("a", "b")]
    assert ranked("ab", edges, seeds={"b": 1.0})["a"] == 0
    assert ranked("ab", edges, seeds={"b": 1.0}, both_ways=True)["a"] > 0


@given(edges=ALL_EDGES)
def test_ranks_are_those_of_networkx(edges: list[Edge]) -> None:
    expected = nx.pagerank(as_networkx(edges), alpha=0.85, tol=1e-9, max_iter=500)
    assert ranked(NAMES, edges) == pytest.approx(expected, abs=1e-5)


@given(edges=ALL_EDGES)
def test_ranks_add_up_to_one(edges: list[Edge]) -> None:
    assert sum(ranked(NAMES, edges).values()) == pytest.approx(1)


def test_what_many_require_ranks_first() -> None:
    ranks = ranked("abcd", [requires("a", "d"), requires("b", "d"), requires("c", "b")])
    assert max(ranks, key=ranks.__getitem__) == "d"


def test_related_concepts_gain_alike() -> None:
    ranks = ranked("ab", [related("a", "b", 0.3)])
    assert ranks["a"] == pytest.approx(ranks["b"])


def test_concepts_without_edges_share_alike() -> None:
    assert ranked("ab", []) == pytest.approx({"a": 0.5, "b": 0.5})


def test_no_concepts_have_no_ranks() -> None:
    assert ranked([], []) == {}


def test_edges_to_the_outside_are_ignored() -> None:
    assert ranked("a", [requires("a", "outside")]) == pytest.approx({"a": 1.0})


def test_a_long_chain_converges() -> None:
    names = [f"c{n}" for n in range(2000)]
    ranks = ranked(names, [requires(a, b) for a, b in pairwise(names)])
    assert sum(ranks.values()) == pytest.approx(1)
