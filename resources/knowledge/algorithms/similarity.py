"""Which concepts are alike: by what they have around them, and by what is known about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from resources.knowledge.view import GraphView

SAME_CATEGORY: Final = 0.4
SAME_SUBCATEGORY: Final = 0.2
COMMON_TAGS: Final = 0.3
SAME_DIFFICULTY: Final = 0.1


def by_company(view: GraphView, place: int) -> NDArray[np.float64]:
    """The Jaccard index (1912) of two concepts' neighbours and documents, for `place` and each concept; 0 for itself."""
    company = view.once(_company)
    own = company[[place], :]
    common = np.asarray((company @ own.T).todense()).ravel()
    sizes = np.diff(company.indptr)
    union = sizes + sizes[place] - common
    scores: NDArray[np.float64] = np.divide(common, union, out=np.zeros(len(view)), where=union > 0)
    scores[place] = 0.0
    return scores


def by_attributes(view: GraphView, place: int) -> NDArray[np.float64]:
    """For `place` and each concept, 0 to 1; 0 for itself.

    .4 for the same category and .2 more for the same subcategory in it, .3 for common tags, .1 for the same difficulty. Tags
    count by the Dice coefficient (1945). What a concept does not say counts nothing.
    """
    categories, subcategories, difficulties, tags = view.once(_attributes)
    same = (categories == categories[place]) & (categories[place] >= 0)
    scores: NDArray[np.float64] = SAME_CATEGORY * same.astype(np.float64)
    scores += SAME_SUBCATEGORY * (same & (subcategories == subcategories[place]) & (subcategories[place] >= 0))
    scores += SAME_DIFFICULTY * ((difficulties == difficulties[place]) & (difficulties[place] >= 0))
    common = np.asarray((tags @ tags[[place], :].T).todense()).ravel()
    counts = np.diff(tags.indptr)
    together = counts + counts[place]
    scores += COMMON_TAGS * np.divide(2 * common, together, out=np.zeros(len(view)), where=together > 0)
    scores[place] = 0.0
    return scores


def _attributes(
    view: GraphView,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], sparse.csr_array]:
    """Category, subcategory and difficulty as numbers, -1 for none, and concepts by tags."""
    numbers: dict[str, int] = {}

    def number(word: str | None) -> int:
        return -1 if word is None else numbers.setdefault(word, len(numbers))

    columns = [
        np.array([number(value) for value in values], np.int64)
        for values in (
            [concept.category for concept in view.concepts],
            [concept.subcategory for concept in view.concepts],
            [concept.difficulty for concept in view.concepts],
        )
    ]
    rows = [(place, number(tag)) for place, concept in enumerate(view.concepts) for tag in set(concept.tags)]
    table = np.array(rows, np.int64).reshape(-1, 2)
    tags = sparse.csr_array((np.ones(len(table)), (table[:, 0], table[:, 1])), shape=(len(view), max(1, len(numbers))))
    return columns[0], columns[1], columns[2], tags


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
