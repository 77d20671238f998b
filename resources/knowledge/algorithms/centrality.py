"""Centralities: how many edges a concept has, how many shortest ways lead over it, how near it is to all others.

Betweenness and closeness count steps along edges of any type in either direction. They are exact for graphs of up to `pivots`
concepts; for larger ones they are estimated from the shortest ways from that many concepts, spread evenly over the graph
(Brandes and Pich 2007; Eppstein and Wang 2004).

Brandes' algorithm (2001) is run for many starts at once, as products of sparse matrices with dense ones, level by level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

    from resources.knowledge.view import GraphView

PIVOTS: Final = 256
_BATCH_CELLS: Final = 4_000_000
_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class Centralities:
    """By place in the view. `exact` is False where they were estimated."""

    degree: NDArray[np.int64]
    betweenness: NDArray[np.float64]
    closeness: NDArray[np.float64]
    exact: bool


def degree(view: GraphView) -> NDArray[np.int64]:
    """How many concepts each is connected with."""
    counts: NDArray[np.int64] = np.diff(view.undirected.indptr).astype(np.int64)
    return counts


def centralities(view: GraphView, *, pivots: int = PIVOTS) -> Centralities:
    """All three. Betweenness is between 0 and 1, closeness as Wasserman and Faust (1994) define it for graphs in parts."""
    size = len(view)
    exact = size <= pivots
    starts = np.arange(size)
    if not exact:
        starts = np.sort(np.random.default_rng(_SEED).choice(size, pivots, replace=False))
    links = view.undirected.copy()
    links.data = np.ones_like(links.data)
    between = np.zeros(size)
    total = np.zeros(size)
    reached = np.zeros(size)
    batch = max(1, _BATCH_CELLS // max(1, size))
    for first in range(0, len(starts), batch):
        part = starts[first : first + batch]
        depth, dependency = _brandes(links, part)
        between += dependency.sum(axis=1)
        seen = depth > 0
        total += np.where(seen, depth, 0).sum(axis=1)
        reached += seen.sum(axis=1)
    scale = size / max(1, len(starts))
    others = max(1, size - 1)
    pairs = others * max(1, size - 2)
    # Estimated sums grow by what was left out, so that they compare with exact ones.
    reached *= 1.0 if exact else scale
    total *= 1.0 if exact else scale
    closeness = np.divide(reached * reached, total * others, out=np.zeros(size), where=total > 0)
    return Centralities(degree(view), between * scale / pairs, np.minimum(closeness, 1.0), exact)


def _brandes(links: sparse.csr_array, starts: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Steps from each start (columns) to each concept (rows), 0 for itself and -1 for none; and Brandes' dependencies."""
    size = links.shape[0]
    columns = np.arange(len(starts))
    depth = np.full((size, len(starts)), -1, np.int32)
    ways = np.zeros((size, len(starts)))
    depth[starts, columns] = 0
    ways[starts, columns] = 1.0
    frontier = ways.copy()
    level = 0
    while frontier.any():
        level += 1
        frontier = links @ frontier
        frontier[depth >= 0] = 0.0
        new = frontier > 0
        depth[new] = level
        ways += frontier
    dependency = np.zeros_like(ways)
    for here in range(level, 0, -1):
        share = np.divide(1.0 + dependency, ways, out=np.zeros_like(ways), where=depth == here)
        back = links @ share
        before = depth == here - 1
        dependency[before] += (back * ways)[before]
    dependency[starts, columns] = 0.0
    return depth, dependency
