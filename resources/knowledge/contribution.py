"""What a document supports, as sets that can be compared: the pure half of every graph store.

A concept's name, kind, description and difficulty are those of its *voice*: of the documents that support it, the one that
knows best (see `Claim.rank`). The choice depends on the set of supporting documents alone, never on the order in which
they came, so that a graph after any number of changes equals one that is built from scratch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from resources.errors import InvalidInputError, Problem
from resources.knowledge.model import (
    CURATION,
    Concept,
    Edge,
    EdgeType,
    Extraction,
    LearningResource,
    Merge,
    Support,
    evidence_key,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from resources.knowledge.state import EdgeKey

Span = tuple[int, int]
SHOWN_PASSAGES: Final = 3
_NO_ALIASES: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Claim:
    """What one document says about one concept.

    `weight` is None when it names the concept without being about it; `aliased` tells that it uses another name that was merged
    into this concept's.
    """

    concept: Concept
    weight: float | None
    aliased: bool = False

    def rank(self, document_id: str) -> tuple[bool, bool, bool, bool, float, str]:
        """The smallest rank speaks: who uses its own name, people, subjects, descriptions, the most about it, the first id."""
        secondary = self.concept.kind != "subject"
        return (
            self.aliased,
            secondary or not document_id.startswith(CURATION),
            secondary,
            self.concept.description is None,
            -(self.weight or 0.0),
            document_id,
        )


@dataclass(frozen=True, slots=True)
class Lesson:
    """How much a document teaches of a concept, and its first passages that do."""

    weight: float
    passages: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Contribution:
    """An extraction with each concept and each edge once.

    `taught` are the concepts that its document is about, `passages` its passages by number, `named` which of these name which
    concept.
    """

    supports: dict[str, Claim]
    edges: dict[EdgeKey, float]
    resource: LearningResource | None = None
    taught: dict[str, Lesson] = field(default_factory=dict)
    passages: dict[int, Span] = field(default_factory=dict)
    named: frozenset[tuple[int, Span, str]] = frozenset()


NOTHING = Contribution({}, {})


@dataclass(frozen=True, slots=True)
class Delta:
    """What must change in the graph so that a document's contribution becomes another."""

    added_supports: dict[str, Claim]
    removed_supports: frozenset[str]
    added_edges: dict[EdgeKey, float]
    removed_edges: frozenset[EdgeKey]
    resource_changed: bool
    added_lessons: dict[str, Lesson]
    removed_lessons: frozenset[str]
    added_passages: dict[int, Span]
    removed_passages: frozenset[int]
    added_names: frozenset[tuple[int, str]]
    removed_names: frozenset[tuple[int, str]]


def roots_of(merges: Iterable[Merge]) -> dict[str, str]:
    """For each merged alias the concept that it stands for in the end. Raises InvalidInputError when that is itself."""
    into = {merge.alias: merge.into for merge in merges if merge.status == "merged"}
    roots = {}
    for alias, target in into.items():
        root, seen = target, {alias}
        while root in into and root not in seen:
            seen.add(root)
            root = into[root]
        if root in seen:
            raise InvalidInputError(
                f"Concept {alias!r} would stand for itself: {', '.join(sorted(seen))} are merged into each other.",
                code="merge_circular",
            )
        roots[alias] = root
    return roots


