"""Which language a document is in: n-grams (py3langid, after Lui & Baldwin 2012, langid.py), loaded on first use."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

from resources.content.analysers.lexicon import Flag

if TYPE_CHECKING:
    from resources.content.analysers.reading import Reading

UNKNOWN = "und"
"""BCP 47's code for a language that cannot be told."""

_SAMPLE = 1200
_LETTERS = 20
_SAMPLE_WORDS = 300
_FEWEST_WORDS = 30
_ENGLISH_SHARE = 0.3


@functools.cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def language(text: str, reading: Reading) -> tuple[str, float]:
    """ISO 639-1 code and confidence 0..1. ("und", 0.0) when there is too little text.

    Text that is full of the little words of English is English; only what is not is shown to the model, which is slower.
    """
    grammatical = reading.marked(Flag.STOP)[:_SAMPLE_WORDS]
    if len(grammatical) >= _FEWEST_WORDS:
        share = grammatical.count(1) / len(grammatical)
        if share >= _ENGLISH_SHARE:
            return "en", round(min(0.99, 0.91 + share / 5), 4)
    sample = text[:_SAMPLE]
    if sum(map(str.isalpha, sample)) < _LETTERS:
        return UNKNOWN, 0.0
    code, probability = _identifier().classify(sample)
    confidence = float(probability)
    return str(code), min(max(confidence, 0.0), 1.0) if math.isfinite(confidence) else 0.0
