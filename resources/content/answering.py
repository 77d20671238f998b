"""Answers that rest on passages: every sentence says where it stands, and what nothing supports is not said.

Two ways lead here. Without a model, the sentences that answer are taken from the passages word for word (`extract`). With one, a
model writes sentences and quotes for each what supports it; the quote has to stand in the passage as it is quoted, else the
sentence is left out (`checked`).
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, Field

from resources.content.retrieval.wording import content_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from resources.ai.embedder import Embedder
    from resources.content.model import SearchHit

NOTHING: Final = "Nothing in the documents answers this."
_END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])|\n\s*\n|\n(?=\s*[-*#•\d])")
_MOST_COMPARED: Final = 48
_SHORTEST: Final = 3
_HEADING: Final = 8
"""A line of fewer words that does not end as a sentence is taken for a heading."""
_ENOUGH: Final = 0.5
"""A sentence answers that is so near the question in meaning (cosine) …"""
_ENOUGH_WITH_WORDS: Final = 0.3
_WORDS: Final = 0.5
"""… or less near, but with this share of the question's words."""
_BESIDE_THE_BEST: Final = 0.75


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Claim(_Frozen):
    """What a model says, and what it rests on."""

    text: str = Field(min_length=1, max_length=4000, description="One sentence of the answer")
    passage: int = Field(ge=1, description="Number of the passage that supports it, from 1")
    quote: str = Field(
        min_length=1, max_length=4000, description="The words of the passage that support it, as they stand"
    )


class Quotation(_Frozen):
    """Where the support of a sentence stands: `text[start:end]` of the document's parsed text is `quote`."""

    document_id: str
    document_title: str | None
    section: str | None
    ordinal: int = Field(description="Number of the passage within the document")
    start: int
    end: int
    quote: str


class CitedSentence(_Frozen):
    """A sentence of an answer with its support."""

    text: str
    support: float | None = Field(description="How near it is to the question, 0 to 1; null for a model's sentence")
    citations: tuple[Quotation, ...] = Field(min_length=1)


class CitedAnswer(_Frozen):
    """An answer, or that there is none."""

    found: bool = Field(description="Whether anything supports an answer")
    answer: str = Field(description="The sentences with the numbers of their sources, or that nothing was found")
    sentences: tuple[CitedSentence, ...]
    dropped: int = Field(default=0, description="Sentences of a model that were left out, as nothing supports them")


def extract(question: str, passages: Sequence[SearchHit], embedder: Embedder, *, most: int = 3) -> CitedAnswer:
    """The sentences of the passages that answer best, at most `most`, word for word. Not an AI model's answer."""
    asked = frozenset(content_words(question))
    candidates = _candidates(passages, asked)
    if not candidates:
        return _answer([])
    vectors = embedder.embed([question, *(" ".join(text.split()) for text, _, _ in candidates)])
    near = vectors[1:] @ vectors[0]
    scored = []
    for (text, start, passage), cosine in zip(candidates, map(float, near), strict=True):
        share = _share(text, asked)
        if cosine >= _ENOUGH or (cosine >= _ENOUGH_WITH_WORDS and share >= _WORDS):
            support = 0.6 * min(1.0, max(0.0, cosine)) + 0.4 * share
            scored.append((support, text, start, passage))
    scored.sort(key=lambda item: -item[0])
    kept = [item for item in scored[:most] if item[0] >= _BESIDE_THE_BEST * scored[0][0]]
    return _answer(
        [
            CitedSentence(
                text=" ".join(text.split()), support=round(support, 4), citations=(_quotation(passage, start, text),)
            )
            for support, text, start, passage in kept
        ]
    )


def checked(claims: Sequence[Claim], passages: Sequence[SearchHit]) -> CitedAnswer:
    """The claims whose quote stands in the passage that they name; the others are dropped, and counted."""
    kept = []
    for claim in claims:
        if claim.passage > len(passages):
            continue
        passage = passages[claim.passage - 1]
        place = _place(claim.quote, passage.text)
        if place is not None:
            start, end = place
            cited = _quotation(passage, start, passage.text[start:end])
            kept.append(CitedSentence(text=" ".join(claim.text.split()), support=None, citations=(cited,)))
    return _answer(kept, dropped=len(claims) - len(kept))


def _answer(sentences: Sequence[CitedSentence], *, dropped: int = 0) -> CitedAnswer:
    if not sentences:
        return CitedAnswer(found=False, answer=NOTHING, sentences=(), dropped=dropped)
    text = " ".join(f"{sentence.text} [{number}]" for number, sentence in enumerate(sentences, 1))
    return CitedAnswer(found=True, answer=text, sentences=tuple(sentences), dropped=dropped)


def _candidates(passages: Sequence[SearchHit], asked: frozenset[str]) -> list[tuple[str, int, SearchHit]]:
    """Sentences, each once, those with words of the question first: comparing them costs a run of the model each."""
    found: dict[str, tuple[str, int, SearchHit]] = {}
    for passage in passages:
        for start, text in _sentences(passage.text):
            found.setdefault(" ".join(text.split()).casefold(), (text, start, passage))
    return sorted(found.values(), key=lambda item: -_share(item[0], asked))[:_MOST_COMPARED]


def _sentences(text: str) -> Iterator[tuple[int, str]]:
    edges = [0, *(match.end() for match in _END.finditer(text)), len(text)]
    for first, last in pairwise(edges):
        sentence = text[first:last]
        start = first + len(sentence) - len(sentence.lstrip())
        sentence = sentence.strip()
        words = len(sentence.split())
        if words >= _SHORTEST and (words >= _HEADING or sentence[-1] in ".!?…。！？\"'”’)"):
            yield start, sentence


def _share(text: str, asked: frozenset[str]) -> float:
    return len(asked.intersection(content_words(text))) / len(asked) if asked else 0.0


def _place(quote: str, text: str) -> tuple[int, int] | None:
    """Where the quote stands, however its white space and case are written."""
    words = quote.split()
    if len(words) < _SHORTEST:
        return None
    match = re.search(r"\s+".join(map(re.escape, words)), text, re.IGNORECASE)
    return None if match is None else match.span()


def _quotation(passage: SearchHit, start: int, quote: str) -> Quotation:
    return Quotation(
        document_id=passage.document_id,
        document_title=passage.document_title,
        section=passage.section,
        ordinal=passage.ordinal,
        start=passage.start + start,
        end=passage.start + start + len(quote),
        quote=quote,
    )
