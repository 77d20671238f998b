"""Named things, by their shape and by the words around them: people, organisations, places, dates, money, technology.

Rules see what is written with a capital in the middle of a sentence; a name that only begins sentences is not told from a word.
Confidences follow from the rule: .95 for money, .9 for a date, .8 for technology, .7 for what is only written as a name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from resources.content.analysers.lexicon import Flag
from resources.content.analysers.places import CITIES_AND_COUNTRIES, FIRST_NAMES
from resources.content.analysers.words import DOMAIN_WORDS
from resources.content.model import Entity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from resources.content.analysers.reading import Reading
    from resources.content.model import ScoredTerm

Kind = Literal["person", "organization", "location", "date", "money", "technology", "concept"]

MAX_ENTITIES: Final = 30
_MAX_CHARS: Final = 200_000
_MONTH: Final = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)"
)
_DATE = re.compile(
    r"\b(?:(?:19|20)\d{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])\b"
    rf"|{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? (?:19|20)\d{{2}}\b|\d{{1,2}}(?:st|nd|rd|th)? {_MONTH}\.?,? (?:19|20)\d{{2}}\b"
    rf"|{_MONTH} (?:19|20)\d{{2}}\b)"
)
_YEAR = re.compile(r"(?:19|20)\d\d")
_BEFORE_YEAR: Final = 20
_AFTER_YEAR: Final = 6
_AMOUNT: Final = r"\d[\d,]*(?:\.\d+)?"
_SIGNED: Final = rf"{_AMOUNT}(?: ?(?:million|billion|trillion|[kKmM]\b))?"
_SIGNED_MONEY = re.compile(rf"[$€£¥]{_SIGNED}")
_MONEY = re.compile(
    rf"(?:[$€£¥]|\b(?:USD|EUR|GBP|JPY|CHF) ?){_SIGNED}|\b{_AMOUNT} (?:dollars|euros|pounds|yen|USD|EUR|GBP|CHF)\b"
)
_MONEY_SIGNS: Final = ("$", "€", "£", "¥")
_MONEY_WORDS: Final = ("USD", "EUR", "GBP", "JPY", "CHF", "dollars", "euros", "pounds", "yen")
_ORGANISATION: Final = frozenset(
    {"inc", "corp", "corporation", "ltd", "llc", "gmbh", "ag", "foundation", "university", "institute", "committee"}
    | {"company", "association", "ministry", "department", "agency", "bank", "college", "council", "union", "labs"}
    | {"laboratory", "laboratories", "society", "consortium", "commission", "organization", "organisation"}
)
_KNOWN_ORGANISATIONS: Final = frozenset(
    {
        "google",
        "microsoft",
        "apple",
        "amazon",
        "facebook",
        "meta",
        "ibm",
        "intel",
        "oracle",
        "nvidia",
        "openai",
        "anthropic",
    }
    | {
        "nasa",
        "unesco",
        "ietf",
        "w3c",
        "cncf",
        "mozilla",
        "red hat",
        "netflix",
        "twitter",
        "linkedin",
        "uber",
        "samsung",
    }
    | {"the linux foundation", "apache software foundation", "mit", "who", "nato"}
)
_TITLES: Final = frozenset({"mr", "mrs", "ms", "dr", "prof", "professor", "sir", "president", "king", "queen"})
_PLACE_BEFORE: Final = "near"
_NO_NAMES: Final = frozenset(
    {
        "the",
        "this",
        "that",
        "these",
        "note",
        "example",
        "see",
        "i",
        "if",
        "when",
        "for",
        "no",
        "yes",
        "all",
        "new",
        "it",
    }
)
_LONGEST_NAME: Final = 4
_SHORTEST_NAME: Final = 2


@dataclass(slots=True)
class _Found:
    kind: Kind
    text: str
    start: int
    confidence: float
    count: int = 0


def entities(reading: Reading, concepts: Sequence[ScoredTerm]) -> tuple[Entity, ...]:
    """At most 30, those mentioned most first; concepts that are no names come last."""
    text = reading.document.text[:_MAX_CHARS]
    found: dict[tuple[Kind, str], _Found] = {}
    for kind, name, start, confidence in (*_patterns(text), *_names(reading)):
        mention = found.setdefault((kind, name.lower()), _Found(kind, name, start, confidence))
        mention.count += 1
        mention.confidence = max(mention.confidence, confidence)
    ranked = sorted(found.values(), key=lambda item: (-item.count * item.confidence, item.start))[:MAX_ENTITIES]
    named = {item.text.lower() for item in found.values()}
    result = [
        Entity(kind=item.kind, text=item.text, count=item.count, start=item.start, confidence=item.confidence)
        for item in ranked
    ]
    same_offsets = len(text) == len(reading.lower)
    for concept in concepts:
        if len(result) >= MAX_ENTITIES:
            break
        lower = concept.text.lower()
        if lower not in named:
            at = reading.lower.find(lower) if same_offsets else -1
            result.append(
                Entity(
                    kind="concept",
                    text=concept.text,
                    count=concept.count,
                    start=at if at >= 0 else None,
                    confidence=round(0.4 + 0.3 * concept.score, 4),
                )
            )
    return tuple(result)


def _patterns(text: str) -> Iterator[tuple[Kind, str, int, float]]:
    reached = 0
    for year in _YEAR.finditer(text):
        begin = max(reached, year.start() - _BEFORE_YEAR)
        match = _DATE.search(text, begin, year.end() + _AFTER_YEAR)
        if match is not None:
            reached = match.end()
            yield "date", match[0], match.start(), 0.9
    money = _MONEY if any(map(text.__contains__, _MONEY_WORDS)) else _SIGNED_MONEY
    if money is _MONEY or any(map(text.__contains__, _MONEY_SIGNS)):
        for match in money.finditer(text):
            yield "money", match[0], match.start(), 0.95


def _names(reading: Reading) -> Iterator[tuple[Kind, str, int, float]]:
    """Runs of words with capitals. Alone at the opening of a sentence, a capital says nothing."""
    texts, fresh, inner = reading.texts, reading.fresh, reading.marked(Flag.INNER_CAPITAL)
    for match in _CAPITALS.finditer(reading.marked(Flag.NAMED)):
        start, end = match.span()
        for index in range(start + 1, end + 1):
            if index == end or fresh[index]:
                if start not in reading.headings and not _in_margins(start, reading):
                    name = texts[start:index]
                    kind, confidence = _kind(name, start, reading, spelled=inner.find(1, start, index) >= 0)
                    if kind is not None:
                        yield kind, " ".join(name), reading.starts[start], confidence
                start = index


_CAPITALS = re.compile(b"\x01+")


def _in_margins(index: int, reading: Reading) -> bool:
    return bool(reading.margins) and any(first <= index < last for first, last in reading.margins)


def _kind(name: list[str], start: int, reading: Reading, *, spelled: bool) -> tuple[Kind | None, float]:
    """`spelled` = a word of it has a capital inside."""
    words = reading.lowers[start : start + len(name)]
    lower, last = " ".join(words), words[-1]
    before = reading.lowers[start - 1] if start > 0 and start not in reading.opening else ""
    if lower in CITIES_AND_COUNTRIES:
        return "location", 0.9
    if lower in _KNOWN_ORGANISATIONS:
        return "organization", 0.85
    if len(name) > 1 and last in _ORGANISATION and len(name) <= _LONGEST_NAME + 2:
        return "organization", 0.85
    if _SHORTEST_NAME <= len(name) <= _LONGEST_NAME:
        if words[0] in _TITLES:
            return "person", 0.85
        if words[0] in FIRST_NAMES and all(part[1:].islower() or len(part) == 1 for part in name):
            return "person", 0.8
        if len(name) == _SHORTEST_NAME and before == "by" and all(part[1:].islower() for part in name):
            return "person", 0.6
    if len(name) == 1 and before in _TITLES and name[0][1:].islower():
        return "person", 0.7
    if len(name) > _LONGEST_NAME or lower in _NO_NAMES or len(lower) < _SHORTEST_NAME:
        return None, 0.0
    if spelled:
        return "technology", 0.8
    return _plain(words, start, before, reading)


def _plain(words: Sequence[str], start: int, before: str, reading: Reading) -> tuple[Kind | None, float]:
    """Of a name that nothing but its first letters shows to be one."""
    if start in reading.opening:
        return None, 0.0
    if not DOMAIN_WORDS.isdisjoint(words):
        return "technology", 0.7
    if len(words) == 1 and before == _PLACE_BEFORE and len(words[0]) > 3:  # noqa: PLR2004
        return "location", 0.5
    return ("technology", 0.5) if len(words) == 1 and reading.document.code else (None, 0.0)
