"""The tone of a document, from words that have one (after Hutto and Gilbert 2014, VADER: negation turns, "very" strengthens)."""

from __future__ import annotations

import math
from itertools import compress
from typing import TYPE_CHECKING, Final

from resources.content.analysers.lexicon import WORST_TONE, Flag
from resources.content.analysers.tones import INTENSIFIERS, NEGATIONS
from resources.content.model import Sentiment

if TYPE_CHECKING:
    from resources.content.analysers.reading import Reading

_REACH: Final = 3
_TURNED: Final = -0.75
_STRENGTHENED: Final = 1.4
_NORMALISER: Final = 15.0
_NEUTRAL: Final = 0.3
_NO_WORDS: Final = 0.3
_SOME_WORDS: Final = 0.6


def sentiment(reading: Reading) -> Sentiment:
    """Label, score -1..1, and confidence: .3 without a word that has a tone, from .6 upwards with the share that agrees."""
    lowers = reading.lowers
    tones = list(compress(range(len(lowers)), reading.marked(Flag.TONED)))
    good = bad = 0.0
    for index in tones:
        value = float(reading.tones[index] + WORST_TONE)
        for before in range(index - 1, max(index - 1 - _REACH, -1), -1):
            if before + 1 in reading.opening:
                break
            word = lowers[before]
            if word in NEGATIONS:
                value *= _TURNED
                break
            if word in INTENSIFIERS:
                value *= _STRENGTHENED
        if value > 0:
            good += value
        else:
            bad -= value
    total = good - bad
    # The longer a text, the more words with a tone it has by chance: their sum counts by the root of the length.
    scaled = total / max(1.0, math.sqrt(len(lowers) / 100))
    score = round(scaled / math.sqrt(scaled * scaled + _NORMALISER), 4)
    label = "neutral" if abs(score) < _NEUTRAL else "positive" if score > 0 else "negative"
    if not tones:
        return Sentiment(label="neutral", score=0.0, confidence=_NO_WORDS)
    agreement = abs(good - bad) / (good + bad)
    confidence = _SOME_WORDS + 0.3 * (agreement if label != "neutral" else 1 - agreement)
    return Sentiment(label=label, score=score, confidence=round(confidence, 4))
