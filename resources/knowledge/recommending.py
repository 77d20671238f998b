"""What a user may learn next: concepts whose prerequisites are known, nearest to what the user has learned and begun.

The measure of nearness is personalised PageRank from what is completed and, with more weight, what is begun. Somebody who has
said nothing yet is recommended what most others rest on and needs nothing itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from resources.knowledge.algorithms.ranking import pagerank
from resources.knowledge.algorithms.structure import order
from resources.knowledge.answers import Recommendation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resources.knowledge.algorithms.structure import Order
    from resources.knowledge.projection import GraphProjections
    from resources.knowledge.view import GraphView

_BEGUN: Final = 2.0
_COMPLETED: Final = 1.0
_NAMED: Final = 3


class Recommendations:
    """Recommends over resident graphs. Safe to share between threads."""

    def __init__(self, views: GraphProjections) -> None:
        self._views = views

    def of(self, said: Mapping[str, float], *, tenant: str, limit: int = 10) -> list[Recommendation]:
        """What to learn next, the best first. `said` tells of ids how much of each is learned, 0 to 1 (1 is known).

        What is known is left out, and so is what needs something that is not known; prerequisites in circles are cut at their
        weakest, as on learning paths. Raises UnavailableError.
        """
        view = self._views.view(tenant)
        ordered = view.once(order)
        shares: dict[int, float] = {}
        for key, share in said.items():
            place = view.place.get(view.aliases.get(key, key))
            if place is not None:
                shares[place] = max(share, shares.get(place, 0.0))
        known = {place for place, share in shares.items() if share >= 1}
        known |= ordered.closure(known)
        begun = {place for place, share in shares.items() if 0 < share < 1} - known
        if known or begun:
            seeds = {view.ids[place]: _BEGUN if place in begun else _COMPLETED for place in {*shares} & (known | begun)}
            scores = pagerank(view, seeds=seeds, both_ways=True)
        else:
            scores = view.once(pagerank)
        # What nothing leads to from there comes last, the most central first.
        best = np.lexsort((np.arange(len(view)), -view.once(pagerank), -scores)).tolist()
        beginning = not (known or begun) and len(view.requires.ends) > 0
        result: list[Recommendation] = []
        for place in best:
            if len(result) == limit:
                break
            if place in known or not known.issuperset(ordered.required[place]):
                continue
            if beginning and not ordered.requiring[place]:
                continue
            result.append(
                Recommendation(
                    concept=view.concepts[place],
                    score=round(float(scores[place]), 6),
                    learned=shares.get(place, 0.0),
                    reason=_reason(view, ordered, place, known, begun),
                    requires=tuple(sorted(view.ids[one] for one in ordered.required[place])),
                    unlocks=tuple(
                        sorted(
                            view.ids[one]
                            for one in ordered.requiring[place]
                            if one not in known and known.issuperset(set(ordered.required[one]) - {place})
                        )
                    ),
                )
            )
        return result


def _reason(view: GraphView, ordered: Order, place: int, known: set[int], begun: set[int]) -> str:
    if place in begun:
        return "you have begun it"
    if leads := [one for one in ordered.requiring[place] if one in begun]:
        return f"needed by {_names(view, leads)}, which you have begun"
    if ordered.required[place]:
        return f"all that it needs is known: {_names(view, ordered.required[place])}"
    around = view.undirected.indices[view.undirected.indptr[place] : view.undirected.indptr[place + 1]].tolist()
    if near := [one for one in around if one in begun]:
        return f"near {_names(view, near)}, which you have begun"
    if near := [one for one in around if one in known]:
        return f"near {_names(view, near)}, which you know"
    if ordered.requiring[place]:
        return f"needs nothing, and {_names(view, ordered.requiring[place])} rest on it"
    return "needs nothing"


def _names(view: GraphView, places: list[int] | tuple[int, ...]) -> str:
    names = [view.concepts[place].name for place in places[:_NAMED]]
    more = len(places) - len(names)
    return ", ".join(names) + (f" and {more} more" if more else "")
