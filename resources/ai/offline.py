"""A writer without a model: it chooses sentences, it does not think. Rule-based, not an AI model, and labelled so.

The default for a machine without keys. A sentence scores by how frequent its content words are in all passages together
(Luhn 1958), by how many of the prompt's words it holds, and by how early it stands (lead bias). The best sentences are returned
word for word, in the order of the passages.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from resources.ai.generator import Generated
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Sequence

NOTICE: Final = "rule-based, not an AI model"
_PROMPT_WEIGHT: Final = 1.0
_LEAD_WEIGHT: Final = 0.3

_SENTENCE_END = re.compile(r"(?<=[.!?…。！？])\s+|\n\s*\n")
_WORD = re.compile(r"[^\W\d_]{2,}")
_STOP_WORDS = frozenset(
    _WORD.findall("""
        about an and are as at be been but by can do for from had has have how if in into is it its may more most no not of
        on or our so such than that the their them then there these they this to was we were what when where which who will
        with would you your
    """)
)


class ExtractiveWriter:
    """Answers a prompt with the passages' own most telling sentences. Deterministic, free, instant."""

    model_id: Final = "offline/extractive-v1"

    def __init__(self, *, sentences: int = 3) -> None:
        self._sentences = sentences

    def generate(self, prompt: str, *, passages: Sequence[str]) -> Generated:
        """The best sentences of `passages`. Raises InvalidInputError when they hold no text."""
        candidates = [
            (passage, position, sentence)
            for passage, text in enumerate(passages)
            for position, sentence in enumerate(_sentences(text))
        ]
        if not candidates:
            raise InvalidInputError(
                f"{self.model_id!r} needs passages to write from, and got no text. "
                "Pass the text to summarise as a passage.",
                code="passages_empty",
            )
        asked = set(_content_words(prompt))
        frequency = Counter(word for _, _, sentence in candidates for word in _content_words(sentence))
        most_frequent = max(frequency.values(), default=1)

        def score(candidate: tuple[int, int, str]) -> float:
            _, position, sentence = candidate
            words = _content_words(sentence)
            if not words:
                return 0.0
            telling = sum(frequency[word] for word in words) / (len(words) * most_frequent)
            relevant = len(asked.intersection(words)) / max(1, len(asked))
            return telling + _PROMPT_WEIGHT * relevant + _LEAD_WEIGHT / (1 + position)

        chosen = _distinct(sorted(candidates, key=lambda candidate: (-score(candidate), candidate)))
        kept = sorted(chosen[: self._sentences])
        return Generated(
            text=" ".join(sentence for _, _, sentence in kept),
            provider="offline",
            model=self.model_id,
            simulated=True,
            notice=NOTICE,
            passages_used=tuple(dict.fromkeys(passage for passage, _, _ in kept)),
        )


def _sentences(text: str) -> list[str]:
    return [cleaned for part in _SENTENCE_END.split(text) if (cleaned := " ".join(part.split()))]


def _content_words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.casefold()) if word not in _STOP_WORDS]


def _distinct(candidates: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """The candidates without repetitions of a sentence (overlapping passages share some)."""
    first: dict[str, tuple[int, int, str]] = {}
    for candidate in candidates:
        first.setdefault(candidate[2].casefold(), candidate)
    return list(first.values())
