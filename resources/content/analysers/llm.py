"""The analysis as a model gives it: one question with a schema, answered with confidences, checked against the document.

What can be counted is counted by rules in both modes (words, sentences, readability, reading time): a model is asked for what
takes understanding. What it claims to have found in the document is looked up there; what does not stand in it keeps half of its
confidence. The document is material for the model, never an instruction (`untrusted.as_data`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from resources.ai.model import ChatRequest, Message
from resources.ai.structured import output_of, read_model
from resources.ai.untrusted import RULE, as_data
from resources.content.analysers.analyse import analyse
from resources.content.analysers.grades import level_of, reading_seconds
from resources.content.analysers.summary import MAX_CHARS as MAX_SUMMARY
from resources.content.analysers.terms import MAX_CONCEPTS, MAX_KEYWORDS
from resources.content.model import Analysis, Entity, Objective, QualityIssue, ScoredTerm, Sentiment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.ai.call import CallOptions
    from resources.ai.model import CallContext
    from resources.ai.pipeline import AiCalls
    from resources.content.model import ParsedDocument

VERSION: Final = "llm-1"
"""Of the question: raise it when it changes, so that recorded answers are not taken for answers to another."""

_SENT_CHARS: Final = 24_000
_MAX_OUTPUT: Final = 4_000
_UNSEEN: Final = 0.5
_MAX_ENTITIES: Final = 30
_SYSTEM: Final = (
    "You analyse documents for a library. Answer in JSON of the given schema, and write prose in the language of the document. "
    "Take concepts, keywords and entities from the document as it spells them. `confidence` is how sure you are, from 0 to 1: be "
    f"honest, not modest. {RULE}"
)

_Share = Annotated[float, Field(ge=0, le=1)]


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Language(_Said):
    code: str = Field(description="ISO 639-1, or und", max_length=8)
    confidence: _Share


class _Summary(_Said):
    text: str = Field(description="What the document says, in at most 500 characters")
    confidence: _Share


class _Term(_Said):
    text: str = Field(description="As the document spells it; a noun phrase of one to three words")
    weight: _Share = Field(description="1 = the document is about it")
    confidence: _Share


class _Entity(_Said):
    kind: Literal["person", "organization", "location", "date", "money", "technology"]
    text: str
    confidence: _Share


class _Objective(_Said):
    text: str = Field(description="What a reader can do afterwards: a verb first")
    level: Literal["remember", "understand", "apply", "analyse", "evaluate", "create"] = Field(
        description="The level of Bloom's taxonomy"
    )
    confidence: _Share


class _Tone(_Said):
    label: Literal["negative", "neutral", "positive"]
    score: float = Field(ge=-1, le=1)
    confidence: _Share


class _Issue(_Said):
    kind: Literal["readability", "completeness", "accuracy", "coherence", "grammar", "vocabulary", "structure"]
    severity: Literal["low", "medium", "high"]
    message: str
    suggestion: str


class _Grade(_Said):
    score: _Share
    confidence: _Share


class DocumentAnalysis(_Said):
    """What the model is asked for."""

    language: _Language
    summary: _Summary
    concepts: tuple[_Term, ...] = Field(description="At most 20, the most important first")
    keywords: tuple[_Term, ...] = Field(description="At most 15, for search")
    entities: tuple[_Entity, ...] = Field(description="At most 30")
    objectives: tuple[_Objective, ...] = Field(description="At most 5")
    sentiment: _Tone
    quality: _Grade = Field(description="0 = worthless to a reader, 1 = could not be better")
    issues: tuple[_Issue, ...] = Field(description="What would make the document better; none if it is fine")
    difficulty: _Grade = Field(description="0 = for anybody, 0.3 = beginners, 0.6 = advanced, 0.8 and more = experts")
    prerequisites: tuple[str, ...] = Field(description="What one should know before, at most 8, as noun phrases")


def analyse_with_model(
    parsed: ParsedDocument,
    ai: AiCalls,
    *,
    provider: str,
    model: str,
    caller: CallContext,
    options: CallOptions | None = None,
) -> Analysis:
    """The analysis by a model. Blocks; not on an event loop's thread.

    Raises what `AiCalls.complete` raises: BudgetExceededError, MemoMissError, AnswerInvalidError, and the provider's errors.
    """
    by_rule = analyse(parsed)
    result = ai.complete_sync(question(parsed, provider=provider, model=model), caller, options)
    said = read_model(result.answer.text, DocumentAnalysis)
    difficulty = round(said.difficulty.score, 4)
    concepts, concept_confidence = _terms(said.concepts[:MAX_CONCEPTS], parsed)
    keywords, keyword_confidence = _terms(said.keywords[:MAX_KEYWORDS], parsed)
    return by_rule.model_copy(
        update={
            "language": said.language.code.lower() or "und",
            "language_confidence": said.language.confidence,
            "reading_seconds": reading_seconds(by_rule.words, difficulty),
            "summary": _shortened(" ".join(said.summary.text.split())),
            "keywords": keywords,
            "concepts": concepts,
            "entities": tuple(_entities(said.entities[:_MAX_ENTITIES], parsed)),
            "objectives": tuple(
                Objective(text=item.text, level=item.level, confidence=item.confidence) for item in said.objectives[:5]
            ),
            "sentiment": Sentiment(**said.sentiment.model_dump()),
            "quality": round(said.quality.score, 4),
            "issues": tuple(QualityIssue(**issue.model_dump()) for issue in said.issues),
            "difficulty": difficulty,
            "difficulty_level": level_of(difficulty),
            "prerequisites": tuple(dict.fromkeys(said.prerequisites))[:8],
            "mode": "llm",
            "model": f"{result.answer.provider}/{result.answer.model}",
            "notice": result.answer.notice,
            "confidence": {
                "language": said.language.confidence,
                "summary": said.summary.confidence,
                "concepts": concept_confidence,
                "keywords": keyword_confidence,
                "quality": said.quality.confidence,
                "difficulty": said.difficulty.confidence,
                "sentiment": said.sentiment.confidence,
                "objectives": _mean([item.confidence for item in said.objectives]),
            },
            "version": f"{by_rule.version}.{VERSION}",
        }
    )


def question(parsed: ParsedDocument, *, provider: str, model: str) -> ChatRequest:
    """What the model is asked: equal for equal documents, so that a recorded answer is found again."""
    outline = "\n".join(f"{'  ' * (section.level - 1)}{section.title}" for section in parsed.sections[:200])
    text = parsed.text[:_SENT_CHARS]
    more = (
        f"\n\n[{len(parsed.text) - len(text):,} more characters are left out.]" if len(text) < len(parsed.text) else ""
    )
    material = f"Title: {parsed.title or 'unknown'}\n\nOutline:\n{outline or 'none'}\n\nText:\n{text}{more}"
    return ChatRequest(
        provider=provider,
        model=model,
        messages=(
            Message(role="system", text=_SYSTEM),
            Message(role="user", text=f"Analyse this document.\n\n{as_data(material, source='document')}"),
        ),
        output=output_of(DocumentAnalysis),
        max_output_tokens=_MAX_OUTPUT,
        temperature=0.0,
        prompt_version=f"content-analysis@{VERSION}",
    )


def _terms(said: Sequence[_Term], parsed: ParsedDocument) -> tuple[tuple[ScoredTerm, ...], float]:
    """The terms by weight, and how sure one can be of them: those that do not stand in the document count half."""
    text = parsed.text.lower()
    found: dict[str, ScoredTerm] = {}
    sure: list[float] = []
    for term in said:
        name = " ".join(term.text.split())
        if not name or name.lower() in found:
            continue
        count = text.count(name.lower())
        found[name.lower()] = ScoredTerm(text=name, score=round(term.weight, 4), count=max(count, 1))
        sure.append(term.confidence if count else _UNSEEN * term.confidence)
    return tuple(sorted(found.values(), key=lambda term: -term.score)), _mean(sure)


def _entities(said: Sequence[_Entity], parsed: ParsedDocument) -> list[Entity]:
    found: dict[tuple[str, str], Entity] = {}
    for item in said:
        name = " ".join(item.text.split())
        if not name:
            continue
        at = parsed.text.find(name)
        found.setdefault(
            (item.kind, name.lower()),
            Entity(
                kind=item.kind,
                text=name,
                count=max(parsed.text.count(name), 1),
                start=at if at >= 0 else None,
                confidence=round(item.confidence if at >= 0 else _UNSEEN * item.confidence, 4),
            ),
        )
    return list(found.values())


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_SUMMARY else text[: MAX_SUMMARY - 1].rsplit(" ", 1)[0].rstrip(" ,;:") + "…"


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4) if values else 0.0
