"""Grades: readability (Flesch 1948), quality and difficulty, each a weighted sum of things that can be counted."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from resources.content.analysers.reading import syllables
from resources.content.analysers.words import (
    ABSTRACT_ENDINGS,
    DOMAIN_WORDS,
    EVIDENCE,
    HEDGES,
    PLACEHOLDERS,
    PRONOUNS,
    TRANSITIONS,
)

if TYPE_CHECKING:
    from resources.content.analysers.reading import Reading

Level = Literal["beginner", "intermediate", "advanced", "expert"]

WORDS_PER_MINUTE = 225
_LONG_WORD = 3
_STRUCTURED = 3
_LEVELS: tuple[tuple[float, Level], ...] = ((0.3, "beginner"), (0.6, "intermediate"), (0.8, "advanced"))
_LENGTH_STEPS = ((500, 1.0), (300, 0.8), (150, 0.6), (50, 0.4), (0, 0.2))


@dataclass(frozen=True, slots=True)
class Counts:
    """What the grades are computed from."""

    words: int
    sentences: int
    content_words: int
    distinct: int
    long_words: int
    abstract: int
    domain: int
    transitions: int
    pronouns: int
    hedges: int
    evidence: int
    syllables: int
    prose_words: int


def count(reading: Reading) -> Counts:
    """One pass over the words."""
    lower = [word.lower for word in reading.words]
    prose = [sentence for sentence in reading.sentences if sentence.prose]
    spoken = [syllables(lower[index]) for sentence in prose for index in range(sentence.first, sentence.last)]
    return Counts(
        words=len(lower),
        sentences=len(prose),
        content_words=sum(word.telling for word in reading.words),
        distinct=len(set(lower)),
        long_words=sum(1 for amount in spoken if amount >= _LONG_WORD),
        abstract=sum(1 for word in lower if len(word) > 6 and word.endswith(ABSTRACT_ENDINGS)),  # noqa: PLR2004
        domain=sum(1 for word in lower if word in DOMAIN_WORDS),
        transitions=sum(1 for word in lower if word in TRANSITIONS),
        pronouns=sum(1 for word in lower if word in PRONOUNS),
        hedges=sum(1 for word in lower if word in HEDGES),
        evidence=sum(1 for word in lower if word in EVIDENCE),
        syllables=sum(spoken),
        prose_words=len(spoken),
    )


def readability(counts: Counts) -> float | None:
    """Flesch reading ease of the prose: 206.835 - 1.015 words/sentence - 84.6 syllables/word; None without a sentence."""
    if not counts.sentences or not counts.prose_words:
        return None
    ease = 206.835 - 1.015 * counts.prose_words / counts.sentences - 84.6 * counts.syllables / counts.prose_words
    return round(ease, 2)


def quality(reading: Reading, counts: Counts, ease: float | None) -> float:
    """.2 readability + .15 completeness + .2 accuracy + .15 coherence + .1 grammar + .1 vocabulary + .1 structure, 0..1."""
    document = reading.document
    score = (
        0.2 * _clamp((ease if ease is not None else 0.0) / 100)
        + 0.15 * _completeness(reading, counts)
        + 0.2 * _accuracy(reading, counts)
        + 0.15 * _clamp(0.5 + min(0.3, 0.1 * counts.transitions) + min(0.2, 0.05 * counts.pronouns))
        + 0.1 * _clamp(1 - 0.1 * _grammar_issues(reading))
        + 0.1 * _clamp(_type_token(counts) + min(0.3, counts.long_words / max(counts.prose_words, 1)))
        + 0.1
        * _clamp(0.4 + 0.1 * min(4, len(document.sections)) + 0.1 * bool(document.links) + 0.1 * bool(document.title))
    )
    return round(_clamp(score), 4)


def difficulty(reading: Reading, counts: Counts, concept_count: int) -> tuple[float, Level]:
    """The mean of vocabulary, concept density, sentence complexity and cognitive load, 0..1, and its level."""
    words = max(counts.words, 1)
    vocabulary = _clamp(2.5 * counts.long_words / max(counts.prose_words, 1))
    density = _clamp(25 * concept_count / words + 4 * counts.domain / words)
    length = counts.prose_words / counts.sentences if counts.sentences else 10.0
    sentence = _clamp((length - 6) / 24)
    structure = _clamp(1 - len(reading.document.sections) * 100 / words) if reading.document.sections else 0.7
    abstract = _clamp(6 * counts.abstract / words)
    information = _clamp(counts.content_words / words)
    load = 0.3 * vocabulary + 0.25 * density + 0.2 * structure + 0.15 * information + 0.1 * abstract
    score = round(_clamp((vocabulary + density + sentence + load) / 4), 4)
    return score, next((level for bound, level in _LEVELS if score <= bound), "expert")


def reading_seconds(words: int, difficulty_score: float) -> int:
    """Words / (225 (1 - .5 difficulty)) minutes, in whole seconds; at least 1."""
    return max(1, round(words / (WORDS_PER_MINUTE * (1 - 0.5 * difficulty_score)) * 60))


def _completeness(reading: Reading, counts: Counts) -> float:
    document = reading.document
    steps = next(score for least, score in _LENGTH_STEPS if counts.words >= least)
    return _clamp(
        steps
        + 0.05 * bool(document.code)
        + 0.05 * bool(document.tables)
        + 0.05 * (len(document.sections) >= _STRUCTURED)
    )


def _accuracy(reading: Reading, counts: Counts) -> float:
    text = reading.document.text[:50_000].lower()
    placeholders = sum(mark in text for mark in PLACEHOLDERS)
    return _clamp(0.8 + min(0.2, 0.02 * counts.evidence) - min(0.3, 0.05 * counts.hedges) - 0.1 * placeholders)


def _grammar_issues(reading: Reading) -> int:
    """Sentences that begin without a capital, and words written twice in a row."""
    words = reading.words
    openings = sum(
        1
        for item in reading.sentences
        if item.prose and item.text[0].islower() and item.text[0] == words[item.first].text[0]
    )
    doubled = sum(
        1
        for before, word in pairwise(words)
        if word.joined and before.lower == word.lower and word.lower not in {"that", "had"}
    )
    return openings + doubled


def _type_token(counts: Counts) -> float:
    """Distinct words over words, corrected for length (Guiraud 1954): 10 distinct words a root of words is rich."""
    return _clamp(counts.distinct / max(counts.words, 1) ** 0.5 / 14)


def _clamp(value: float) -> float:
    return min(max(value, 0.0), 1.0)
