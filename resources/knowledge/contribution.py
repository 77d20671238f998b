"""What a document supports, as sets that can be compared: the pure half of every graph store.

A concept's name, kind, description and difficulty are those of its *voice*: of the documents that support it, the one that
knows best (see `Claim.rank`). The choice depends on the set of supporting documents alone, never on the order in which
they came, so that a graph after any number of changes equals one that is built from scratch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from resources.errors import InvalidInputError, Problem
from resources.knowledge.model import Concept, Extraction, Support, evidence_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.knowledge.model import EdgeType
    from resources.knowledge.state import EdgeKey


@dataclass(frozen=True, slots=True)
class Claim:
    """What one document says about one concept. `weight` is None when it names the concept without being about it."""

    concept: Concept
    weight: float | None

    def rank(self, document_id: str) -> tuple[bool, bool, float, str]:
        """The smallest rank speaks: subjects, then descriptions, then the document most about it, then the first id."""
        return (
            self.concept.kind != "subject",
            self.concept.description is None,
            -(self.weight or 0.0),
            document_id,
        )


@dataclass(frozen=True, slots=True)
class Contribution:
    """An extraction with each concept and each edge once."""

    supports: dict[str, Claim]
    edges: dict[EdgeKey, float]


NOTHING = Contribution({}, {})


@dataclass(frozen=True, slots=True)
class Delta:
    """What must change in the graph so that a document's contribution becomes another."""

    added_supports: dict[str, Claim]
    removed_supports: frozenset[str]
    added_edges: dict[EdgeKey, float]
    removed_edges: frozenset[EdgeKey]


def contribution_of(extraction: Extraction) -> Contribution:
    """The extraction's contribution. Raises InvalidInputError with all that is wrong with it."""
    problems = tuple(_problems(extraction))
    if problems:
        raise InvalidInputError(
            f"The extraction of document {extraction.document_id!r} does not fit together: "
            + "; ".join(map(str, problems)),
            problems=problems,
            code="extraction_invalid",
        )
    supports = {
        concept.id: Claim(concept, extraction.mentions.get(concept.id))
        for concept in sorted(extraction.concepts, key=lambda concept: concept.id)
    }
    edges: dict[EdgeKey, float] = {}
    for edge in sorted(extraction.edges, key=lambda edge: (edge.source, edge.target, edge.type)):
        key = (edge.source, edge.target, edge.type)
        edges[key] = max(edge.weight, edges.get(key, 0.0))
    return Contribution(supports, edges)


def delta(former: Contribution, new: Contribution) -> Delta:
    """The change from `former` to `new`. What changed is removed and added again."""
    same_supports = {key for key, support in new.supports.items() if former.supports.get(key) == support}
    same_edges = {key for key, weight in new.edges.items() if former.edges.get(key) == weight}
    return Delta(
        added_supports={key: support for key, support in new.supports.items() if key not in same_supports},
        removed_supports=frozenset(former.supports.keys() - same_supports),
        added_edges={key: weight for key, weight in new.edges.items() if key not in same_edges},
        removed_edges=frozenset(former.edges.keys() - same_edges),
    )


def support_of(
    extraction: Extraction, source: str, target: str | None = None, type: EdgeType | None = None
) -> Support | None:
    """What the document says for the concept `source`, or the edge from it to `target`; None if it says nothing."""
    contribution = contribution_of(extraction)
    if target is None or type is None:
        claim = contribution.supports.get(source)
        if claim is None:
            return None
        key, weight = source, claim.weight
    else:
        found = contribution.edges.get((source, target, type))
        if found is None:
            return None
        key, weight = evidence_key(source, target, type), found
    return Support(
        document_id=extraction.document_id,
        title=extraction.title,
        weight=weight,
        run_id=extraction.run_id,
        evidence=extraction.evidence.get(key),
    )


def _problems(extraction: Extraction) -> Iterator[Problem]:
    known: set[str] = set()
    for index, concept in enumerate(extraction.concepts):
        if not concept.id:
            yield Problem(f"concepts.{index}.id", "is empty", f"name {concept.name!r} has no letter or digit")
        if concept.id in known:
            yield Problem(f"concepts.{index}.id", f"{concept.id!r} is there twice")
        known.add(concept.id)
    for mentioned, weight in extraction.mentions.items():
        if mentioned not in known:
            yield Problem(f"mentions.{mentioned}", "is not among the concepts")
        if not 0 <= weight <= 1:
            yield Problem(f"mentions.{mentioned}", f"{weight} is not between 0 and 1")
    for index, edge in enumerate(extraction.edges):
        for end, concept_id in (("source", edge.source), ("target", edge.target)):
            if concept_id not in known:
                yield Problem(f"edges.{index}.{end}", f"{concept_id!r} is not among the concepts")
        if edge.source == edge.target:
            yield Problem(f"edges.{index}", f"{edge.source!r} points to itself")
