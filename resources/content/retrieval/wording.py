"""Words of a question found again in a passage, in other forms too: what is shown as a highlight, and counted without a database.

The forms are those of English, told by their endings (after Porter 1980, much shortened). Words of other languages are
compared as they stand, which never says that two words are one when they are not spelled alike to their last letters.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_ENDINGS: Final = ("ings", "ing", "edly", "ed", "ies", "es", "s", "ers", "er", "ly", "e", "y")
_LEAST: Final = 3
_STOP_WORDS: Final = frozenset(
    [
        "a",
        "about",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "been",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "for",
        "from",
        "had",
        "has",
        "have",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "may",
        "me",
        "more",
        "most",
        "my",
        "no",
        "not",
        "of",
        "on",
        "or",
        "our",
        "should",
        "so",
        "such",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "to",
        "us",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "who",
        "whom",
        "why",
        "will",
        "with",
        "would",
        "you",
        "your",
    ]
)


def content_words(text: str) -> list[str]:
    """The words that carry meaning, each in its base form, in order."""
    return [base(word) for _, _, word in _words(text) if word not in _STOP_WORDS]


def highlights(text: str, asked: frozenset[str]) -> list[tuple[int, int]]:
    """Where words of the question stand in the text: half-open ranges. `asked` are base forms."""
    return [(start, end) for start, end, word in _words(text) if word not in _STOP_WORDS and base(word) in asked]


@lru_cache(maxsize=50_000)
def base(word: str) -> str:
    """The word without its English endings."""
    if not word.isascii():
        return word
    shorter = _without_ending(word)
    while shorter != word:
        word, shorter = shorter, _without_ending(shorter)
    return word


def _without_ending(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _LEAST and not word.endswith("ss"):
            stem = word[: -len(ending)]
            doubled = len(stem) > _LEAST and stem[-1] == stem[-2] and stem[-1] not in "lsz"
            return stem[:-1] if doubled else stem
    return word


def _words(text: str) -> list[tuple[int, int, str]]:
    return [(match.start(), match.end(), match.group().lower()) for match in _WORD.finditer(text)]
