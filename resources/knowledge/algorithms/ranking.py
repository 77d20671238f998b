"""How central concepts are: PageRank (Page, Brin, Motwani, Winograd 1998) over the weighted graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import rustworkx as rx

from resources.knowledge.model import EdgeType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resources.knowledge.model import Edge

DAMPING: Final = 0.85
TOLERANCE: Final = 1e-6
MAX_ITERATIONS: Final = 100


def pagerank(concepts: Iterable[str], edges: Iterable[Edge]) -> dict[str, float]:
    """Each concept's share of attention; the shares add up to 1.

    A prerequisite gains from what requires it; related concepts gain from each other. Concepts that lead nowhere pass their
    share to all alike. Edges to concepts that are not among `concepts` are ignored.
    """
    names = sorted(set(concepts))
    if not names:
        return {}
    index = {name: number for number, name in enumerate(names)}
    weighted: list[tuple[int, int, float]] = []
    for edge in edges:
        if edge.source in index and edge.target in index:
            weighted.append((index[edge.source], index[edge.target], edge.weight))
            if edge.type is EdgeType.RELATED_TO:
                weighted.append((index[edge.target], index[edge.source], edge.weight))
    graph = rx.PyDiGraph()
    graph.add_nodes_from(names)
    graph.add_edges_from(weighted)
    # rustworkx multiplies the tolerance by the number of nodes, as networkx does.
    ranks = rx.pagerank(graph, alpha=DAMPING, weight_fn=float, tol=TOLERANCE / len(names), max_iter=MAX_ITERATIONS)
    return {name: float(ranks[number]) for name, number in index.items()}
