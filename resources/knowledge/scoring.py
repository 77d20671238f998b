"""All that is computed about each concept over the whole graph, to be written back beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from resources.knowledge.algorithms.centrality import centralities
from resources.knowledge.algorithms.communities import communities
from resources.knowledge.algorithms.ranking import pagerank
from resources.knowledge.algorithms.structure import components, order
from resources.knowledge.state import Scores
from resources.knowledge.view import REQUIRES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resources.knowledge.model import Edge
    from resources.knowledge.view import GraphView


@dataclass(frozen=True, slots=True)
class Scored:
    """The scores of each concept, and what is said of the graph as a whole. `exact` is False where scores were estimated."""

    view: GraphView
    scores: Mapping[str, Scores]
    cut: tuple[Edge, ...]
    prerequisites: int
    levels: int
    components: int
    modularity: float
    exact: bool

    def first(self, count: int) -> list[str]:
        """The concepts of the highest rank."""
        return sorted(self.scores, key=lambda key: (-self.scores[key].rank, key))[:count]

    def largest_communities(self, count: int, *, named: int) -> list[tuple[int, int, list[int]]]:
        """Number, size, and the places of the `named` concepts of the highest rank, for each of the largest communities."""
        members: dict[int, list[str]] = {}
        for key in self.first(len(self.scores)):
            members.setdefault(self.scores[key].community, []).append(key)
        return [
            (number, len(members[number]), [self.view.place[key] for key in members[number][:named]])
            for number in sorted(members)[:count]
        ]


def score(view: GraphView) -> Scored:
    """Score all concepts of the view."""
    ranks, central, groups, ordered = pagerank(view), centralities(view), communities(view), view.once(order)
    columns = zip(
        view.ids,
        ranks.tolist(),
        central.betweenness.tolist(),
        central.closeness.tolist(),
        central.degree.tolist(),
        groups.of.tolist(),
        strict=True,
    )
    return Scored(
        view=view,
        scores={
            key: Scores(
                revision=view.revision,
                rank=rank,
                betweenness=betweenness,
                closeness=closeness,
                degree=degree,
                community=community,
            )
            for key, rank, betweenness, closeness, degree, community in columns
        },
        cut=ordered.cut,
        prerequisites=int(np.count_nonzero(view.kinds == REQUIRES)),
        levels=int(ordered.levels.max()) + 1 if len(view) else 0,
        components=len(components(view)),
        modularity=groups.modularity,
        exact=central.exact,
    )
