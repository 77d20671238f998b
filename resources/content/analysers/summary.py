"""The summary: the sentences that say most, in the order of the document (extractive; after Luhn 1958 and Edmundson 1969)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import accumulate, compress
from operator import attrgetter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from resources.content.analysers.reading import Reading, Sentence

MAX_CHARS = 500
_BEST_LENGTH = 20
_LONGEST_SENTENCE = 400
_SINGULAR, _TELLING, _CUE, _CAPITAL = map(attrgetter, ("singular", "telling", "cue", "capital"))


def summary(reading: Reading) -> str:
    """At most 500 characters. Points of a sentence: 2 position + mean weight of its words + length fit + .5 cue + .3 names."""
    candidates = [
        sentence for sentence in reading.sentences if sentence.prose and len(sentence.text) <= _LONGEST_SENTENCE
    ]
    if not candidates:
        candidates = [sentence for sentence in reading.sentences if sentence.text]
    sums = _sums(reading)
    ranked = sorted(candidates, key=lambda item: (-_points(item, sums), item.start))
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
class _Sums:
    """Running sums over the words: what any sentence adds up to is the difference of two of them."""

    weight: list[int]
    telling: list[int]
    cues: list[int]
    capitals: list[int]
    top: int
    total: int


def _sums(reading: Reading) -> _Sums:
    entries = reading.entries
    singulars, telling = list(map(_SINGULAR, entries)), list(map(_TELLING, entries))
    frequencies = Counter(compress(singulars, telling))
    weights = [frequencies[word] if tells else 0 for word, tells in zip(singulars, telling, strict=True)]
    return _Sums(
        weight=_running(weights),
        telling=_running(telling),
        cues=_running(map(_CUE, entries)),
        capitals=_running(map(_CAPITAL, entries)),
        top=max(frequencies.values(), default=1),
        total=max(len(entries), 1),
    )


def _running(values: Iterable[int]) -> list[int]:
    return list(accumulate(values, initial=0))


def _points(sentence: Sentence, sums: _Sums) -> float:
    first, last = sentence.first, sentence.last
    telling = sums.telling[last] - sums.telling[first]
    weight = (sums.weight[last] - sums.weight[first]) / (sums.top * max(telling, 1))
    fit = max(0.0, 1 - abs(last - first - _BEST_LENGTH) / _BEST_LENGTH)
    cue = 0.5 if sums.cues[last] > sums.cues[first] else 0.0
    names = 0.3 if sums.capitals[last] > sums.capitals[min(first + 1, last)] else 0.0
    return 2 * (1 - first / sums.total) + weight + fit + cue + names


def _cut(text: str) -> str:
    if len(text) <= MAX_CHARS:
        return text
    return text[: MAX_CHARS - 1].rsplit(" ", 1)[0].rstrip(" ,;:") + "…"
