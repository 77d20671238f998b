"""What must be known before what: closures, levels, and cycles with the edges to cut.

An edge `source REQUIRES target` means that `target` comes first. Everything here is a function of its arguments and does not
depend on their order.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import rustworkx as rx

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from resources.knowledge.model import Edge


def closure(starts: Iterable[str], edges: Iterable[Edge], *, known: Collection[str] = frozenset()) -> set[str]:
    """`starts` and all that they require, directly or not. Does not look behind what is `known`, and leaves it out."""
    required = _required(edges)
    seen: set[str] = set()
    waiting = list(starts)
    while waiting:
        concept = waiting.pop()
        if concept not in seen and concept not in known:
            seen.add(concept)
            waiting += required[concept]
    return seen


def cycles(edges: Iterable[Edge]) -> list[list[str]]:
    """The groups of concepts that require each other, each in order; a concept that requires itself is a group."""
    edges = list(edges)
    graph, names = _graph(edges)
    loops = {edge.source for edge in edges if edge.source == edge.target}
    groups = [sorted(names[index] for index in group) for group in rx.strongly_connected_components(graph)]
    return sorted(group for group in groups if len(group) > 1 or group[0] in loops)


def without_cycles(edges: Iterable[Edge]) -> tuple[list[Edge], list[Edge]]:
    """The edges that remain and those that are cut, so that no cycle is left. No more is cut than has to be.

    Within each group of concepts that require each other, edges are kept from the strongest to the weakest as long as they
    close no cycle: every cut edge is the weakest of a cycle. Equal weights are settled by name.
    """
    edges = sorted(edges, key=lambda edge: (-edge.weight, edge.source, edge.target))
    group_of = {concept: number for number, group in enumerate(cycles(edges)) for concept in group}
    graph = rx.PyDiGraph(check_cycle=True)
    index = {concept: graph.add_node(concept) for concept in sorted(group_of)}
    kept, cut = [], []
    for edge in edges:
        group = group_of.get(edge.source)
        if group is None or group != group_of.get(edge.target):
            kept.append(edge)
            continue
        if edge.source == edge.target:  # rustworkx does not count it as a cycle
            cut.append(edge)
            continue
        try:
            graph.add_edge(index[edge.source], index[edge.target], None)
        except rx.DAGWouldCycle:
            cut.append(edge)
        else:
            kept.append(edge)
    return kept, cut


def levels(concepts: Iterable[str], edges: Iterable[Edge]) -> list[list[str]]:
    """Concepts in levels (Kahn 1962): each requires only such of earlier levels, and at least one of the level before.

    Edges to concepts that are not among `concepts` are ignored. Raises ValueError when there is a cycle.
    """
    waiting = set(concepts)
    required = {concept: targets & waiting for concept, targets in _required(edges).items() if concept in waiting}
    missing = {concept: len(required.get(concept, ())) for concept in waiting}
    requiring: dict[str, list[str]] = defaultdict(list)
    for concept, targets in required.items():
        for target in targets:
            requiring[target].append(concept)
    result: list[list[str]] = []
    ready = sorted(concept for concept, count in missing.items() if count == 0)
    while ready:
        result.append(ready)
        waiting.difference_update(ready)
        following = set()
        for concept in ready:
            for dependent in requiring[concept]:
                missing[dependent] -= 1
                if missing[dependent] == 0:
                    following.add(dependent)
        ready = sorted(following)
    if waiting:
        raise ValueError(f"These concepts require each other: {', '.join(sorted(waiting))}")
    return result


def _required(edges: Iterable[Edge]) -> defaultdict[str, set[str]]:
    required: defaultdict[str, set[str]] = defaultdict(set)
    for edge in edges:
        required[edge.source].add(edge.target)
    return required


def _graph(edges: Collection[Edge]) -> tuple[rx.PyDiGraph, list[str]]:
    names = sorted({end for edge in edges for end in (edge.source, edge.target)})
    index = {name: number for number, name in enumerate(names)}
    graph = rx.PyDiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from_no_data([(index[edge.source], index[edge.target]) for edge in edges])
    return graph, names
