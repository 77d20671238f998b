"""All analysers over one reading of the document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.content.analysers import grades, terms
from resources.content.analysers.language import language
from resources.content.analysers.reading import read
from resources.content.analysers.summary import summary
from resources.content.model import Analysis

if TYPE_CHECKING:
    from resources.content.model import ParsedDocument

VERSION = "1"
"""Of all analysers together: raise it when a result changes, so that documents are analysed again."""


def analyse(parsed: ParsedDocument) -> Analysis:
    """The analysis. Pure; looks at the first 200,000 characters."""
    reading = read(parsed)
    counts = grades.count(reading)
    concepts = terms.concepts(reading)
    ease = grades.readability(counts)
    difficulty, level = grades.difficulty(reading, counts, len(concepts))
    code, confidence = language(parsed.text)
    return Analysis(
        language=code,
        language_confidence=round(confidence, 4),
        words=counts.words,
        sentences=len(reading.sentences),
        reading_seconds=grades.reading_seconds(counts.words, difficulty),
        summary=summary(reading),
        keywords=terms.keywords(reading),
        concepts=concepts,
        quality=grades.quality(reading, counts, ease),
        readability=ease,
        difficulty=difficulty,
        difficulty_level=level,
        version=VERSION,
    )