def contribution_of(extraction: Extraction, roots: Mapping[str, str] = _NO_ALIASES) -> Contribution:
    """The extraction's contribution, with each alias as what it stands for.

    Raises InvalidInputError with all that is wrong with it.
    """
    problems = tuple(_problems(extraction))
    if problems:
        raise InvalidInputError(
            f"The extraction of document {extraction.document_id!r} does not fit together: "
            + "; ".join(map(str, problems)),
            problems=problems,
            code="extraction_invalid",
        )
    supports: dict[str, Claim] = {}
    # Its own name comes first, then aliases in order: the first speaks, and all add to the weight.
    for concept in sorted(extraction.concepts, key=lambda concept: (concept.id in roots, concept.id)):
        key, weight = roots.get(concept.id, concept.id), extraction.mentions.get(concept.id)
        former = supports.get(key)
        if former is None:
            named = concept if concept.id == key else concept.model_copy(update={"id": key})
            supports[key] = Claim(named, weight, aliased=concept.id != key)
        elif weight is not None:
            supports[key] = replace(former, weight=max(weight, former.weight or 0.0))
    edges: dict[EdgeKey, float] = {}
    for edge in sorted(extraction.edges, key=lambda edge: (edge.source, edge.target, edge.type)):
        edge_key = _key_of(edge, roots)
        if edge_key[0] != edge_key[1]:
            edges[edge_key] = max(edge.weight, edges.get(edge_key, 0.0))
    spans = dict(enumerate(extraction.passages))
    places = sorted(
        {
            (number, spans[number], roots.get(concept.id, concept.id))
            for concept in extraction.concepts
            if concept.id in extraction.evidence
            for number in extraction.evidence[concept.id].chunks
            if number in spans
        }
    )
    taught: dict[str, Lesson] = {}
    if extraction.resource is not None:
        first: dict[str, list[Span]] = {}
        for _, span, key in places:
            first.setdefault(key, []).append(span)
        taught = {
            key: Lesson(claim.weight, tuple(first.get(key, ())[:SHOWN_PASSAGES]))
            for key, claim in sorted(supports.items())
            if claim.weight is not None
        }
    return Contribution(dict(sorted(supports.items())), edges, extraction.resource, taught, spans, frozenset(places))


def _key_of(edge: Edge, roots: Mapping[str, str]) -> EdgeKey:
    source, target = roots.get(edge.source, edge.source), roots.get(edge.target, edge.target)
    renamed = (source, target) != (edge.source, edge.target)
    if renamed and edge.type is EdgeType.RELATED_TO and source > target:
        source, target = target, source
    return (source, target, edge.type)


def delta(former: Contribution, new: Contribution) -> Delta:
    """The change from `former` to `new`. What changed is removed and added again."""
    same_supports = {key for key, support in new.supports.items() if former.supports.get(key) == support}
    same_edges = {key for key, weight in new.edges.items() if former.edges.get(key) == weight}
    same_passages = {number for number, span in new.passages.items() if former.passages.get(number) == span}
    again = former.resource is None or new.resource is None
    same_lessons = set() if again else {key for key, told in new.taught.items() if former.taught.get(key) == told}
    return Delta(
        added_supports={key: support for key, support in new.supports.items() if key not in same_supports},
        removed_supports=frozenset(former.supports.keys() - same_supports),
        added_edges={key: weight for key, weight in new.edges.items() if key not in same_edges},
        removed_edges=frozenset(former.edges.keys() - same_edges),
        resource_changed=former.resource != new.resource,
        added_lessons={key: told for key, told in new.taught.items() if key not in same_lessons},
        # What leaves with its resource or its passage needs no statement of its own.
        removed_lessons=frozenset() if new.resource is None else frozenset(former.taught.keys() - same_lessons),
        added_passages={number: span for number, span in new.passages.items() if number not in same_passages},
        removed_passages=frozenset(former.passages.keys() - same_passages),
        added_names=frozenset((number, key) for number, _, key in new.named - former.named),
        removed_names=frozenset(
            (number, key) for number, _, key in former.named - new.named if number in same_passages
        ),
    )


def support_of(
    extraction: Extraction,
    source: str,
    target: str | None = None,
    type: EdgeType | None = None,
    *,
    roots: Mapping[str, str] = _NO_ALIASES,
) -> Support | None:
    """What the document says for the concept `source`, or the edge from it to `target`; None if it says nothing."""
    contribution = contribution_of(extraction, roots)
    if target is None or type is None:
        if source not in contribution.supports:
            return None
        weight = contribution.supports[source].weight
        keys = [concept.id for concept in extraction.concepts if roots.get(concept.id, concept.id) == source]
    else:
        wanted = (source, target, type)
        if wanted not in contribution.edges:
            return None
        weight = contribution.edges[wanted]
        same = (edge for edge in extraction.edges if _key_of(edge, roots) == wanted)
        keys = [evidence_key(edge.source, edge.target, edge.type) for edge in same]
    found = [extraction.evidence[key] for key in sorted(set(keys)) if key in extraction.evidence]
    return Support(
        document_id=extraction.document_id,
        title=extraction.title,
        weight=weight,
        run_id=extraction.run_id,
        evidence=tuple(found),
        stated=extraction.stated,
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
    for number, (begins, ends) in enumerate(extraction.passages):
        if not 0 <= begins <= ends:
            yield Problem(f"passages.{number}", f"{begins} to {ends} is not a passage")
