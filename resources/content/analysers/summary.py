"""The summary: the sentences that say most, in the order of the document (extractive; after Luhn 1958 and Edmundson 1969)."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from resources.content.analysers.reading import singular
from resources.content.analysers.words import CUES

if TYPE_CHECKING:
    from resources.content.analysers.reading import Reading, Sentence

MAX_CHARS = 500
_BEST_LENGTH = 20
_LONGEST_SENTENCE = 400


def summary(reading: Reading) -> str:
    """At most 500 characters. Points of a sentence: 2 position + mean weight of its words + length fit + .5 cue + .3 names."""
    frequencies = Counter(singular(word.lower) for word in reading.words if word.telling)
    candidates = [
        sentence for sentence in reading.sentences if sentence.prose and len(sentence.text) <= _LONGEST_SENTENCE
    ]
    if not candidates:
        candidates = [sentence for sentence in reading.sentences if sentence.text]
    top = max(frequencies.values(), default=1)
    total = max(len(reading.words), 1)
    ranked = sorted(candidates, key=lambda item: (-_points(item, reading, frequencies, top, total), item.start))
    chosen: list[Sentence] = []
    length = 0
    for sentence in ranked:
        size = len(sentence.text) + 1
        if length + size <= MAX_CHARS + 1 and not any(sentence.text == other.text for other in chosen):
            chosen.append(sentence)
            length += size
    if not chosen and ranked:
        return _cut(" ".join(ranked[0].text.split()))
    return _cut(" ".join(" ".join(item.text.split()) for item in sorted(chosen, key=lambda item: item.start)))


def _points(sentence: Sentence, reading: Reading, frequencies: Counter[str], top: int, total: int) -> float:
    words = reading.words[sentence.first : sentence.last]
    content = [word for word in words if word.telling]
    weight = sum(frequencies[singular(word.lower)] for word in content) / (top * max(len(content), 1))
    fit = max(0.0, 1 - abs(len(words) - _BEST_LENGTH) / _BEST_LENGTH)
    cue = 0.5 if any(word.lower in CUES for word in words) else 0.0
    names = 0.3 if any(word.text[0].isupper() for word in words[1:]) else 0.0
    return 2 * (1 - sentence.first / total) + weight + fit + cue + names


def _cut(text: str) -> str:
    if len(text) <= MAX_CHARS:
        return text
    return text[: MAX_CHARS - 1].rsplit(" ", 1)[0].rstrip(" ,;:") + "…"
