"""What is known of a word by its letters alone: computed once for each word that occurs, then looked up.

A document repeats its words, and documents repeat each other's: nine of ten look-ups are hits. That is what makes one pass over a
document quick enough (a tuple from a table, in place of a dozen tests of sets and endings).
"""

from __future__ import annotations

import re
from enum import IntFlag
from typing import TYPE_CHECKING, Final, NamedTuple

from resources.content.analysers.tones import VALENCE
from resources.content.analysers.words import (
    ABSTRACT_ENDINGS,
    CUES,
    DOMAIN_WORDS,
    EVIDENCE,
    GENERIC,
    HEDGES,
    NOUNS_AND_VERBS,
    PRONOUNS,
    STOP_WORDS,
    TRANSITIONS,
    VERBS,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_SYLLABLES = re.compile(r"[aeiouyà-öø-ÿ]+")
_SHORTEST_TELLING: Final = 2
_SHORTEST_PLURAL: Final = 4
_SHORTEST_ABSTRACT: Final = 6
_LONGEST_ACRONYM: Final = 6
_MOST_WORDS: Final = 50_000
_NO_ADVERBS: Final = frozenset({"family", "assembly", "anomaly", "supply", "reply"})
_NOUNS_IN_ED = frozenset({"feed", "seed", "speed", "embed", "newsfeed"})
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


class Flag(IntFlag):
    """What is known of any word, one bit each, so that a document's words are one string of bytes."""

    TELLING = 1
    KEYWORD = 2
    """It can be a keyword, or a part of one."""
    CUE = 4
    CAPITAL = 8
    NAMED = 16
    """Written with a capital, and no grammatical word."""
    TONED = 32
    STOP = 64
    INNER_CAPITAL = 128


class Kind(IntFlag):
    """What grades count."""

    ABSTRACT = 1
    DOMAIN = 2
    TRANSITION = 4
    PRONOUN = 8
    HEDGE = 16
    EVIDENCE = 32


class Entry(NamedTuple):
    """One word. Its role in noun phrases:

    x never in one; a anywhere; g anywhere, but says nothing at an edge; i not first; j not first, and nothing at an edge;
    e first only; f first only, and nothing at an edge.
    """

    lower: str
    singular: str
    signs: bytes
    """Role (as a letter), syllables (255 at most), flags, kinds, and the tone above the worst one."""

    @property
    def role(self) -> str:
        """Its part in noun phrases."""
        return chr(self.signs[0])


SIGNS: Final = 5
WORST_TONE: Final = -2


class Lexicon(dict[str, Entry]):
    """Entries by the word as written. Forgets all when it has grown large: a flood of made-up words must not stay."""

    def __missing__(self, word: str) -> Entry:
        if len(self) >= _MOST_WORDS:
            self.clear()
        entry = self[word] = _entry_of(word)
        return entry

    @property
    def entry(self) -> Callable[[str], Entry]:
        """Look one up; made when it is missing."""
        return self.__getitem__


def _entry_of(word: str) -> Entry:
    lower = word.lower()
    stop, capital, valence = lower in STOP_WORDS, word[0].isupper(), VALENCE.get(lower, 0)
    telling = len(lower) > _SHORTEST_TELLING and not stop
    flags = {
        Flag.TELLING: telling,
        Flag.KEYWORD: telling and lower not in VERBS and lower not in GENERIC,
        Flag.CUE: lower in CUES,
        Flag.CAPITAL: capital,
        Flag.NAMED: capital and not (stop and len(lower) > 1),
        Flag.TONED: valence != 0,
        Flag.STOP: stop,
        Flag.INNER_CAPITAL: has_inner_capital(word),
    }
    kinds = {
        Kind.ABSTRACT: len(lower) > _SHORTEST_ABSTRACT and lower.endswith(ABSTRACT_ENDINGS),
        Kind.DOMAIN: lower in DOMAIN_WORDS,
        Kind.TRANSITION: lower in TRANSITIONS,
        Kind.PRONOUN: lower in PRONOUNS,
        Kind.HEDGE: lower in HEDGES,
        Kind.EVIDENCE: lower in EVIDENCE,
    }
    signs = (
        ord(_role(lower)),
        min(syllables(lower), 255),
        sum(flag.value for flag, holds in flags.items() if holds),
        sum(kind.value for kind, holds in kinds.items() if holds),
        valence - WORST_TONE,
    )
    return Entry(lower, singular(lower), bytes(signs))


def has_inner_capital(word: str) -> bool:
    """`PostgreSQL`, `API`: a name by its spelling alone. A long word in capitals is more likely a shout."""
    if word.isupper():
        return 1 < len(word) <= _LONGEST_ACRONYM
    return any(character.isupper() for character in word[1:])


def _role(lower: str) -> str:
    """`pooling` is a concept only after another word (`connection pooling`), `distributed` only before one."""
    if len(lower) == 1 and lower not in {"c", "r"}:
        return "x"
    if lower in STOP_WORDS or lower in VERBS or singular(lower) in VERBS or "'" in lower:
        return "x"
    if lower.endswith("ly") and len(lower) > 4 and lower not in _NO_ADVERBS:  # noqa: PLR2004
        return "x"
    generic = lower in GENERIC
    not_first = lower in NOUNS_AND_VERBS or (lower.endswith("ing") and lower not in _NOUNS_IN_ING)
    only_first = lower.endswith("ed") and lower not in _NOUNS_IN_ED
    if not_first and only_first:
        return "x"
    if not_first:
        return "j" if generic else "i"
    if only_first:
        return "f" if generic else "e"
    return "g" if generic else "a"


def syllables(word: str) -> int:
    """Syllables of an English word, by groups of vowels; the silent e is left out."""
    count = len(_SYLLABLES.findall(word))
    if (word.endswith("e") and not word.endswith(("le", "ee")) and count > 1) or (
        word.endswith(("ed", "es"))
        and count > 1
        and not word.endswith(("ted", "ded", "ses", "zes", "ches", "shes", "ges", "ces"))
    ):
        count -= 1
    return max(count, 1)


def singular(word: str) -> str:
    """The singular of an English noun in lower case, by its ending; other words are left as they are."""
    if len(word) < _SHORTEST_PLURAL or word.endswith(("ss", "us", "is", "ous", "ics", "ness")) or word in _NO_PLURAL:
        return word
    if word.endswith("ies") and len(word) > _SHORTEST_PLURAL:
        return word[:-3] + "y"
    if word.endswith(("sses", "ches", "shes", "xes")):
        return word[:-2]
    return word.removesuffix("s")


_NO_PLURAL = frozenset(
    [
        "https",
        "kubernetes",
        "redis",
        "postgres",
        "pandas",
        "keras",
        "jenkins",
        "nodejs",
        "news",
        "series",
        "species",
        "windows",
        "macos",
        "linux",
        "aws",
        "css",
        "dns",
        "tls",
        "https",
        "always",
        "bias",
        "alias",
        "canvas",
        "atlas",
        "gas",
        "lens",
        "status",
        "analysis",
        "pytest",
        "django",
        "kombu",
        "axios",
        "celery",
        "requests",
        "docutils",
        "attrs",
        "databricks",
        "sass",
        "less",
        "has",
        "pass",
        "class",
        "process",
        "access",
        "address",
        "success",
        "business",
        "express",
        "press",
    ]
)


LEXICON: Final = Lexicon()
