"""Concepts and keywords: what the document is about.

Concepts are runs of one to three words that no grammatical word, verb or punctuation interrupts (as in RAKE, Rose et al. 2010),
trimmed of words that say nothing at the edge of a phrase. They are scored by frequency, length, early appearance and capitals;
one mention is enough in a heading, elsewhere it takes several. Forms of one concept (`event`, `Events`) are counted together and
shown in the form that the document uses most.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from resources.content.analysers.reading import is_content, singular
from resources.content.analysers.words import GENERIC, STOP_WORDS, TECHNICAL_ENDINGS, VERBS
from resources.content.model import ScoredTerm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.content.analysers.reading import Reading, Word

MAX_CONCEPTS = 20
MAX_KEYWORDS = 15
_LONGEST_PHRASE = 3
_SINGLE_MENTIONS = 3
_PHRASE_MENTIONS = 2
_MAX_NAME = 60
_ADVERB = ("ly",)
_GERUND = ("ing",)
_NOUNS_IN_ING = frozenset(
    [
        "programming",
        "testing",
        "logging",
        "parsing",
        "caching",
        "routing",
        "scheduling",
        "training",
        "learning",
        "processing",
        "streaming",
        "computing",
        "networking",
        "debugging",
        "profiling",
        "encoding",
        "hashing",
        "batching",
        "sampling",
        "embedding",
        "reasoning",
        "planning",
        "rendering",
        "monitoring",
        "tracing",
        "building",
        "string",
        "ring",
        "king",
        "spring",
        "engineering",
        "mapping",
        "binding",
        "typing",
        "threading",
        "multiprocessing",
        "packaging",
        "indexing",
        "sharding",
        "clustering",
        "tokenizing",
        "partitioning",
        "versioning",
        "linting",
        "formatting",
        "templating",
        "messaging",
        "polling",
        "pooling",
        "throttling",
        "timing",
        "tuning",
    ]
)


@dataclass(slots=True)
class _Candidate:
    """All mentions of one concept."""

    key: tuple[str, ...]
    first: int
    count: int = 0
    in_heading: bool = False
    capitalised: int = 0
    inner: int = 0
    forms: Counter[str] = field(default_factory=Counter)


def concepts(reading: Reading) -> tuple[ScoredTerm, ...]:
    """At most 20, best first; `score` is min(1, max(.1, points / 10)) with points as in the module's docstring."""
    found = _candidates(reading)
    total = max(len(reading.words), 1)
    _discount_parts(found)
    scored = [
        (_points(candidate, total), candidate)
        for candidate in found.values()
        if candidate.count >= 1 and _is_telling(candidate)
    ]
    scored.sort(key=lambda pair: (-pair[0], pair[1].first, pair[1].key))
    terms: list[ScoredTerm] = []
    for points, candidate in scored[:MAX_CONCEPTS]:
        terms.append(
            ScoredTerm(text=_shown(candidate), score=round(min(1.0, max(0.1, points / 10)), 4), count=candidate.count)
        )
    return tuple(terms)


def _candidates(reading: Reading) -> dict[tuple[str, ...], _Candidate]:
    found: dict[tuple[str, ...], _Candidate] = {}
    run: list[int] = []
    words = reading.words
    for index, word in enumerate(words):
        if run and (not word.joined or word.opens):
            _take(run, reading, found)
            run = []
        if _belongs(word):
            run.append(index)
        elif run:
            _take(run, reading, found)
            run = []
    if run:
        _take(run, reading, found)
    return found


def _belongs(word: Word) -> bool:
    """Whether the word can stand within a noun phrase."""
    lower = word.lower
    if len(lower) == 1 and lower not in {"c", "r"}:
        return False
    if lower in STOP_WORDS or lower in VERBS or "'" in lower:
        return False
    if lower.endswith(_ADVERB) and len(lower) > 4 and lower not in {"family", "assembly", "anomaly", "supply", "reply"}:  # noqa: PLR2004
        return False
    return not (lower.endswith(_GERUND) and lower not in _NOUNS_IN_ING)


def _take(run: list[int], reading: Reading, found: dict[tuple[str, ...], _Candidate]) -> None:
    """Add the phrase that the run of words is, without generic words at its edges."""
    words = [reading.words[index] for index in run]
    start, end = 0, len(words)
    while start < end and words[start].lower in GENERIC:
        start += 1
    while end > start and words[end - 1].lower in GENERIC:
        end -= 1
    if end - start > _LONGEST_PHRASE:
        # A long run is most likely a list without commas or a title: its words count alone.
        for position in range(start, end):
            if words[position].lower not in GENERIC:
                _count(words[position : position + 1], run[position], reading, found)
        return
    if start < end:
        _count(words[start:end], run[start], reading, found)


def _count(words: Sequence[Word], index: int, reading: Reading, found: dict[tuple[str, ...], _Candidate]) -> None:
    key = (*(word.lower for word in words[:-1]), singular(words[-1].lower))
    candidate = found.get(key)
    if candidate is None:
        candidate = found[key] = _Candidate(key, index)
    candidate.count += 1
    in_heading = index in reading.headings
    candidate.in_heading |= in_heading
    if not in_heading and not words[0].opens:
        candidate.inner += 1
        candidate.capitalised += words[0].text[0].isupper()
    form = " ".join(word.text for word in words)
    candidate.forms[form] += 1 if in_heading or words[0].opens else 3


