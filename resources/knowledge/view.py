"""A tenant's graph as arrays: what the algorithms compute on. Never changes; a changed graph has another view.

Concepts are numbered in order of id, so that results do not depend on how the graph came about. Edges are three columns and a
weight; the matrices that algorithms need are made from them when they are first asked for, and kept.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import numpy as np
from scipy import sparse

from resources.knowledge.model import Edge, EdgeType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from resources.knowledge.model import Concept
    from resources.knowledge.state import EdgeKey

T = TypeVar("T")

KINDS: Final = (EdgeType.REQUIRES, EdgeType.RELATED_TO, EdgeType.PART_OF)
REQUIRES, RELATED_TO, PART_OF = range(3)
_LEVELS: Final = {"beginner": 1, "intermediate": 2, "advanced": 3, "expert": 4}
_UNKNOWN_LEVEL: Final = 2


class Adjacency(NamedTuple):
    """Neighbours of each concept, as lists for loops in Python: those of `n` are `ends[starts[n]:starts[n + 1]]`."""

    starts: list[int]
    ends: list[int]
    values: list[float]

    def of(self, place: int) -> list[int]:
        return self.ends[self.starts[place] : self.starts[place + 1]]


class GraphView:
    """Concepts, numbered by their place in `ids`, and the edges between them. Safe to share between threads."""

    def __init__(
        self,
        concepts: Sequence[Concept],
        columns: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8], NDArray[np.float64]],
        *,
        mentions: Mapping[str, Mapping[str, float]] | None = None,
        aliases: Mapping[str, str] | None = None,
        revision: int = 0,
    ) -> None:
        """`concepts` in order of id; the columns are source, target, kind (an index of `KINDS`) and weight."""
        self.concepts = tuple(concepts)
        self.ids = tuple(concept.id for concept in concepts)
        self.sources, self.targets, self.kinds, self.weights = columns
        self.mentions = mentions or {}
        self.aliases = aliases or {}
        self.revision = revision
        self._results: dict[Callable[[GraphView], Any], Any] = {}
        self._lock = RLock()

    def once(self, compute: Callable[[GraphView], T]) -> T:
        """What `compute` says about this view, computed when it is first asked for."""
        with self._lock:
            if compute not in self._results:
                self._results[compute] = compute(self)
            found: T = self._results[compute]
            return found

    @classmethod
    def of(
        cls,
        concepts: Iterable[Concept],
        edges: Iterable[Edge] | Mapping[EdgeKey, float],
        *,
        mentions: Mapping[str, Mapping[str, float]] | None = None,
        revision: int = 0,
    ) -> GraphView:
        """A view of these concepts and edges. Edges to concepts that are not among them are left out."""
        known = sorted(concepts, key=lambda concept: concept.id)
        place = {concept.id: number for number, concept in enumerate(known)}
        items = edges.items() if hasattr(edges, "items") else (((e.source, e.target, e.type), e.weight) for e in edges)
        rows = [
            (place[source], place[target], KINDS.index(kind), weight)
            for (source, target, kind), weight in items
            if source in place and target in place
        ]
        table = np.array(rows, dtype=np.float64).reshape(-1, 4)
        columns = (
            table[:, 0].astype(np.int64),
            table[:, 1].astype(np.int64),
            table[:, 2].astype(np.int8),
            table[:, 3].copy(),
        )
        return cls(known, columns, mentions=mentions, revision=revision)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def place(self) -> dict[str, int]:
        """The number of each concept, by id."""
        return {key: number for number, key in enumerate(self.ids)}

    @cached_property
    def levels(self) -> NDArray[np.int64]:
        """Difficulty of each concept, 1 (beginner) to 4 (expert). Unknown counts as intermediate."""
        return np.array([_LEVELS.get(concept.difficulty or "", _UNKNOWN_LEVEL) for concept in self.concepts], np.int64)

    @cached_property
    def attention(self) -> sparse.csr_array:
        """Where the attention of a reader goes: along edges, in both directions where they have none. Weights add up."""
        both = self.kinds == RELATED_TO
        return self._matrix(
            np.concatenate([self.sources, self.targets[both]]),
            np.concatenate([self.targets, self.sources[both]]),
            np.concatenate([self.weights, self.weights[both]]),
        )

    @cached_property
    def undirected(self) -> sparse.csr_array:
        """Every edge in both directions, the highest weight where there are several. No loops."""
        real = self.sources != self.targets
        ends = np.concatenate([self.sources[real], self.targets[real]])
        others = np.concatenate([self.targets[real], self.sources[real]])
        weights = np.concatenate([self.weights[real], self.weights[real]])
        order = np.lexsort((-weights, others, ends))
        ends, others, weights = ends[order], others[order], weights[order]
        first = np.ones(len(ends), bool)
        first[1:] = (ends[1:] != ends[:-1]) | (others[1:] != others[:-1])
        return self._matrix(ends[first], others[first], weights[first])

    @cached_property
    def costs(self) -> sparse.csr_array:
        """What a step costs, in both directions: 1, and up to 1 more for a weak edge, and the leap in difficulty.

        The leap makes the heuristic of A* (see `algorithms.paths`) never promise too little.
        """
        matrix = self.undirected.copy()
        starts = np.repeat(np.arange(len(self)), np.diff(matrix.indptr))
        leap = np.abs(self.levels[starts] - self.levels[matrix.indices])
        matrix.data = 2.0 - matrix.data + leap
        return matrix

    @cached_property
    def ways(self) -> Adjacency:
        """`costs` as lists."""
        return lists_of(self.costs)

    @cached_property
    def requires(self) -> Adjacency:
        """What each concept requires, directly. Loops are left out."""
        return lists_of(self._prerequisites(self.sources, self.targets))

    @cached_property
    def required_by(self) -> Adjacency:
        """What requires each concept, directly. Loops are left out."""
        return lists_of(self._prerequisites(self.targets, self.sources))

    @cached_property
    def documents(self) -> dict[str, list[tuple[int, float]]]:
        """For each document the concepts that it mentions, and how much it is about them."""
        found: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for key, by_document in self.mentions.items():
            if (number := self.place.get(key)) is not None:
                for document, weight in by_document.items():
                    found[document].append((number, weight))
        return dict(found)

    def prerequisite_edges(self) -> list[Edge]:
        """The REQUIRES edges, loops included."""
        chosen = np.flatnonzero(self.kinds == REQUIRES).tolist()
        return [self.edge(number) for number in chosen]

    def edge(self, number: int) -> Edge:
        """The edge in that row of the columns."""
        return Edge(
            source=self.ids[self.sources[number]],
            target=self.ids[self.targets[number]],
            type=KINDS[self.kinds[number]],
            weight=float(self.weights[number]),
        )

    def _prerequisites(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> sparse.csr_array:
        chosen = (self.kinds == REQUIRES) & (self.sources != self.targets)
        return self._matrix(rows[chosen], columns[chosen], self.weights[chosen])

    def _matrix(
        self, rows: NDArray[np.int64], columns: NDArray[np.int64], values: NDArray[np.float64]
    ) -> sparse.csr_array:
        matrix = sparse.csr_array((values, (rows, columns)), shape=(len(self), len(self)))
        matrix.sort_indices()
        return matrix


def lists_of(matrix: sparse.csr_array) -> Adjacency:
    """A matrix of rows as lists."""
    return Adjacency(matrix.indptr.tolist(), matrix.indices.tolist(), matrix.data.tolist())
