"""Which concepts are one under two names: proposals to look at, and the log of what was decided.

Two names are compared in what they are made of (spelling, plural, initials) and in what they mean (the cosine of their
vectors). Only names of the same letters are merged without asking; the rest is proposed. Everything can be undone: the graph is
then what it would be without the merge.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np
from numpy.typing import NDArray

from resources.errors import ConflictError, NotFoundError
from resources.knowledge.meaning import ConceptVectors
from resources.knowledge.model import Merge, concept_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from resources.ai.embedder import Embedder
    from resources.knowledge.model import Concept
    from resources.knowledge.projection import GraphProjections
    from resources.knowledge.store import GraphStore
    from resources.knowledge.view import GraphView

Decision = Literal["accept", "reject", "undo"]

SPELT_ALIKE: Final = 1.0
PLURAL: Final = 0.9
INITIALS: Final = 0.75
MEANT_ALIKE: Final = 0.88
MAX_COMPARED: Final = 5000
MAX_PROPOSALS: Final = 200
_BLOCK: Final = 500
_SHORTEST: Final = 4
_INITIALS: Final = (3, 6)
_PARTS = re.compile(r"[\W_]+")
_AFTER: Final = {"accept": ("proposed", "merged"), "reject": ("proposed", "rejected"), "undo": ("merged", "undone")}


@dataclass(frozen=True, slots=True)
class Candidate:
    """Two concepts that may be one. `alias` is the less central of the two."""

    alias: str
    into: str
    score: float
    reason: str


Vectors = NDArray[np.float32]


def central(view: GraphView) -> list[int]:
    """The 5,000 concepts (places) with the most edges: those whose vectors are kept and compared."""
    return np.argsort(-np.diff(view.undirected.indptr), kind="stable")[:MAX_COMPARED].tolist()  # type: ignore[no-any-return]


def candidates(view: GraphView, *, vectors: Vectors | None = None, threshold: float = MEANT_ALIKE) -> list[Candidate]:
    """Pairs that may be one, the surest first. With the vectors of the `central` concepts also those that mean the same."""
    degrees = np.diff(view.undirected.indptr)
    found: dict[tuple[int, int], tuple[float, str]] = {}
    for measure in (_by_spelling, _by_initials):
        for one, other, score, reason in measure(view.concepts):
            found.setdefault((min(one, other), max(one, other)), (score, reason))
    if vectors is not None:
        for one, other, score in _by_meaning(central(view), vectors, threshold):
            reason = f"the names mean the same (cosine {score:.2f})"
            found.setdefault((min(one, other), max(one, other)), (score, reason))
    result = []
    for (one, other), (score, reason) in found.items():
        alias, into = (
            (one, other) if (degrees[one], view.ids[other]) < (degrees[other], view.ids[one]) else (other, one)
        )
        result.append(Candidate(view.ids[alias], view.ids[into], score, reason))
    return sorted(result, key=lambda pair: (-pair.score, pair.alias, pair.into))


class Resolution:
    """Proposes and decides merges. Each decision is one entry in the log, with who made it and why."""

    def __init__(
        self, store: GraphStore, views: GraphProjections, *, embedder: Callable[[], Embedder] | None = None
    ) -> None:
        self._store = store
        self._views = views
        self._embedder = embedder

    def scan(self, *, tenant: str, now: datetime, meaning: bool = True) -> list[Merge]:
        """Look for concepts that may be one: what is spelt alike is merged, the rest is proposed.

        What was decided once, either way, is not brought up again. Returns what is new in the log.
        """
        known = {frozenset((merge.alias, merge.into)) for merge in self._store.merges(tenant=tenant)}
        view = self._views.view(tenant)
        vectors = None
        if meaning and self._embedder is not None:
            known_by = ConceptVectors(self._store, self._embedder())
            vectors, _ = known_by.of([view.concepts[place] for place in central(view)], tenant=tenant)
        taken: set[str] = set()
        new: list[Merge] = []
        for pair in candidates(view, vectors=vectors):
            if len(new) == MAX_PROPOSALS:
                break
            if frozenset((pair.alias, pair.into)) in known:
                continue
            sure = pair.score >= SPELT_ALIKE and pair.into not in taken and pair.alias not in taken
            if sure:
                taken.add(pair.alias)
            merge = Merge(
                id=str(uuid.uuid4()),
                alias=pair.alias,
                into=pair.into,
                status="merged" if sure else "proposed",
                score=round(min(pair.score, 1.0), 4),
                reason=pair.reason,
                by="scan",
                at=now,
            )
            self._store.put_merge(merge, tenant=tenant)
            new.append(merge)
        return new

    def merge(self, alias: str, into: str, *, reason: str, by: str, tenant: str, now: datetime) -> Merge:
        """Let `alias` stand for `into` (names or ids; they need not be there yet). Raises InvalidInputError for a circle."""
        merge = Merge(
            id=str(uuid.uuid4()),
            alias=concept_id(alias),
            into=concept_id(into),
            status="merged",
            score=None,
            reason=reason,
            by=by,
            at=now,
        )
        self._store.put_merge(merge, tenant=tenant)
        return merge

    def decide(self, merge_id: str, decision: Decision, *, by: str, tenant: str, now: datetime) -> Merge:
        """Accept or reject a proposal, or undo a merge. Raises NotFoundError, and ConflictError if it is too late for that."""
        found = next((merge for merge in self._store.merges(tenant=tenant) if merge.id == merge_id), None)
        if found is None:
            raise NotFoundError(f"There is no merge {merge_id!r}.", code="merge_not_found")
        wanted, after = _AFTER[decision]
        if found.status != wanted:
            raise ConflictError(
                f"Merge {merge_id!r} is {found.status}; only one that is {wanted} can be decided so.",
                code="merge_decided",
            )
        decided = Merge.model_validate(found.model_dump() | {"status": after, "by": by, "at": now})
        self._store.put_merge(decided, tenant=tenant)
        return decided


def _by_spelling(concepts: Sequence[Concept]) -> list[tuple[int, int, float, str]]:
    """Names of the same letters, without case, hyphens and spaces; and such that differ in a plural `s`."""
    groups: dict[str, list[int]] = {}
    for place, concept in enumerate(concepts):
        groups.setdefault("".join(_PARTS.split(concept_id(concept.name))), []).append(place)
    pairs = [
        (group[0], other, SPELT_ALIKE, "the names have the same letters")
        for group in groups.values()
        for other in group[1:]
    ]
    for letters, group in groups.items():
        if len(letters) >= _SHORTEST and (plural := groups.get(f"{letters}s")):
            pairs.append((group[0], plural[0], PLURAL, "one is the plural of the other"))
    return pairs


def _by_initials(concepts: Sequence[Concept]) -> list[tuple[int, int, float, str]]:
    """A short name that is made of the initials of another's words."""
    least, most = _INITIALS
    short = {
        concept.id: place
        for place, concept in enumerate(concepts)
        if least <= len(concept.id) <= most and "-" not in concept.id
    }
    pairs = []
    for place, concept in enumerate(concepts):
        words = concept.id.split("-")
        other = short.get("".join(word[0] for word in words if word)) if least <= len(words) <= most else None
        if other is not None:
            pairs.append((other, place, INITIALS, "one is the initials of the other"))
    return pairs


def _by_meaning(places: Sequence[int], vectors: Vectors, threshold: float) -> list[tuple[int, int, float]]:
    pairs = []
    for start in range(0, len(places), _BLOCK):
        cosines = vectors[start : start + _BLOCK] @ vectors.T
        for row, column in np.argwhere(cosines >= threshold).tolist():
            if start + row < column:
                pairs.append((places[start + row], places[column], float(cosines[row, column])))
    return pairs
