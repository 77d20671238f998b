"""All analysers over one reading of the document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.content.analysers import entities, grades, objectives, terms
from resources.content.analysers.language import language
from resources.content.analysers.reading import read
from resources.content.analysers.sentiment import sentiment
from resources.content.analysers.summary import summary
from resources.content.model import Analysis

if TYPE_CHECKING:
    from resources.content.model import ParsedDocument

VERSION = "2"
"""Of all analysers together: raise it when a result changes, so that documents are analysed again."""


_ENOUGH_WORDS = 300
_RULES_AT_BEST = 0.8


def analyse(parsed: ParsedDocument) -> Analysis:
    """The analysis. Pure; looks at the first 200,000 characters."""
    reading = read(parsed)
    counts = grades.count(reading)
    concepts = terms.concepts(reading)
    ease = grades.readability(counts)
    difficulty, level = grades.difficulty(reading, counts, len(concepts))
    code, confidence = language(parsed.text, reading)
    quality = grades.quality(reading, counts, ease)
    tone = sentiment(reading)
    return Analysis(
        language=code,
        language_confidence=round(confidence, 4),
        words=counts.words,
        sentences=len(reading.sentences),
        reading_seconds=grades.reading_seconds(counts.words, difficulty),
        summary=summary(reading),
        keywords=terms.keywords(reading),
        concepts=concepts,
        quality=quality.score,
        readability=ease,
        difficulty=difficulty,
        difficulty_level=level,
        entities=entities.entities(reading, concepts),
        objectives=objectives.objectives(reading, concepts, level),
        sentiment=tone,
        issues=grades.issues(quality),
        prerequisites=objectives.prerequisites(reading),
        confidence=_confidence(len(reading.texts), confidence, tone.confidence),
        version=VERSION,
    )


def _confidence(words: int, language_confidence: float, tone: float) -> dict[str, float]:
    """How far rules can be trusted: less for short documents, and for those in a language whose words they do not know."""
    enough = min(1.0, words / _ENOUGH_WORDS)
    text = round(_RULES_AT_BEST * (0.5 + 0.5 * enough), 4)
    return {
        "language": round(language_confidence, 4),
        "concepts": text,
        "keywords": text,
        "summary": text,
        "quality": round(0.75 * text, 4),
        "difficulty": round(0.75 * text, 4),
        "objectives": round(0.6 * text, 4),
        "sentiment": tone,
    }
