"""Communities: groups of concepts with more edges inside than chance would give them (Leiden: Traag, Waltman, van Eck 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from resources.knowledge.view import GraphView

_SEED: Final = 0
_RANDOMNESS: Final = 0.001


@dataclass(frozen=True, slots=True)
class Communities:
    """`of` is the community of each place, numbered from 0, the largest; `modularity` is that of Newman and Girvan (2004)."""

    of: NDArray[np.int64]
    modularity: float

    @property
    def count(self) -> int:
        return int(self.of.max()) + 1 if len(self.of) else 0


def communities(view: GraphView, *, resolution: float = 1.0) -> Communities:
    """The communities of the graph, the same each time. A concept without edges is one of its own."""
    import graspologic_native

    size = len(view)
    labels = np.arange(size)
    above = view.undirected.tocoo()
    chosen = above.row < above.col
    rows, columns, weights = above.row[chosen], above.col[chosen], above.data[chosen]
    if len(rows):
        edges = list(zip(map(str, rows.tolist()), map(str, columns.tolist()), weights.tolist(), strict=True))
        _, found = graspologic_native.leiden(
            edges,
            starting_communities=None,
            resolution=resolution,
            randomness=_RANDOMNESS,
            iterations=1,
            use_modularity=True,
            seed=_SEED,
        )
        places = np.fromiter((int(key) for key in found), np.int64, len(found))
        labels = labels + size
        labels[places] = np.fromiter(found.values(), np.int64, len(found))
    numbered = _by_size(labels)
    return Communities(numbered, modularity(view, numbered, resolution=resolution))


def modularity(view: GraphView, of: NDArray[np.int64], *, resolution: float = 1.0) -> float:
    """How much more weight lies within communities than chance would put there; 0 without edges."""
    matrix = view.undirected.tocoo()
    total = float(matrix.data.sum())
    if total == 0:
        return 0.0
    inside = float(matrix.data[of[matrix.row] == of[matrix.col]].sum())
    strengths = np.bincount(matrix.row, weights=matrix.data, minlength=len(view))
    by_community = np.bincount(of, weights=strengths)
    return inside / total - resolution * float(((by_community / total) ** 2).sum())


def _by_size(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    _, first, inverse, counts = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    ranked = np.lexsort((first, -counts))
    number = np.empty(len(counts), np.int64)
    number[ranked] = np.arange(len(counts))
    return number[inverse] if len(labels) else labels.astype(np.int64)
