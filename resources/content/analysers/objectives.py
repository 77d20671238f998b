"""What a reader can do after reading, by Bloom's levels; and what one should know before.

The level follows from how the document treats a concept: what is only defined can be remembered and understood, what is shown in
code or steps can be applied, what is compared can be analysed, what is weighed can be evaluated, what is built can be created.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import compress
from typing import TYPE_CHECKING, Final, Literal

from resources.content.analysers.lexicon import Kind
from resources.content.model import Objective

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.content.analysers.grades import Level
    from resources.content.analysers.reading import Reading
    from resources.content.model import ScoredTerm

Bloom = Literal["remember", "understand", "apply", "analyse", "evaluate", "create"]

MAX_OBJECTIVES: Final = 5
MAX_PREREQUISITES: Final = 8
_LEAST_MENTIONS: Final = 2
_PHRASES: Final[dict[Bloom, str]] = {
    "remember": "Name what {} is.",
    "understand": "Explain {} in your own words.",
    "apply": "Use {} in a task of your own.",
    "analyse": "Tell {} from its alternatives, and say where they differ.",
    "evaluate": "Judge when {} is the right choice.",
    "create": "Build something with {}.",
}
_ORDER: Final[tuple[Bloom, ...]] = ("remember", "understand", "apply", "analyse", "evaluate", "create")
_CUES: Final[tuple[tuple[Bloom, re.Pattern[str]], ...]] = (
    ("create", re.compile(r"\b(?:build|creat|design|develop|compos|implement|writ(?:e|ing) (?:a|your)|construct)")),
    (
        "evaluate",
        re.compile(
            r"\b(?:trade-?offs?|pros and cons|advantages?|drawbacks?|recommend|should you|choos|best practices?|decid)"
        ),
    ),
    (
        "analyse",
        re.compile(r"\b(?:compar|differ|versus|vs\b|in contrast|whereas|unlike|distinguish|categor|relat(?:es|ion))"),
    ),
    (
        "apply",
        re.compile(r"\b(?:install|usage|use (?:the|a|it)|run(?:ning)?\b|configur|example|how to|step|tutorial|solve)"),
    ),
    ("remember", re.compile(r"\b(?:list of|glossary|reference|terms?:|defin(?:e|ed|ition)|known as|called)\b")),
)
_STEMS: Final[dict[Bloom, tuple[str, ...]]] = {
    "create": ("build", "creat", "design", "develop", "compos", "implement", "writ", "construct"),
    "evaluate": (
        *("trade", "pros and cons", "advantage", "drawback", "recommend", "should you", "choos", "best practice"),
        "decid",
    ),
    "analyse": (
        *("compar", "differ", "versus", "vs", "in contrast", "whereas", "unlike", "distinguish", "categor"),
        "relat",
    ),
    "apply": ("install", "usage", "use ", "run", "configur", "example", "how to", "step", "tutorial", "solve"),
    "remember": ("list of", "glossary", "reference", "term", "defin", "known as", "called"),
}
"""What stands in all that a cue matches: looked for first, which is much faster."""
_AROUND: Final = 100
_LOOKS: Final = 3


def objectives(reading: Reading, concepts: Sequence[ScoredTerm], level: Level) -> tuple[Objective, ...]:
    """One for each of the first five concepts. An expert's document asks for more than a beginner's of the same words."""
    lower = reading.lower
    found = []
    for concept in concepts[:MAX_OBJECTIVES]:
        bloom, share = _level(lower, concept.text.lower())
        if bloom == "understand" and level == "expert":
            bloom = "analyse"
        found.append(
            Objective(text=_PHRASES[bloom].format(concept.text), level=bloom, confidence=round(0.3 + 0.4 * share, 4))
        )
    return tuple(sorted(found, key=lambda item: _ORDER.index(item.level)))


def _level(text: str, concept: str) -> tuple[Bloom, float]:
    """The level that most mentions speak for, and their share; `understand` when none speaks for any."""
    votes: dict[Bloom, int] = {}
    looks = 0
    at = text.find(concept)
    while at >= 0 and looks < _LOOKS:
        looks += 1
        around = text[max(0, at - _AROUND) : at + len(concept) + _AROUND]
        for level, pattern in _CUES:
            if any(map(around.__contains__, _STEMS[level])) and pattern.search(around):
                votes[level] = votes.get(level, 0) + 1
                break
        at = text.find(concept, at + len(concept))
    if not votes:
        return "understand", 0.5
    best = max(votes, key=lambda level: (votes[level], _ORDER.index(level)))
    return best, votes[best] / looks


def prerequisites(reading: Reading) -> tuple[str, ...]:
    """Words of the field that the document uses without treating them (no heading names them); none unless there are two."""
    treated = {reading.singulars[index] for index in reading.headings}
    domain = compress(reading.singulars, reading.of_kind(Kind.DOMAIN))
    counts = Counter([word for word in domain if word not in treated])
    used = [word for word, count in counts.items() if count >= _LEAST_MENTIONS]
    if len(used) < _LEAST_MENTIONS:
        return ()
    return tuple(sorted(used, key=lambda word: (-counts[word], word))[:MAX_PREREQUISITES])
