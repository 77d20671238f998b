"""The search of passages without a database: every passage is looked at. The same promises, exact."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resources.content.retrieval.model import FUSION, POOL, Found, FoundChunk
from resources.content.retrieval.wording import content_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from resources.content.model import Chunk
    from resources.content.retrieval.model import Facts, Filters, Wanted


@dataclass(frozen=True, slots=True)
class Row:
    """A passage as it is kept."""

    document_id: str
    title: str | None
    chunk: Chunk
    vector: NDArray[np.float32]
    model_id: str
    facts: Facts

    @property
    def key(self) -> tuple[str, str]:
        return self.document_id, self.chunk.sha256


def find(rows: Sequence[Row], wanted: Wanted) -> Found:
    """The passages among `rows`, which are all of the tenant, in order of document and place."""
    passing = {row.key: row for row in reversed(rows) if passes(row.document_id, row.facts, wanted.filters)}
    near = _by_meaning(list(passing.values()), wanted)
    worded = _by_words(list(passing.values()), wanted)
    lists = (wanted.text is not None) + (wanted.vector is not None)
    scores = {
        key: sum(1 / (FUSION + place[key]) for place in (near, worded) if key in place) * (FUSION + 1) / lists
        for key in near.keys() | worded.keys()
    }
    order = sorted(scores, key=lambda key: (-scores[key], key))
    page = order[wanted.offset : wanted.offset + wanted.limit]
    hits = tuple(_hit(passing[key], scores[key], near.get(key), worded.get(key), wanted) for key in page)
    if not hits:
        return Found()
    return Found(hits, len(order), _facets([passing[key].facts for key in order]))


def passes(document_id: str, facts: Facts, filters: Filters) -> bool:
    """Whether a document is what the filters ask for."""
    quality, received = facts.quality, facts.received_at
    return (
        (not filters.types or facts.media_type in filters.types)
        and (not filters.languages or facts.language in filters.languages)
        and (not filters.difficulties or facts.difficulty in filters.difficulties)
        and set(filters.tags) <= set(facts.tags)
        and (filters.min_quality is None or (quality is not None and quality >= filters.min_quality))
        and (filters.since is None or (received is not None and received >= filters.since))
        and (filters.until is None or (received is not None and received < filters.until))
        and (not filters.documents or document_id in filters.documents)
        and document_id not in filters.without
    )


def _by_meaning(rows: Sequence[Row], wanted: Wanted) -> Mapping[tuple[str, str], int]:
    if wanted.vector is None:
        return {}
    scored = [(-float(row.vector @ wanted.vector), row.key) for row in rows if row.model_id == wanted.model_id]
    return {key: place for place, (_, key) in enumerate(sorted(scored)[:POOL], 1)}


def _by_words(rows: Sequence[Row], wanted: Wanted) -> Mapping[tuple[str, str], int]:
    asked = set(content_words(wanted.text or ""))
    if not asked:
        return {}
    counted = {row.key: Counter(content_words(f"{row.title or ''} {row.chunk.text}")) for row in rows}
    frequency = Counter(word for words in counted.values() for word in asked & words.keys())
    scored = [
        (-sum(math.log(1 + len(rows) / frequency[word]) * words[word] / (words[word] + 1) for word in present), key)
        for key, words in counted.items()
        if (present := asked & words.keys())
    ]
    return {key: place for place, (_, key) in enumerate(sorted(scored)[:POOL], 1)}


def _hit(row: Row, score: float, near: int | None, worded: int | None, wanted: Wanted) -> FoundChunk:
    vector = wanted.vector if row.model_id == wanted.model_id else None
    return FoundChunk(
        document_id=row.document_id,
        document_title=row.title,
        ordinal=row.chunk.ordinal,
        text=row.chunk.text,
        section=row.chunk.section,
        start=row.chunk.start,
        end=row.chunk.end,
        score=score,
        similarity=None if vector is None else float(row.vector @ vector),
        place_by_meaning=near,
        place_by_words=worded,
        facts=row.facts,
    )


def _facets(known: Sequence[Facts]) -> Mapping[str, Mapping[str, int]]:
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for facts in known:
        named = {"type": facts.media_type, "language": facts.language, "difficulty": facts.difficulty}
        for facet, value in [*named.items(), *(("tags", tag) for tag in facts.tags)]:
            if value is not None:
                counted[facet][value] += 1
    return {facet: dict(counts) for facet, counts in counted.items()}
