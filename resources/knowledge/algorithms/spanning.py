"""The few concepts that span a topic: chosen so that together they are next to as much of it as possible."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.sparse import csgraph

from resources.knowledge.algorithms.ranking import pagerank

if TYPE_CHECKING:
    from resources.knowledge.view import GraphView

TOPIC_SIZE: Final = 200


@dataclass(frozen=True, slots=True)
class Spanning:
    """`places` in the order in which they were chosen; `coverage` is the share of the topic that they cover so far, for each.

    `tree` connects what can be connected within the topic by the cheapest edges (pairs of places); `topic` is the topic itself.
    """

    places: tuple[int, ...]
    coverage: tuple[float, ...]
    tree: tuple[tuple[int, int], ...]
    topic: tuple[int, ...]


def spanning(view: GraphView, topic: int, *, limit: int = 10, size: int = TOPIC_SIZE) -> Spanning:
    """At most `limit` concepts that span `topic`.

    The topic is the `size` concepts nearest to it by personalised PageRank. A concept covers itself and its neighbours, each
    worth its rank; the next chosen is always the one that adds most, which comes within 1 - 1/e of the best choice (Nemhauser,
    Wolsey, Fisher 1978).
    """
    ranks = pagerank(view, seeds={view.ids[topic]: 1.0}, both_ways=True)
    nearest = np.lexsort((np.arange(len(view)), -ranks))[:size]
    inside = sorted(place for place in nearest.tolist() if ranks[place] > 0)
    matrix = view.undirected
    worth = {place: float(ranks[place]) for place in inside}
    covers = {
        place: {place} | (set(matrix.indices[matrix.indptr[place] : matrix.indptr[place + 1]].tolist()) & worth.keys())
        for place in inside
    }
    total = sum(worth.values()) or 1.0
    chosen: list[int] = []
    shares: list[float] = []
    covered: set[int] = set()
    while len(chosen) < limit and len(covered) < len(inside):
        best = max(inside, key=lambda place: (sum(worth[other] for other in covers[place] - covered), -place))
        if covers[best] <= covered:
            break
        covered |= covers[best]
        chosen.append(best)
        shares.append(sum(worth[place] for place in covered) / total)
    return Spanning(tuple(chosen), tuple(shares), _tree(view, inside), tuple(inside))


def _tree(view: GraphView, inside: list[int]) -> tuple[tuple[int, int], ...]:
    if not inside:
        return ()
    part = csgraph.minimum_spanning_tree(view.costs[inside, :][:, inside]).tocoo()
    pairs = zip(part.row.tolist(), part.col.tolist(), strict=True)
    return tuple(sorted((min(inside[a], inside[b]), max(inside[a], inside[b])) for a, b in pairs))
