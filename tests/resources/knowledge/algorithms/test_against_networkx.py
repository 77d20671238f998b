"""What the algorithms find is what networkx finds, on random graphs with loops, cycles and parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.knowledge.algorithms.centrality import centralities, degree
from resources.knowledge.algorithms.communities import communities
from resources.knowledge.algorithms.paths import alternatives, cost_of, distances, shortest
from resources.knowledge.algorithms.similarity import by_company
from resources.knowledge.algorithms.spanning import spanning
from resources.knowledge.algorithms.structure import components, cycles, order, strong_components
from resources.knowledge.model import Concept, Edge, EdgeType
from resources.knowledge.view import GraphView

if TYPE_CHECKING:
    from resources.knowledge.model import Difficulty

LEVELS: tuple[Difficulty | None, ...] = ("beginner", "intermediate", "advanced", "expert", None)
SIZE = 9
FEW = settings(max_examples=25)


@st.composite
def views(draw: st.DrawFn) -> GraphView:
    size = draw(st.integers(1, SIZE))
    names = [f"c{number}" for number in range(size)]
    concepts = [
        Concept(
            id=name,
            name=name,
            difficulty=draw(st.sampled_from(LEVELS)),
            category=draw(st.sampled_from(["x", "y", None])),
        )
        for name in names
    ]
    edges = draw(
        st.lists(
            st.builds(
                Edge,
                source=st.sampled_from(names),
                target=st.sampled_from(names),
                type=st.sampled_from(EdgeType),
                weight=st.floats(0.05, 1.0),
            ),
            max_size=22,
            unique_by=lambda edge: (edge.source, edge.target, edge.type),
        )
    )
    return GraphView.of(concepts, edges)


def undirected(view: GraphView) -> nx.Graph:
    """The graph as networkx has it, with costs and weights."""
    graph = nx.Graph()
    graph.add_nodes_from(range(len(view)))
    for source, target, weight in zip(view.sources.tolist(), view.targets.tolist(), view.weights.tolist(), strict=True):
        if source != target:
            best = max(weight, graph.get_edge_data(source, target, {"weight": 0})["weight"])
            leap = abs(int(view.levels[source]) - int(view.levels[target]))
            graph.add_edge(source, target, weight=best, cost=2 - best + leap)
    return graph


def prerequisites(view: GraphView) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(view)))
    place = view.place
    graph.add_edges_from((place[edge.source], place[edge.target]) for edge in view.prerequisite_edges())
    return graph


@FEW
@given(view=views())
def test_shortest_ways_cost_what_they_cost_there(view: GraphView) -> None:
    graph = undirected(view)
    for start in range(len(view)):
        expected = nx.single_source_dijkstra_path_length(graph, start, weight="cost")
        found = distances(view, start)
        for goal in range(len(view)):
            dijkstra = shortest(view, start, goal)
            astar = shortest(view, start, goal, algorithm="astar")
            bfs = shortest(view, start, goal, algorithm="bfs")
            if goal not in expected:
                assert dijkstra is astar is bfs is None
                assert np.isinf(found[goal])
                continue
            assert dijkstra is not None
            assert astar is not None
            assert bfs is not None
            assert dijkstra.cost == pytest.approx(expected[goal]) == pytest.approx(found[goal])
            assert astar.cost == pytest.approx(expected[goal])
            assert len(bfs.places) - 1 == nx.shortest_path_length(graph, start, goal)
            assert dijkstra.cost == pytest.approx(cost_of(view, dijkstra.places))


@FEW
@given(view=views(), count=st.integers(1, 6))
def test_alternatives_are_the_cheapest_simple_ways(view: GraphView, count: int) -> None:
    graph = undirected(view)
    for goal in range(1, len(view)):
        found = alternatives(view, 0, goal, count=count)
        if not nx.has_path(graph, 0, goal):
            assert found == []
            continue
        costs = sorted(nx.path_weight(graph, way, "cost") for way in nx.all_simple_paths(graph, 0, goal))
        assert [way.cost for way in found] == pytest.approx(costs[:count])
        assert len({way.places for way in found}) == len(found)


@FEW
@given(view=views())
def test_ways_go_only_over_what_is_allowed(view: GraphView) -> None:
    allowed = np.arange(len(view)) % 2 == 0
    graph = undirected(view)
    for goal in range(1, len(view)):
        part = graph.subgraph({0, goal} | set(np.flatnonzero(allowed).tolist()))
        way = shortest(view, 0, goal, allowed=allowed)
        others = alternatives(view, 0, goal, count=2, allowed=allowed)
        if not nx.has_path(part, 0, goal):
            assert way is None
            assert others == []
            continue
        assert way is not None
        assert way.cost == pytest.approx(nx.dijkstra_path_length(part, 0, goal, weight="cost"))
        assert others[0].cost == pytest.approx(way.cost)


@FEW
@given(view=views())
def test_components_and_cycles_are_those(view: GraphView) -> None:
    assert sorted(components(view)) == sorted(sorted(part) for part in nx.connected_components(undirected(view)))
    graph = prerequisites(view)
    groups = sorted(sorted(part) for part in nx.strongly_connected_components(graph))
    assert sorted(strong_components(view)) == groups
    looped = set(nx.nodes_with_selfloops(graph))
    assert sorted(cycles(view)) == [group for group in groups if len(group) > 1 or group[0] in looped]


@FEW
@given(view=views())
def test_the_order_is_without_cycles_and_has_those_levels(view: GraphView) -> None:
    found = order(view)
    graph = prerequisites(view)
    graph.remove_edges_from((view.place[edge.source], view.place[edge.target]) for edge in found.cut)
    assert nx.is_directed_acyclic_graph(graph)
    for level, generation in enumerate(nx.topological_generations(graph.reverse())):
        assert {level} == {int(found.levels[place]) for place in generation}
    for place in range(len(view)):
        assert found.closure([place]) == nx.descendants(graph, place) | {place}
        assert set(found.requiring[place]) == set(graph.predecessors(place))


@FEW
@given(view=views())
def test_centralities_are_those(view: GraphView) -> None:
    graph = undirected(view)
    found = centralities(view)
    assert found.exact
    assert found.degree.tolist() == degree(view).tolist() == [graph.degree(place) for place in range(len(view))]
    assert dict(enumerate(found.betweenness)) == pytest.approx(nx.betweenness_centrality(graph), abs=1e-9)
    assert dict(enumerate(found.closeness)) == pytest.approx(nx.closeness_centrality(graph), abs=1e-9)


def test_estimated_centralities_come_close() -> None:
    graph = nx.barabasi_albert_graph(600, 3, seed=1)
    concepts = [Concept(id=f"c{number:04}", name="c") for number in graph]
    edges = [Edge(source=f"c{a:04}", target=f"c{b:04}", type=EdgeType.RELATED_TO) for a, b in graph.edges]
    view = GraphView.of(concepts, edges)
    found, exact = centralities(view, pivots=200), centralities(view, pivots=600)
    assert (found.exact, exact.exact) == (False, True)
    largest = np.argsort(-exact.betweenness)[:10]
    assert np.allclose(found.betweenness[largest], exact.betweenness[largest], rtol=0.35)
    assert np.corrcoef(found.closeness, exact.closeness)[0, 1] > 0.95


@FEW
@given(view=views())
def test_communities_partition_the_graph_and_modularity_is_that(view: GraphView) -> None:
    found = communities(view)
    groups = [set(np.flatnonzero(found.of == number).tolist()) for number in range(found.count)]
    assert sum(map(len, groups)) == len(view)
    assert [len(group) for group in groups] == sorted(map(len, groups), reverse=True)
    graph = undirected(view)
    if graph.number_of_edges():
        assert found.modularity == pytest.approx(nx.community.modularity(graph, groups))
    assert communities(view).of.tolist() == found.of.tolist()


def test_communities_are_as_good_as_those_of_louvain() -> None:
    graph = nx.planted_partition_graph(6, 20, 0.5, 0.02, seed=3)
    concepts = [Concept(id=f"c{number:04}", name="c") for number in graph]
    edges = [Edge(source=f"c{a:04}", target=f"c{b:04}", type=EdgeType.RELATED_TO) for a, b in graph.edges]
    found = communities(GraphView.of(concepts, edges))
    louvain = nx.community.modularity(graph, nx.community.louvain_communities(graph, seed=1))
    assert found.count == 6
    assert found.modularity >= louvain - 0.01


@FEW
@given(view=views())
def test_similarity_is_the_jaccard_index(view: GraphView) -> None:
    graph = undirected(view)
    for place in range(len(view)):
        pairs = [(place, other) for other in range(len(view)) if other != place]
        expected = {other: score for _, other, score in nx.jaccard_coefficient(graph, pairs)}
        found = by_company(view, place)
        assert {other: found[other] for other in expected} == pytest.approx(expected)


@FEW
@given(view=views())
def test_spanning_concepts_cover_the_topic_and_its_tree_is_the_cheapest(view: GraphView) -> None:
    graph = undirected(view)
    found = spanning(view, 0, limit=len(view))
    assert set(found.topic) == nx.node_connected_component(graph, 0)
    covered = {other for place in found.places for other in [place, *graph.neighbors(place)]}
    assert covered >= set(found.topic)
    assert found.coverage[-1] == pytest.approx(1)
    assert list(found.coverage) == sorted(found.coverage)
    part = graph.subgraph(found.topic)
    expected = nx.minimum_spanning_tree(part, weight="cost").size(weight="cost")
    assert sum(graph.edges[pair]["cost"] for pair in found.tree) == pytest.approx(expected)
