"""Which concepts are alike: by what they have around them, and by what is known about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from resources.knowledge.model import Concept
    from resources.knowledge.view import GraphView

SAME_CATEGORY: Final = 0.4
SAME_SUBCATEGORY: Final = 0.2
COMMON_TAGS: Final = 0.3
SAME_DIFFICULTY: Final = 0.1


def by_company(view: GraphView, place: int) -> NDArray[np.float64]:
    """The Jaccard index (1912) of two concepts' neighbours and documents, for `place` and each concept; 0 for itself."""
    company = _company(view)
    own = company[[place], :]
    common = np.asarray((company @ own.T).todense()).ravel()
    sizes = np.diff(company.indptr)
    union = sizes + sizes[place] - common
    scores: NDArray[np.float64] = np.divide(common, union, out=np.zeros(len(view)), where=union > 0)
    scores[place] = 0.0
    return scores


def by_attributes(one: Concept, other: Concept) -> float:
    """0 to 1: .4 for the same category, .2 for the same subcategory, .3 for common tags, .1 for the same difficulty.

    Tags count by the Dice coefficient (1945). What neither of the two says counts nothing.
    """
    score = 0.0
    if one.category is not None and one.category == other.category:
        score += SAME_CATEGORY
        if one.subcategory is not None and one.subcategory == other.subcategory:
            score += SAME_SUBCATEGORY
    if one.tags or other.tags:
        common = len(set(one.tags) & set(other.tags))
        score += COMMON_TAGS * 2 * common / (len(set(one.tags)) + len(set(other.tags)))
    if one.difficulty is not None and one.difficulty == other.difficulty:
        score += SAME_DIFFICULTY
    return score


def _company(view: GraphView) -> sparse.csr_array:
    """Concepts by what they keep company with: neighbours and documents, each 1."""
    links = view.undirected.copy()
    links.data = np.ones_like(links.data)
    documents = sorted(view.documents)
    column = {name: number for number, name in enumerate(documents)}
    rows = [(place, column[name]) for name, mentioned in view.documents.items() for place, _ in mentioned]
    table = np.array(rows, np.int64).reshape(-1, 2)
    mentions = sparse.csr_array((np.ones(len(table)), (table[:, 0], table[:, 1])), shape=(len(view), len(documents)))
    return sparse.hstack([links, mentions], format="csr")
