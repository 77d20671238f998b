"""Questions about a tenant's graph, answered from its resident view, in names and ids instead of places.

Concepts are asked for by name or id (see `found`). Every question raises NotFoundError, with suggestions, for a name that no
concept or more than one has, and UnavailableError when the store cannot be reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from resources.knowledge.algorithms import similarity
from resources.knowledge.algorithms.communities import communities
from resources.knowledge.algorithms.paths import alternatives, shortest
from resources.knowledge.algorithms.ranking import pagerank
from resources.knowledge.algorithms.spanning import spanning
from resources.knowledge.algorithms.structure import components, cycles, order
from resources.knowledge.answers import (
    MAX_SUBGRAPH_EDGES,
    CommunitiesAnswer,
    Community,
    ConceptPage,
    Neighbour,
    ScoredConcept,
    SpanningAnswer,
    StructureAnswer,
    Subgraph,
    WayAnswer,
    WaysAnswer,
)
from resources.knowledge.naming import found
from resources.knowledge.view import KINDS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from resources.knowledge.algorithms.paths import Way
    from resources.knowledge.answers import Algorithm, Measure, Order
    from resources.knowledge.model import Concept, Difficulty, EdgeType
    from resources.knowledge.projection import GraphProjections
    from resources.knowledge.view import GraphView

SIMILAR: Final = 0.3
WEAK: Final = 0.5
_SHOWN: Final = 20


class GraphQuestions:
    """Answers questions over resident graphs. Safe to share between threads."""

    def __init__(self, views: GraphProjections) -> None:
        self._views = views

    def view(self, tenant: str) -> GraphView:
        """The tenant's graph as it is now, for who asks about many concepts at once. Raises UnavailableError."""
        return self._views.view(tenant)

    def concepts(
        self,
        text: str = "",
        *,
        tenant: str,
        categories: Collection[str] = (),
        difficulties: Collection[Difficulty] = (),
        tags: Collection[str] = (),
        min_quality: float | None = None,
        order_by: Order = "rank",
        descending: bool | None = None,
        limit: int = 20,
        offset: int = 0,
    ) -> ConceptPage:
        """Concepts whose name or description contains `text`, and that fit all that is asked: the most central first.

        In another order, names begin with a, and numbers with the least, unless `descending`; what is unknown comes last.
        """
        view = self._views.view(tenant)
        folded = text.casefold()
        fitting = [
            place
            for place, concept in enumerate(view.concepts)
            if (folded in concept.name.casefold() or folded in (concept.description or "").casefold())
            and (not categories or concept.category in categories)
            and (not difficulties or concept.difficulty in difficulties)
            and set(tags) <= set(concept.tags)
            and (min_quality is None or (concept.quality or 0.0) >= min_quality)
        ]
        _sort(fitting, view, order_by, descending=order_by == "rank" if descending is None else descending)
        page = fitting[offset : offset + limit]
        return ConceptPage(
            concepts=tuple(view.concepts[place] for place in page), total=len(fitting), limit=limit, offset=offset
        )

    def ranking(
        self, *, tenant: str, seeds: Mapping[str, float] | None = None, limit: int = _SHOWN
    ) -> list[ScoredConcept]:
        """The most central concepts; with `seeds` (names and weights) the nearest to these, which are left out."""
        view = self._views.view(tenant)
        if seeds is None:
            return _best(view, view.once(pagerank), limit)
        named = {view.ids[found(name, view)]: weight for name, weight in seeds.items()}
        ranks = pagerank(view, seeds=named, both_ways=True).copy()
        ranks[[view.place[key] for key in named]] = 0.0
        return _best(view, ranks, limit)

    def neighbours(
        self,
        name: str,
        *,
        tenant: str,
        depth: int = 3,
        types: Collection[EdgeType] = (),
        min_weight: float = 0.0,
        limit: int = _SHOWN,
    ) -> list[Neighbour]:
        """Concepts up to `depth` edges away, along edges of these types (or any) of at least that weight, in any direction.

        The nearest first, then the strongest.
        """
        view = self._views.view(tenant)
        places, distance, strength = _around(view, [found(name, view)], depth, _kept(view, types, min_weight))
        return [
            Neighbour(
                concept=view.concepts[place], distance=int(distance[place]), strength=round(float(strength[place]), 6)
            )
            for place in places[1 : limit + 1].tolist()
        ]

    def subgraph(
        self,
        names: Collection[str],
        *,
        tenant: str,
        depth: int = 1,
        types: Collection[EdgeType] = (),
        min_weight: float = 0.0,
        limit: int = 100,
    ) -> Subgraph:
        """These concepts with what is up to `depth` edges away, `limit` of them at most, and the edges of these types (or any)
        and of at least that weight between them, the strongest 10,000.
        """
        view = self._views.view(tenant)
        kept = _kept(view, types, min_weight)
        places, _, _ = _around(view, sorted({found(name, view) for name in names}), depth, kept)
        chosen = np.zeros(len(view), bool)
        chosen[places[:limit]] = True
        rows = np.flatnonzero(kept & chosen[view.sources] & chosen[view.targets])
        strongest = np.sort(rows[np.argsort(-view.weights[rows], kind="stable")[:MAX_SUBGRAPH_EDGES]])
        return Subgraph(
            concepts=tuple(view.concepts[place] for place in places[:limit].tolist()),
            edges=tuple(view.edge(row) for row in strongest.tolist()),
            complete=len(places) <= limit and len(rows) <= MAX_SUBGRAPH_EDGES,
        )

    def prerequisites(self, name: str, *, tenant: str, limit: int = 1000) -> list[Concept]:
        """All that a concept requires, directly or not, in an order in which it can be learned."""
        view = self._views.view(tenant)
        place, ordered = found(name, view), view.once(order)
        needed = ordered.closure([place]) - {place}
        first = sorted(needed, key=lambda one: (int(ordered.levels[one]), one))[:limit]
        return [view.concepts[one] for one in first]

    def ways(
        self,
        source: str,
        target: str,
        *,
        tenant: str,
        algorithm: Algorithm = "dijkstra",
        count: int = 1,
        max_cost: float | None = None,
        categories: Collection[str] = (),
        difficulties: Collection[Difficulty] = (),
        min_quality: float | None = None,
    ) -> WaysAnswer:
        """The best way from one concept to the other over concepts that fit, and `count` - 1 cheapest others."""
        view = self._views.view(tenant)
        start, goal = found(source, view), found(target, view)
        allowed = _allowed(view, categories, difficulties, min_quality)
        first = shortest(view, start, goal, algorithm=algorithm, max_cost=max_cost, allowed=allowed)
        ways = [] if first is None else [first]
        if first is not None and count > 1:
            more = alternatives(view, start, goal, count=count + 1, allowed=allowed)
            fitting = [way for way in more if max_cost is None or way.cost <= max_cost]
            ways += [way for way in fitting if way.places != first.places][: count - 1]
        return WaysAnswer(
            source=view.ids[start],
            target=view.ids[goal],
            algorithm=algorithm,
            ways=tuple(_told(view, way) for way in ways),
        )

    def similar(
        self, name: str, *, tenant: str, by: Measure = "company", threshold: float | None = None, limit: int = _SHOWN
    ) -> list[ScoredConcept]:
        """Concepts like this one: by their neighbours and documents, or by category, tags and difficulty."""
        view = self._views.view(tenant)
        place = found(name, view)
        measure = similarity.by_company if by == "company" else similarity.by_attributes
        scores = measure(view, place)
        least = threshold if threshold is not None else (SIMILAR if by == "attributes" else 0.0)
        scores[scores < least] = 0.0
        return _best(view, scores, limit)

    def communities(self, *, tenant: str, limit: int = _SHOWN, shown: int = 10) -> CommunitiesAnswer:
        """The largest communities with their most central concepts."""
        view = self._views.view(tenant)
        groups, ranks = view.once(communities), view.once(pagerank)
        members: dict[int, list[int]] = {}
        for place in np.lexsort((np.arange(len(view)), -ranks)).tolist():
            members.setdefault(int(groups.of[place]), []).append(place)
        return CommunitiesAnswer(
            modularity=round(groups.modularity, 6),
            communities=tuple(
                Community(
                    number=number,
                    size=len(members[number]),
                    concepts=tuple(view.concepts[place] for place in members[number][:shown]),
                )
                for number in sorted(members)[:limit]
            ),
        )

    def structure(self, *, tenant: str) -> StructureAnswer:
        """Components, cycles of prerequisites with the edges to cut, and levels."""
        view = self._views.view(tenant)
        parts, ordered = view.once(components), view.once(order)
        return StructureAnswer(
            revision=view.revision,
            concepts=len(view),
            edges=len(view.sources),
            components=tuple(len(part) for part in parts[:_SHOWN]),
            component_count=len(parts),
            cycles=tuple(tuple(view.ids[place] for place in group) for group in view.once(cycles)),
            cut=ordered.cut,
            levels=tuple(np.bincount(ordered.levels).tolist()) if len(view) else (),
        )

    def spanning(self, name: str, *, tenant: str, limit: int = 10) -> SpanningAnswer:
        """The few concepts that together are next to as much of a topic as possible."""
        view = self._views.view(tenant)
        place = found(name, view)
        chosen = spanning(view, place, limit=limit)
        return SpanningAnswer(
            topic=view.concepts[place],
            size=len(chosen.topic),
            concepts=tuple(
                ScoredConcept(concept=view.concepts[one], score=round(share, 6))
                for one, share in zip(chosen.places, chosen.coverage, strict=True)
            ),
            tree=tuple((view.ids[one], view.ids[other]) for one, other in chosen.tree),
        )


