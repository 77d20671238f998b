"""How central concepts are: PageRank (Page, Brin, Motwani, Winograd 1998), for everybody and from somebody's point of view."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from resources.knowledge.view import GraphView

DAMPING: Final = 0.85
TOLERANCE: Final = 1e-6
MAX_ITERATIONS: Final = 100


def pagerank(
    view: GraphView,
    *,
    seeds: Mapping[str, float] | None = None,
    damping: float = DAMPING,
    both_ways: bool = False,
) -> NDArray[np.float64]:
    """Each concept's share of attention, by its number in the view; the shares add up to 1.

    A prerequisite gains from what requires it, a topic from its parts; related concepts gain from each other. With `both_ways`
    attention also flows back. Concepts that lead nowhere pass their share to where readers begin: to all alike, or to the
    `seeds` (ids and weights; unknown ones are left out, and without any known one the result is zero everywhere).

    Iterated until the sum of changes is below 1e-6, or 100 times.
    """
    size = len(view)
    if size == 0:
        return np.zeros(0)
    begin = np.full(size, 1.0 / size)
    if seeds is not None:
        begin = np.zeros(size)
        for key, weight in seeds.items():
            if (place := view.place.get(key)) is not None:
                begin[place] += weight
        if begin.sum() <= 0:
            return np.zeros(size)
        begin /= begin.sum()
    step, dangling = view.once(_both_ways if both_ways else _along)
    ranks = begin.copy()
    for _ in range(MAX_ITERATIONS):
        former = ranks
        ranks = damping * (step @ former + former[dangling].sum() * begin) + (1 - damping) * begin
        if np.abs(ranks - former).sum() < TOLERANCE:
            break
    shares: NDArray[np.float64] = ranks / ranks.sum()
    return shares


def _along(view: GraphView) -> tuple[sparse.csr_array, NDArray[np.bool_]]:
    return _step(view.attention)


def _both_ways(view: GraphView) -> tuple[sparse.csr_array, NDArray[np.bool_]]:
    return _step(view.undirected)


def _step(matrix: sparse.csr_array) -> tuple[sparse.csr_array, NDArray[np.bool_]]:
    """What one step does to shares, and the concepts that lead nowhere."""
    leaving = matrix.sum(axis=1)
    dangling = leaving == 0
    scale = np.divide(1.0, leaving, out=np.zeros(len(leaving)), where=~dangling)
    return (sparse.diags_array(scale) @ matrix).T.tocsr(), dangling
