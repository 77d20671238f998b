"""The graphs of tenants, resident in this process and brought up to date before each question.

A question costs one round trip to ask the store for the graph's revision. If that has grown, the store tells what was touched
since, and only that is read again; after a restart, or when too much has happened, the graph is read anew as a whole. Reading
what is there now (not what a change said) makes every step repeatable: being told of a change twice does no harm.

What is held is bounded: the graphs that nobody asked about for longest are let go first, and one that alone is larger than the
bound is refused.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock, RLock
from typing import TYPE_CHECKING, Final

import numpy as np

from resources.errors import LimitExceededError
from resources.knowledge.view import KINDS, GraphView

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from resources.knowledge.model import Concept
    from resources.knowledge.state import Changes, EdgeKey, GraphState
    from resources.knowledge.store import GraphStore

MAX_ITEMS: Final = 4_000_000
_KIND = {kind: number for number, kind in enumerate(KINDS)}
_END: Final = 2**30
_KINDS_ROOM: Final = 4


class Projection:
    """One tenant's graph in columns that take changes. An edge is one number, made of its ends' slots and its kind.

    The numbers are kept in order, so that a change of many edges is a merge of arrays. Not safe to share between threads.
    """

    def __init__(self, state: GraphState) -> None:
        self.revision = state.revision
        self._slot: dict[str, int] = {}
        self._concepts: list[Concept | None] = []
        self._free: list[int] = []
        self._mentions: dict[str, dict[str, float]] = {}
        self._codes: NDArray[np.int64] = np.empty(0, np.int64)
        self._weights: NDArray[np.float64] = np.empty(0, np.float64)
        self._view: GraphView | None = None
        self._aliases: dict[str, str] = {}
        self._put(state)

    def __len__(self) -> int:
        """Concepts, edges and mentions: what memory grows with."""
        return len(self._slot) + len(self._codes) + sum(map(len, self._mentions.values()))

    def apply(self, changes: Changes, now: GraphState) -> None:
        """Take over what was touched: `now` is all that is left of it."""
        self._drop_edges(key for key in changes.edges if key not in now.edges)
        self._drop_concepts(key for key in changes.concepts if key not in now.concepts)
        self._put(now)
        self.revision = changes.revision
        self._view = None

    def view(self) -> GraphView:
        """The graph as it is now."""
        if self._view is None:
            self._view = self._compiled()
        return self._view

    def _put(self, state: GraphState) -> None:
        self._aliases = state.aliases
        for key, concept in state.concepts.items():
            slot = self._slot.get(key)
            if slot is None:
                slot = self._slot[key] = self._free.pop() if self._free else len(self._concepts)
                if slot == len(self._concepts):
                    self._concepts.append(None)
            self._concepts[slot] = concept
            self._mentions.pop(key, None)
            if mentioned := state.mentions.get(key):
                self._mentions[key] = mentioned
        coded = {code: weight for key, weight in state.edges.items() if (code := self._code(key)) is not None}
        if coded:
            codes = np.fromiter(coded, np.int64, len(coded))
            weights = np.fromiter(coded.values(), np.float64, len(coded))
            order = np.argsort(codes)
            self._remove(codes[order])
            at = np.searchsorted(self._codes, codes[order])
            self._codes = np.insert(self._codes, at, codes[order])
            self._weights = np.insert(self._weights, at, weights[order])

    def _drop_edges(self, keys: Iterable[EdgeKey]) -> None:
        self._remove(np.array(sorted(code for key in keys if (code := self._code(key)) is not None), np.int64))

    def _drop_concepts(self, keys: Iterable[str]) -> None:
        gone = [slot for key in keys if (slot := self._slot.pop(key, None)) is not None]
        if not gone:
            return
        for slot in gone:
            concept = self._concepts[slot]
            if concept is not None:
                self._mentions.pop(concept.id, None)
            self._concepts[slot] = None
        self._free += gone
        sources, targets, _ = _ends(self._codes)
        kept = ~(np.isin(sources, gone) | np.isin(targets, gone))
        self._codes, self._weights = self._codes[kept], self._weights[kept]

    def _remove(self, codes: NDArray[np.int64]) -> None:
        """Remove those of the codes, which are in order, that are there."""
        if not len(codes) or not len(self._codes):
            return
        at = np.searchsorted(self._codes, codes)
        there = at < len(self._codes)
        there[there] = self._codes[at[there]] == codes[there]
        self._codes = np.delete(self._codes, at[there])
        self._weights = np.delete(self._weights, at[there])

    def _code(self, key: EdgeKey) -> int | None:
        source, target = self._slot.get(key[0]), self._slot.get(key[1])
        if source is None or target is None:
            return None
        return (source * _END + target) * _KINDS_ROOM + _KIND[key[2]]

    def _compiled(self) -> GraphView:
        keys = sorted(self._slot)
        slots = np.fromiter((self._slot[key] for key in keys), np.int64, len(keys))
        place = np.zeros(len(self._concepts), np.int64)
        place[slots] = np.arange(len(keys))
        sources, targets, kinds = _ends(self._codes)
        concepts = [concept for slot in slots.tolist() if (concept := self._concepts[slot]) is not None]
        columns = (place[sources], place[targets], kinds, self._weights.copy())
        return GraphView(
            concepts, columns, mentions=dict(self._mentions), aliases=self._aliases, revision=self.revision
        )


@dataclass(frozen=True, slots=True)
class ProjectionCounts:
    """What is resident, and how it came to be so."""

    tenants: int
    items: int
    loads: int
    updates: int


class GraphProjections:
    """The resident graphs of all tenants. Safe to share between threads; tenants do not wait for each other."""

    def __init__(self, store: GraphStore, *, max_items: int = MAX_ITEMS) -> None:
        self._store = store
        self._max_items = max_items
        self._resident: OrderedDict[str, Projection] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._locks: dict[str, RLock] = {}
        self._lock = Lock()
        self._loads = self._updates = 0

    @property
    def store(self) -> GraphStore:
        """Where the graphs come from."""
        return self._store

    def view(self, tenant: str) -> GraphView:
        """The tenant's graph, not older than this call.

        Raises UnavailableError, and LimitExceededError for a graph that is too large to be held in memory.
        """
        with self._lock:
            lock = self._locks.setdefault(tenant, RLock())
        with lock:
            with self._lock:
                projection = self._resident.get(tenant)
            current = self._store.revision(tenant=tenant)
            if projection is None or current != projection.revision:
                projection = self._refreshed(projection, current, tenant=tenant)
                self._keep(tenant, projection)
            else:
                with self._lock:
                    if tenant in self._resident:
                        self._resident.move_to_end(tenant)
            return projection.view()

    def counts(self) -> ProjectionCounts:
        with self._lock:
            return ProjectionCounts(len(self._resident), sum(self._sizes.values()), self._loads, self._updates)

    def _refreshed(self, projection: Projection | None, current: int, *, tenant: str) -> Projection:
        # A smaller revision is another graph: the store was emptied or restored.
        if projection is not None and current > projection.revision:
            changes = self._store.changes(since=projection.revision, tenant=tenant)
            if changes is not None:
                now = self._store.part(changes.concepts, changes.edges, tenant=tenant)
                projection.apply(changes, now)
                self._updates += 1
                return projection
        self._loads += 1
        return Projection(self._store.state(tenant=tenant))

    def _keep(self, tenant: str, projection: Projection) -> None:
        size = len(projection)
        with self._lock:
            self._forget(tenant)
            if size > self._max_items:
                raise LimitExceededError(
                    f"The graph of tenant {tenant!r} has {size} concepts, edges and mentions; at most {self._max_items} "
                    "can be computed with in memory.",
                    code="graph_too_large",
                )
            self._resident[tenant] = projection
            self._sizes[tenant] = size
            while sum(self._sizes.values()) > self._max_items:
                self._forget(next(iter(self._resident)))

    def _forget(self, tenant: str) -> None:
        self._resident.pop(tenant, None)
        self._sizes.pop(tenant, None)


def _ends(codes: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int8]]:
    rest, kinds = np.divmod(codes, _KINDS_ROOM)
    sources, targets = np.divmod(rest, _END)
    return sources, targets, kinds.astype(np.int8)