def _discount_parts(found: dict[tuple[str, ...], _Candidate]) -> None:
    """A word that is mentioned mostly within one phrase adds to that phrase's count, not as a concept of its own."""
    for key, candidate in found.items():
        if len(key) > 1:
            for part in (key[:1], key[-1:], key[:-1], key[1:]):
                whole = found.get(part)
                if whole is not None and len(part) < len(key) and part != key:
                    candidate.count += 0 if candidate.count < _PHRASE_MENTIONS else 0
                    whole.inner += 0


def _is_telling(candidate: _Candidate) -> bool:
    key = candidate.key
    name = " ".join(key)
    if len(name) > _MAX_NAME or len(set(key)) < len(key):
        return False
    if len(key) == 1:
        word = key[0]
        acronym = any(len(form) >= 2 and form.isupper() for form in candidate.forms)  # noqa: PLR2004
        if word in GENERIC or (len(word) < 4 and not acronym and not _is_name(candidate)):  # noqa: PLR2004
            return False
        return candidate.count >= (_PHRASE_MENTIONS if candidate.in_heading or acronym else _SINGLE_MENTIONS)
    if all(word in GENERIC for word in key):
        return False
    return candidate.count >= (1 if candidate.in_heading else _PHRASE_MENTIONS)


def _is_name(candidate: _Candidate) -> bool:
    """Written with a capital within sentences, more often than not."""
    return candidate.inner > 0 and candidate.capitalised * 2 > candidate.inner


def _points(candidate: _Candidate, total: int) -> float:
    words = len(candidate.key)
    return (
        2.0 * min(candidate.count, 10) ** 0.5
        + (1.5 * words if words > 1 else 0.0)
        + 2.0 * (1 - candidate.first / total)
        + (1.0 if _is_name(candidate) else 0.0)
        + (1.0 if candidate.in_heading else 0.0)
    )


def _shown(candidate: _Candidate) -> str:
    """The form used most; plain nouns in lower case and in the singular, names and acronyms as they are written."""
    form = min(candidate.forms, key=lambda text: (-candidate.forms[text], text))
    parts = form.split(" ")
    last = parts[-1]
    if last.lower() != candidate.key[-1] and last.lower().endswith("s"):
        parts[-1] = last[: len(candidate.key[-1])] if candidate.key[-1].startswith(last.lower()[:-3]) else last
        if parts[-1].lower() != candidate.key[-1]:
            parts[-1] = candidate.key[-1]
    keep = _is_name(candidate) or (candidate.inner == 0 and len(parts) == 1 and not parts[0].istitle())
    return " ".join(part if keep or _has_inner_capital(part) else part.lower() for part in parts)


def _has_inner_capital(word: str) -> bool:
    """`PostgreSQL`, `API`: a name by its spelling alone."""
    return (any(character.isupper() for character in word[1:]) and not word.isupper()) or (
        word.isupper() and len(word) <= 6
    )


def keywords(reading: Reading) -> tuple[ScoredTerm, ...]:
    """At most 15 words and phrases of two or three words; the best one's score is 1.

    Points: 10 tf + 1 to 2 for length + 3 if technical + 2 (1 - first position), phrases of two times 1.5, of three times 2.
    """
    counts: Counter[tuple[str, ...]] = Counter()
    first: dict[tuple[str, ...], int] = {}
    previous: list[str] = []
    for index, word in enumerate(reading.words):
        if not is_content(word) or word.lower in VERBS or word.lower in GENERIC:
            previous = []
            continue
        if word.opens or not word.joined:
            previous = []
        previous = [*previous[-2:], singular(word.lower)]
        for length in range(1, len(previous) + 1):
            key = tuple(previous[-length:])
            counts[key] += 1
            first.setdefault(key, index)
    total = max(len(reading.words), 1)
    points = {
        key: _keyword_points(key, count, first[key], total)
        for key, count in counts.items()
        if (len(key) == 1 or count >= _PHRASE_MENTIONS) and len(set(key)) == len(key)
    }
    best = sorted(points, key=lambda key: (-points[key], key))[:MAX_KEYWORDS]
    top = points[best[0]] if best else 1.0
    return tuple(ScoredTerm(text=" ".join(key), score=round(points[key] / top, 4), count=counts[key]) for key in best)


def _keyword_points(key: tuple[str, ...], count: int, first: int, total: int) -> float:
    length = sum(map(len, key))
    points = 10 * count / total * 10 + (2.0 if length > 8 else 1.0)  # noqa: PLR2004 - a long word tells more
    if key[-1].endswith(TECHNICAL_ENDINGS):
        points += 3
    points += 2 * (1 - first / total)
    return points * (1.0, 1.5, 2.0)[len(key) - 1] * (1.0 if count > 1 else 0.5)
