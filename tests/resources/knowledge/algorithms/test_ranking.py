from __future__ import annotations

from itertools import pairwise

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.knowledge.algorithms.ranking import pagerank
from resources.knowledge.model import Edge, EdgeType
from tests.contracts.graph_store import related, requires
from tests.resources.knowledge.strategies import NAMES, WEIGHTS

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


@given(edges=ALL_EDGES)
def test_ranks_are_those_of_networkx(edges: list[Edge]) -> None:
    graph = nx.MultiDiGraph()
    graph.add_nodes_from(NAMES)
    for edge in edges:
        graph.add_edge(edge.source, edge.target, weight=edge.weight)
        if edge.type is EdgeType.RELATED_TO:
            graph.add_edge(edge.target, edge.source, weight=edge.weight)
    expected = nx.pagerank(graph, alpha=0.85, tol=1e-9, max_iter=500)
    assert pagerank(NAMES, edges) == pytest.approx(expected, abs=1e-5)


@given(edges=ALL_EDGES)
def test_ranks_add_up_to_one(edges: list[Edge]) -> None:
    assert sum(pagerank(NAMES, edges).values()) == pytest.approx(1)


def test_what_many_require_ranks_first() -> None:
    ranks = pagerank("abcd", [requires("a", "d"), requires("b", "d"), requires("c", "b")])
    assert max(ranks, key=ranks.__getitem__) == "d"


def test_related_concepts_gain_alike() -> None:
    ranks = pagerank("ab", [related("a", "b", 0.3)])
    assert ranks["a"] == pytest.approx(ranks["b"])


def test_concepts_without_edges_share_alike() -> None:
    assert pagerank("ab", []) == pytest.approx({"a": 0.5, "b": 0.5})


def test_no_concepts_have_no_ranks() -> None:
    assert pagerank([], []) == {}


def test_edges_to_the_outside_are_ignored() -> None:
    assert pagerank("a", [requires("a", "outside")]) == pytest.approx({"a": 1.0})


def test_a_long_chain_converges() -> None:
    names = [f"c{n}" for n in range(2000)]
    ranks = pagerank(names, [requires(a, b) for a, b in pairwise(names)])
    assert sum(ranks.values()) == pytest.approx(1)
