"""How a graph hangs together: components, cycles and the edges to cut, and the order of prerequisites in levels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csgraph, csr_array

from resources.knowledge.algorithms.prerequisites import without_cycles
from resources.knowledge.view import REQUIRES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from numpy.typing import NDArray

    from resources.knowledge.model import Edge
    from resources.knowledge.view import GraphView


@dataclass(frozen=True, slots=True)
class Order:
    """The prerequisites without their cycles.

    `required` and `requiring` are lists of places for each place; `levels` says for each place how many prerequisites stand one
    on another below it at most, 0 for none; `cut` are the edges that were left out.
    """

    required: tuple[tuple[int, ...], ...]
    requiring: tuple[tuple[int, ...], ...]
    levels: NDArray[np.int64]
    cut: tuple[Edge, ...]

    def closure(self, starts: Iterable[int], *, known: Collection[int] = frozenset()) -> set[int]:
        """`starts` and all that they require, directly or not. Does not look behind what is `known`, and leaves it out."""
        seen: set[int] = set()
        waiting = list(starts)
        while waiting:
            place = waiting.pop()
            if place not in seen and place not in known:
                seen.add(place)
                waiting += self.required[place]
        return seen


def components(view: GraphView) -> list[list[int]]:
    """Concepts that hang together by edges of any type, in groups: the largest first, then by their first concept."""
    return _groups(csgraph.connected_components(view.undirected, directed=False)[1])


def strong_components(view: GraphView) -> list[list[int]]:
    """Concepts that require each other, directly or not, in groups: the largest first, then by their first concept."""
    return _groups(_strong(view))


def cycles(view: GraphView) -> list[list[int]]:
    """The groups of concepts that require each other. A concept that requires itself is a group."""
    looped = (view.kinds == REQUIRES) & (view.sources == view.targets)
    loops = set(view.sources[looped].tolist())
    return [group for group in strong_components(view) if len(group) > 1 or group[0] in loops]


def order(view: GraphView) -> Order:
    """The prerequisites in an order: cycles are broken at their weakest edges, and what remains has levels (Kahn 1962)."""
    strong = _strong(view)
    rows = np.flatnonzero(view.kinds == REQUIRES)
    inside = rows[strong[view.sources[rows]] == strong[view.targets[rows]]]
    # Only edges within a group can close a cycle; there are few of them in a graph that people wrote.
    _, cut = without_cycles([view.edge(row) for row in inside.tolist()])
    left_out = {(view.place[edge.source], view.place[edge.target]) for edge in cut}
    kept = rows
    if left_out:
        pairs = zip(view.sources[rows].tolist(), view.targets[rows].tolist(), strict=True)
        kept = rows[np.array([pair not in left_out for pair in pairs], bool)]
    required = _matrix(view, view.sources[kept], view.targets[kept])
    requiring = _matrix(view, view.targets[kept], view.sources[kept])
    return Order(_rows(required), _rows(requiring), _levels(required, requiring), tuple(cut))


def _levels(required: csr_array, requiring: csr_array) -> NDArray[np.int64]:
    missing = np.diff(required.indptr).astype(np.int64)
    levels = np.zeros(len(missing), np.int64)
    ready = np.flatnonzero(missing == 0)
    level = 0
    while len(ready):
        levels[ready] = level
        level += 1
        spans = [requiring.indices[requiring.indptr[place] : requiring.indptr[place + 1]] for place in ready.tolist()]
        freed = np.concatenate(spans) if spans else np.empty(0, np.int64)
        np.subtract.at(missing, freed, 1)
        freed = np.unique(freed)
        ready = freed[missing[freed] == 0]
    return levels


def _strong(view: GraphView) -> NDArray[np.int64]:
    chosen = view.kinds == REQUIRES
    matrix = _matrix(view, view.sources[chosen], view.targets[chosen])
    found: NDArray[np.int64] = csgraph.connected_components(matrix, directed=True, connection="strong")[1]
    return found


def _matrix(view: GraphView, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> csr_array:
    matrix = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(view), len(view)))
    matrix.sort_indices()
    return matrix


def _rows(matrix: csr_array) -> tuple[tuple[int, ...], ...]:
    starts, ends = matrix.indptr.tolist(), matrix.indices.tolist()
    return tuple(tuple(ends[first:last]) for first, last in pairwise(starts))


def _groups(labels: NDArray[np.int64]) -> list[list[int]]:
    groups: dict[int, list[int]] = {}
    for place, label in enumerate(labels.tolist()):
        groups.setdefault(label, []).append(place)
    return sorted(groups.values(), key=lambda group: (-len(group), group[0]))
