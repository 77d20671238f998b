"""What a text says about how its terms hang together: by its outline, by its links, and by what stands together in it.

Terms stand together when they share more passages than chance explains: Dunning's log-likelihood ratio (1993) above 10.83, which
chance gives in one case of a thousand. The strength is the normalised pointwise mutual information (Bouma 2009).
"""

from __future__ import annotations

import math
import re
from itertools import combinations
from typing import TYPE_CHECKING, Final

from resources.knowledge.model import Edge, EdgeType, Evidence, Origin, concept_id, evidence_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from resources.content.model import ParsedDocument

SIGNIFICANT: Final = 10.83
MIN_TOGETHER: Final = 3
MAX_COOCCURRENCES: Final = 30
PART_WEIGHT: Final = 0.6
LINK_WEIGHT: Final = 0.5
_LEAST: Final = 0.01
_SENTENCES = re.compile(r"[^.!?\n]+")

Found = tuple[Edge, Evidence]


def relations(
    parsed: ParsedDocument,
    terms: Mapping[str, str],
    *,
    subject: str | None,
    passages: Sequence[tuple[int, int]] = (),
) -> list[Found]:
    """The edges that the text gives between `terms` (id to name), with where it does.

    `subject` is the id of what the document is about, `passages` where each of its passages begins and ends.
    """
    found: dict[str, Found] = {}
    for edge, evidence in (
        *_parts(parsed, terms, subject, passages),
        *_links(parsed, terms, subject),
        *_together(parsed, terms, passages),
    ):
        found.setdefault(evidence_key(edge.source, edge.target, edge.type), (edge, evidence))
    return list(found.values())


def occurrences(text: str, name: str) -> list[int]:
    """Where the name stands in the text as a word of its own, in any case."""
    pattern = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)", re.IGNORECASE)
    return [match.start() for match in pattern.finditer(text)]


def chunks_with(places: Collection[int], passages: Sequence[tuple[int, int]]) -> tuple[int, ...]:
    """The numbers of the passages in which one of these places lies."""
    return tuple(
        number for number, (start, end) in enumerate(passages) if any(start <= place < end for place in places)
    )


def log_likelihood(both: int, one: int, other: int, total: int) -> float:
    """Dunning's G²: how unlikely chance lets `one` and `other` of `total` passages share `both`. 0 if they share fewer."""
    if total == 0 or both * total <= one * other:
        return 0.0
    table = (
        (both, one, other),
        (one - both, one, total - other),
        (other - both, total - one, other),
        (total - one - other + both, total - one, total - other),
    )
    return 2 * sum(seen * math.log(seen * total / (row * column)) for seen, row, column in table if seen > 0)


def _parts(
    parsed: ParsedDocument, terms: Mapping[str, str], subject: str | None, passages: Sequence[tuple[int, int]]
) -> Iterator[Found]:
    """A section about one term inside a section (or a document) about another is a part of that."""
    above: list[tuple[int, str]] = []
    for section in parsed.sections:
        while above and above[-1][0] >= section.level:
            above.pop()
        key = concept_id(section.title)
        if key not in terms:
            continue
        wider = above[-1][1] if above else subject
        above.append((section.level, key))
        if wider is not None and wider != key:
            evidence = Evidence(origin=Origin.STRUCTURE, chunks=chunks_with([section.start], passages))
            yield Edge(source=key, target=wider, type=EdgeType.PART_OF, weight=PART_WEIGHT), evidence


def _links(parsed: ParsedDocument, terms: Mapping[str, str], subject: str | None) -> Iterator[Found]:
    """The subject is related to the terms that its document links to."""
    if subject is None:
        return
    linked = {concept_id(link.text) for link in parsed.links if link.kind in {"external", "internal", "file"}}
    for key in sorted(linked & terms.keys() - {subject}):
        yield _related(subject, key, LINK_WEIGHT), Evidence(origin=Origin.LINKS)


def _together(parsed: ParsedDocument, terms: Mapping[str, str], passages: Sequence[tuple[int, int]]) -> Iterator[Found]:
    sentences = [match.span() for match in _SENTENCES.finditer(parsed.text) if match[0].strip()]
    starts = {key: occurrences(parsed.text, name) for key, name in sorted(terms.items())}
    inside = {key: _sentences_of(places, sentences) for key, places in starts.items() if places}
    scored = []
    for one, other in combinations(sorted(inside), 2):
        if one in other.split("-") or other in one.split("-"):
            continue  # "graph" stands wherever "graph database" does
        both = inside[one] & inside[other]
        ratio = log_likelihood(len(both), len(inside[one]), len(inside[other]), len(sentences))
        if len(both) >= MIN_TOGETHER and ratio >= SIGNIFICANT:
            scored.append((ratio, one, other, both))
    for _, one, other, both in sorted(scored, key=lambda item: (-item[0], item[1], item[2]))[:MAX_COOCCURRENCES]:
        share = len(both) / len(sentences)
        chance = len(inside[one]) * len(inside[other]) / len(sentences) ** 2
        strength = math.log(share / chance) / -math.log(share) if share < 1 else 1.0
        places = [sentences[number][0] for number in both]
        evidence = Evidence(origin=Origin.COOCCURRENCE, chunks=chunks_with(places, passages))
        yield _related(one, other, min(1.0, max(strength, _LEAST))), evidence


def _sentences_of(places: Sequence[int], sentences: Sequence[tuple[int, int]]) -> set[int]:
    found, number = set(), 0
    for place in places:
        while number < len(sentences) and sentences[number][1] <= place:
            number += 1
        if number < len(sentences) and sentences[number][0] <= place:
            found.add(number)
    return found


def _related(one: str, other: str, weight: float) -> Edge:
    """An edge without direction, written the same way whichever of the two is named first."""
    source, target = sorted((one, other))
    return Edge(source=source, target=target, type=EdgeType.RELATED_TO, weight=weight)