def _sort(places: list[int], view: GraphView, by: Order, *, descending: bool) -> None:
    if by == "rank":
        ranks = view.once(pagerank)
        places.sort(key=lambda place: (-ranks[place] if descending else ranks[place], place))
        return
    if by == "name":
        places.sort(key=lambda place: view.concepts[place].name.casefold(), reverse=descending)
        return
    sign = -1 if descending else 1

    def key(place: int) -> tuple[bool, float, int]:
        concept = view.concepts[place]
        value = concept.quality if by == "quality" else concept.minutes
        return value is None, sign * (value or 0), place

    places.sort(key=key)


def _kept(view: GraphView, types: Collection[EdgeType], min_weight: float) -> NDArray[np.bool_]:
    kept: NDArray[np.bool_] = view.weights >= min_weight
    if types:
        kept &= np.isin(view.kinds, [KINDS.index(kind) for kind in types])
    return kept


def _around(
    view: GraphView, starts: Sequence[int], depth: int, kept: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """The places up to `depth` of these edges away from `starts`, in any direction: these first, then the nearest, then the
    strongest; and the distance and strength of each place of the view.
    """
    ends = np.concatenate([view.sources[kept], view.targets[kept]])
    others = np.concatenate([view.targets[kept], view.sources[kept]])
    weights = np.concatenate([view.weights[kept], view.weights[kept]])
    distance = np.full(len(view), -1)
    strength = np.zeros(len(view))
    distance[starts], strength[starts] = 0, 1.0
    for step in range(1, depth + 1):
        leaving = distance[ends] == step - 1
        reached, through = others[leaving], np.minimum(strength[ends[leaving]], weights[leaving])
        fresh = distance[reached] == -1
        np.maximum.at(strength, reached[fresh], through[fresh])
        if not fresh.any():
            break
        distance[reached[fresh]] = step
    near = np.flatnonzero(distance >= 0)
    return near[np.lexsort((near, -strength[near], distance[near]))], distance, strength


def _best(view: GraphView, scores: NDArray[np.float64], limit: int) -> list[ScoredConcept]:
    best = np.lexsort((np.arange(len(scores)), -scores))[:limit].tolist()
    return [
        ScoredConcept(concept=view.concepts[place], score=round(float(scores[place]), 6))
        for place in best
        if scores[place] > 0
    ]


def _allowed(
    view: GraphView, categories: Collection[str], difficulties: Collection[str], min_quality: float | None
) -> NDArray[np.bool_] | None:
    if not categories and not difficulties and min_quality is None:
        return None
    return np.array(
        [
            (not categories or concept.category in categories)
            and (not difficulties or concept.difficulty in difficulties)
            and (min_quality is None or (concept.quality or 0.0) >= min_quality)
            for concept in view.concepts
        ],
        bool,
    )


def _told(view: GraphView, way: Way) -> WayAnswer:
    concepts: Sequence[Concept] = [view.concepts[place] for place in way.places]
    times = [concept.minutes for concept in concepts if concept.minutes is not None]
    return WayAnswer(
        concepts=tuple(concepts),
        cost=round(way.cost, 6),
        bottlenecks=tuple(
            concept.id
            for concept in concepts
            if concept.difficulty == "expert" or (concept.quality is not None and concept.quality < WEAK)
        ),
        minutes=sum(times) if times else None,
    )
