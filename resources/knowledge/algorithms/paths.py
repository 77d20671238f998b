"""Ways between concepts: the cheapest one, and alternatives to it.

A step costs between 1 and 2 by the weight of its edge, and one more for each level of difficulty that it leaps (see
`GraphView.costs`). Ways go along edges of any type in either direction.

The heuristic of A* is the difference in difficulty, less one within a category. It is consistent, because a step costs at least 1
and the leap: Dijkstra and A* find ways of the same cost. A* is carried out as what it is equal to, Dijkstra over the reduced
costs `cost - guess(here) + guess(there)`, which compiled code can do.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from resources.knowledge.answers import MAX_ALTERNATIVES
from resources.knowledge.view import lists_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from resources.knowledge.answers import Algorithm
    from resources.knowledge.view import Adjacency, GraphView

_ENDLESS: Final = float("inf")
_NOWHERE: Final = -9999  # what scipy names the predecessor of a start
_ROUNDING: Final = 1e-9
_CANDIDATES: Final = 1000


@dataclass(frozen=True, slots=True)
class Way:
    """Places in the view, from the first to the last, and what the steps cost together."""

    places: tuple[int, ...]
    cost: float


def shortest(
    view: GraphView,
    start: int,
    goal: int,
    *,
    algorithm: Algorithm = "dijkstra",
    max_cost: float | None = None,
    allowed: NDArray[np.bool_] | None = None,
) -> Way | None:
    """The cheapest way (with `bfs` the one of fewest steps), or None if there is none that costs `max_cost` at most.

    `allowed` tells which concepts may stand between the ends. The way from a concept to itself costs nothing.
    """
    if start == goal:
        return Way((start,), 0.0)
    costs = _costs(view, allowed, ends=(start, goal))
    if algorithm == "astar":
        guesses = _guesses(view, goal)
        rows = np.repeat(np.arange(len(view)), np.diff(costs.indptr))
        reduced = np.maximum(costs.data - guesses[rows] + guesses[costs.indices], 0.0)
        costs = sparse.csr_array((reduced, costs.indices, costs.indptr), shape=costs.shape)
    _, before = csgraph.dijkstra(costs, indices=start, unweighted=algorithm == "bfs", return_predecessors=True)
    places = _back(before, start, goal)
    if places is None:
        return None
    way = Way(places, cost_of(view, places))
    return way if max_cost is None or way.cost <= max_cost + _ROUNDING else None


def distances(view: GraphView, start: int, *, max_cost: float | None = None) -> NDArray[np.float64]:
    """What the cheapest way from `start` to each concept costs; infinite where there is none."""
    limit = np.inf if max_cost is None else max_cost
    found: NDArray[np.float64] = csgraph.dijkstra(view.costs, indices=start, limit=limit)
    return found


def alternatives(
    view: GraphView, start: int, goal: int, *, count: int, allowed: NDArray[np.bool_] | None = None
) -> list[Way]:
    """The `count` (20 at most) cheapest ways without a loop, the cheapest first (Yen 1971). Equal costs go by places.

    The searches for detours are A* that know what the rest of the way costs in the whole graph, and how much the last of the
    wanted ways can cost at most: the ways over each single concept, which two runs of Dijkstra tell, are a first choice.
    """
    count = min(count, MAX_ALTERNATIVES)
    if start == goal:
        return [Way((start,), 0.0)]
    costs = _costs(view, allowed, ends=(start, goal))
    there, before = csgraph.dijkstra(costs, indices=start, return_predecessors=True)
    back, after = csgraph.dijkstra(costs, indices=goal, return_predecessors=True)
    first = _back(before, start, goal)
    if first is None:
        return []
    limit = _bound(there + back, before=before, after=after, start=start, goal=goal, count=count)
    edges = view.ways if allowed is None else lists_of(costs)
    rest = back.tolist()
    found = [Way(first, cost_of(view, first))]
    waiting: list[tuple[float, tuple[int, ...]]] = []
    seen = {first}
    while len(found) < count:
        last = found[-1].places
        spent = 0.0
        for spur in range(len(last) - 1):
            root = last[: spur + 1]
            blocked = {way.places[spur + 1] for way in found if way.places[: spur + 1] == root}
            detour = _detour(edges, last[spur], goal, rest, limit - spent, closed=set(root[:-1]), blocked=blocked)
            if detour is not None and (places := root[:-1] + detour) not in seen:
                seen.add(places)
                heapq.heappush(waiting, (round(cost_of(view, places), 9), places))
            spent += cost_of(view, last[spur : spur + 2])
        if not waiting:
            break
        cost, places = heapq.heappop(waiting)
        found.append(Way(places, cost))
    return found


def cost_of(view: GraphView, places: tuple[int, ...]) -> float:
    """What it costs to go that way. Raises ValueError where there is no edge."""
    starts, ends, values = view.ways
    total = 0.0
    for here, there in pairwise(places):
        total += values[ends.index(there, starts[here], starts[here + 1])]
    return total


def _bound(
    over: NDArray[np.float64],
    *,
    before: NDArray[np.int32],
    after: NDArray[np.int32],
    start: int,
    goal: int,
    count: int,
) -> float:
    """What the last of `count` cheapest ways costs at most; infinite if that cannot be told."""
    ways: set[tuple[int, ...]] = set()
    candidates = np.flatnonzero(np.isfinite(over))
    nearest = candidates[np.argsort(over[candidates], kind="stable")][:_CANDIDATES]
    for place in nearest.tolist():
        forth, rest = _back(before, start, place), _back(after, goal, place)
        if forth is not None and rest is not None:
            way = forth + tuple(reversed(rest))[1:]
            if len(set(way)) == len(way):
                ways.add(way)
                if len(ways) == count:
                    return float(over[place])
    return _ENDLESS


def _detour(
    edges: Adjacency,
    start: int,
    goal: int,
    rest: list[float],
    limit: float,
    *,
    closed: set[int],
    blocked: set[int],
) -> tuple[int, ...] | None:
    """A* (Hart, Nilsson, Raphael 1968): `closed` are places not to go over, `blocked` first steps not to take."""
    starts, ends, values = edges
    cheapest = {start: 0.0}
    before: dict[int, int] = {}
    done = closed
    heap = [(rest[start], start)]
    while heap:
        _, here = heapq.heappop(heap)
        if here == goal:
            places = [goal]
            while places[-1] != start:
                places.append(before[places[-1]])
            return tuple(reversed(places))
        if here in done:
            continue
        done.add(here)
        spent = cheapest[here]
        for edge in range(starts[here], starts[here + 1]):
            there = ends[edge]
            if there in done or (here == start and there in blocked):
                continue
            cost = spent + values[edge]
            if cost < cheapest.get(there, _ENDLESS) and cost + rest[there] <= limit + _ROUNDING:
                cheapest[there] = cost
                before[there] = here
                heapq.heappush(heap, (cost + rest[there], there))
    return None


def _back(before: NDArray[np.int32], start: int, goal: int) -> tuple[int, ...] | None:
    """The way to `goal` in the tree of predecessors."""
    places = [goal]
    while places[-1] != start:
        former = int(before[places[-1]])
        if former == _NOWHERE:
            return None
        places.append(former)
    return tuple(reversed(places))


def _costs(view: GraphView, allowed: NDArray[np.bool_] | None, *, ends: tuple[int, int]) -> sparse.csr_array:
    if allowed is None:
        return view.costs
    open_to = allowed.copy()
    open_to[list(ends)] = True
    table = view.costs.tocoo()
    kept = open_to[table.row] & open_to[table.col]
    return sparse.csr_array((table.data[kept], (table.row[kept], table.col[kept])), shape=table.shape)


def _guesses(view: GraphView, goal: int) -> NDArray[np.float64]:
    category = view.concepts[goal].category
    same = np.array([category is not None and concept.category == category for concept in view.concepts])
    guesses: NDArray[np.float64] = np.maximum(0, np.abs(view.levels - view.levels[goal]) - same).astype(np.float64)
    return guesses
