"""The summary: the sentences that say most, in the order of the document (extractive; after Luhn 1958 and Edmundson 1969)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import compress, repeat
from operator import mul
from typing import TYPE_CHECKING

from resources.content.analysers.lexicon import Flag

if TYPE_CHECKING:
    from resources.content.analysers.reading import Reading, Sentence

MAX_CHARS = 500
_BEST_LENGTH = 20
_LONGEST_SENTENCE = 400


def summary(reading: Reading) -> str:
    """At most 500 characters. Points of a sentence: 2 position + mean weight of its words + length fit + .5 cue + .3 names."""
    candidates = [
        sentence for sentence in reading.sentences if sentence.prose and len(sentence.text) <= _LONGEST_SENTENCE
    ]
    if not candidates:
        candidates = [sentence for sentence in reading.sentences if sentence.text]
    columns = _columns(reading)
    ranked = sorted(candidates, key=lambda item: (-_points(item, columns), item.start))
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


@dataclass(frozen=True, slots=True)
class _Columns:
    """What the points of any sentence are counted from."""

    weights: list[int]
    telling: bytes
    cues: bytes
    capitals: bytes
    top: int
    total: int


def _columns(reading: Reading) -> _Columns:
    telling = reading.marked(Flag.TELLING)
    frequencies = Counter(compress(reading.singulars, telling))
    return _Columns(
        weights=list(map(mul, map(frequencies.get, reading.singulars, repeat(0)), telling)),
        telling=telling,
        cues=reading.marked(Flag.CUE),
        capitals=reading.marked(Flag.CAPITAL),
        top=max(frequencies.values(), default=1),
        total=max(len(telling), 1),
    )


def _points(sentence: Sentence, columns: _Columns) -> float:
    first, last = sentence.first, sentence.last
    telling = columns.telling.count(1, first, last)
    weight = sum(columns.weights[first:last]) / (columns.top * max(telling, 1))
    fit = max(0.0, 1 - abs(last - first - _BEST_LENGTH) / _BEST_LENGTH)
    cue = 0.5 if columns.cues.find(1, first, last) >= 0 else 0.0
    names = 0.3 if columns.capitals.find(1, first + 1, last) >= 0 else 0.0
    return 2 * (1 - first / columns.total) + weight + fit + cue + names


def _cut(text: str) -> str:
    if len(text) <= MAX_CHARS:
        return text
    return text[: MAX_CHARS - 1].rsplit(" ", 1)[0].rstrip(" ,;:") + "…"
