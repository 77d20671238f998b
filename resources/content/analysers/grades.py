"""Grades: readability (Flesch 1948), quality and difficulty, each a weighted sum of things that can be counted."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from resources.content.analysers.lexicon import Flag, Kind
from resources.content.analysers.words import PLACEHOLDERS
from resources.content.model import QualityIssue

if TYPE_CHECKING:
    from resources.content.analysers.reading import Reading

Level = Literal["beginner", "intermediate", "advanced", "expert"]
Part = Literal["readability", "completeness", "accuracy", "coherence", "grammar", "vocabulary", "structure"]

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
    prose = [sentence for sentence in reading.sentences if sentence.prose]
    spoken = b"".join([reading.syllables[sentence.first : sentence.last] for sentence in prose])
    return Counts(
        words=len(reading.texts),
        sentences=len(prose),
        content_words=reading.marked(Flag.TELLING).count(1),
        distinct=len(set(reading.lowers)),
        long_words=len(spoken) - sum(map(spoken.count, range(_LONG_WORD))),
        abstract=reading.of_kind(Kind.ABSTRACT).count(1),
        domain=reading.of_kind(Kind.DOMAIN).count(1),
        transitions=reading.of_kind(Kind.TRANSITION).count(1),
        pronouns=reading.of_kind(Kind.PRONOUN).count(1),
        hedges=reading.of_kind(Kind.HEDGE).count(1),
        evidence=reading.of_kind(Kind.EVIDENCE).count(1),
        syllables=sum(spoken),
        prose_words=len(spoken),
    )


def readability(counts: Counts) -> float | None:
    """Flesch reading ease of the prose: 206.835 - 1.015 words/sentence - 84.6 syllables/word; None without a sentence."""
    if not counts.sentences or not counts.prose_words:
        return None
    ease = 206.835 - 1.015 * counts.prose_words / counts.sentences - 84.6 * counts.syllables / counts.prose_words
    return round(ease, 2)


@dataclass(frozen=True, slots=True)
class Quality:
    """The parts that quality is the weighted sum of, each 0..1."""

    readability: float
    completeness: float
    accuracy: float
    coherence: float
    grammar: float
    vocabulary: float
    structure: float

    @property
    def score(self) -> float:
        """.2 readability + .15 completeness + .2 accuracy + .15 coherence + .1 grammar + .1 vocabulary + .1 structure, 0..1."""
        return round(_clamp(sum(weight * getattr(self, name) for name, weight in _WEIGHTS.items())), 4)


_WEIGHTS: dict[Part, float] = {
    "readability": 0.2,
    "completeness": 0.15,
    "accuracy": 0.2,
    "coherence": 0.15,
    "grammar": 0.1,
    "vocabulary": 0.1,
    "structure": 0.1,
}


def quality(reading: Reading, counts: Counts, ease: float | None) -> Quality:
    """What the document is worth to a reader, part by part."""
    document = reading.document
    return Quality(
        readability=_clamp((ease if ease is not None else 0.0) / 100),
        completeness=_completeness(reading, counts),
        accuracy=_accuracy(reading, counts),
        coherence=_clamp(0.5 + min(0.3, 0.1 * counts.transitions) + min(0.2, 0.05 * counts.pronouns)),
        grammar=_clamp(1 - 0.1 * _grammar_issues(reading)),
        vocabulary=_clamp(_type_token(counts) + min(0.3, counts.long_words / max(counts.prose_words, 1))),
        structure=_clamp(
            0.4 + 0.1 * min(4, len(document.sections)) + 0.1 * bool(document.links) + 0.1 * bool(document.title)
        ),
    )


def issues(grades: Quality) -> tuple[QualityIssue, ...]:
    """What would make it better: the parts that are low, the lowest first."""
    low = sorted((getattr(grades, name), name) for name in _ADVICE if getattr(grades, name) < _ADVICE[name][0])
    return tuple(
        QualityIssue(
            kind=name,
            severity="high" if value < _ADVICE[name][0] / 3 else "medium" if value < _ADVICE[name][0] / 1.5 else "low",
            message=_ADVICE[name][1],
            suggestion=_ADVICE[name][2],
        )
        for value, name in low
    )


_ADVICE: dict[Part, tuple[float, str, str]] = {
    "readability": (
        0.4,
        "Sentences are long, or words are.",
        "Write shorter sentences, and everyday words where they do.",
    ),
    "completeness": (0.6, "There is little text.", "Say more: an example, a table, what comes before and after."),
    "accuracy": (0.7, "There are placeholders or guesses.", "Replace them with facts, and say where these come from."),
    "coherence": (0.6, "Few words tie sentences together.", "Say how one thought follows from another."),
    "grammar": (0.7, "Words stand twice, or sentences begin without a capital.", "Read it once more, aloud."),
    "vocabulary": (0.4, "The same few words come again and again.", "Name things by their own names."),
    "structure": (0.6, "There are few headings.", "Give each part a heading."),
}


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
    return score, level_of(score)


def level_of(score: float) -> Level:
    """Up to .3 beginner, to .6 intermediate, to .8 advanced, above it expert."""
    return next((level for bound, level in _LEVELS if score <= bound), "expert")


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
    text = reading.lower[:50_000]
    placeholders = sum(mark in text for mark in PLACEHOLDERS)
    return _clamp(0.8 + min(0.2, 0.02 * counts.evidence) - min(0.3, 0.05 * counts.hedges) - 0.1 * placeholders)


def _grammar_issues(reading: Reading) -> int:
    """Sentences that begin without a capital, and words written twice in a row."""
    openings = sum(
        1
        for item in reading.sentences
        if item.prose and item.text[0].islower() and item.text[0] == reading.texts[item.first][0]
    )
    lower = reading.lowers
    twice = [index for index, same in enumerate(map(operator.eq, lower, lower[1:]), 1) if same]
    doubled = sum(1 for index in twice if reading.joined[index] and lower[index] not in {"that", "had"})
    return openings + doubled


def _type_token(counts: Counts) -> float:
    """Distinct words over words, corrected for length (Guiraud 1954): 10 distinct words a root of words is rich."""
    return _clamp(counts.distinct / max(counts.words, 1) ** 0.5 / 14)


def _clamp(value: float) -> float:
    return min(max(value, 0.0), 1.0)
