"""The scorers: a text and what is asked of it in, a verdict out. All but the judge always say the same of the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict, Field

from resources.ai.evals.model import (
    Contains,
    Exact,
    Grounded,
    Judged,
    Matches,
    Readable,
    Shape,
    Similar,
    Verdict,
)
from resources.ai.model import CallContext, ChatRequest, Message, OutputSchema
from resources.ai.structured import AnswerInvalidError, output_of, read_answer, read_model
from resources.ai.untrusted import RULE, as_data
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from resources.ai.embedder import Embedder
    from resources.ai.evals.model import Scorer
    from resources.ai.pipeline import AiCalls

    Readability = Callable[[str], float | None]

_SENTENCE_END: Final = re.compile(r"(?<=[.!?…。！？])\s+|\n+")
_LONGEST: Final = 100_000


class Judgement(BaseModel):
    """A score from 0 (fails) to 1 (meets the criteria in full), and why."""

    model_config = ConfigDict(extra="forbid")

    score: float = Field(ge=0, le=1)
    reason: str


class Scorers:
    """Scores texts. `context` is on whose behalf a judge is called."""

    def __init__(self, embedder: Embedder, ai: AiCalls, context: CallContext, *, readability: Readability) -> None:
        self._embedder = embedder
        self._ai = ai
        self._context = context
        self._readability = readability

    def score(self, scorer: Scorer, text: str, *, passages: Sequence[str] = ()) -> Verdict:
        """Raises what AiCalls.complete raises, where a model judges, and InvalidInputError for a pattern that is none."""
        match scorer:
            case Exact():
                return _exact(scorer, text)
            case Contains():
                return _contains(scorer, text)
            case Matches():
                return _matches(scorer, text)
            case Shape():
                return _shape(scorer, text)
            case Similar():
                return self._similar(scorer, text)
            case Readable():
                return self._readable(scorer, text)
            case Grounded():
                return self._grounded(scorer, text, passages)
            case Judged():
                return self._judged(scorer, text, passages)

    def _similar(self, scorer: Similar, text: str) -> Verdict:
        one, other = self._embedder.embed([text, scorer.expected])
        cosine = round(float(one @ other), 4)
        return _verdict(
            scorer.kind, cosine >= scorer.min, max(0.0, cosine), f"the cosine is {cosine:.2f}, of {scorer.min:.2f}"
        )

    def _readable(self, scorer: Readable, text: str) -> Verdict:
        ease = self._readability(text)
        if ease is None:
            return _verdict(scorer.kind, False, None, "there is no sentence")
        passed = scorer.min <= ease <= scorer.max
        return _verdict(
            scorer.kind, passed, None, f"the reading ease is {ease:.0f}, of {scorer.min:g} to {scorer.max:g}"
        )

    def _grounded(self, scorer: Grounded, text: str, passages: Sequence[str]) -> Verdict:
        sentences, known = sentences_of(text), [one for passage in passages for one in sentences_of(passage)]
        if not sentences:
            return _verdict(scorer.kind, False, None, "there is no sentence")
        if not known:
            return _verdict(scorer.kind, False, 0.0, "there are no passages")
        said = " ".join(" ".join(passage.split()) for passage in passages).casefold()
        open_ = [one for one in sentences if one.casefold() not in said]
        unsupported = open_
        if open_:
            vectors = self._embedder.embed([*open_, *known])
            nearest = (vectors[: len(open_)] @ vectors[len(open_) :].T).max(axis=1)
            unsupported = [one for one, cosine in zip(open_, nearest, strict=True) if cosine < scorer.near]
        share = 1 - len(unsupported) / len(sentences)
        reason = f"{len(sentences) - len(unsupported)} of {len(sentences)} sentences are supported"
        if unsupported:
            reason += f"; not: {unsupported[0][:200]!r}"
        return _verdict(scorer.kind, share >= scorer.min, round(share, 4), reason)

    def _judged(self, scorer: Judged, text: str, passages: Sequence[str]) -> Verdict:
        parts = [f"Judge the text by these criteria:\n{scorer.criteria}", as_data(text, source="text")]
        parts += [as_data(passage, source=f"passage {number}") for number, passage in enumerate(passages, 1)]
        request = ChatRequest(
            provider=scorer.provider,
            model=scorer.model,
            messages=(
                Message(role="system", text=f"You judge texts. {RULE}"),
                Message(role="user", text="\n\n".join(parts)),
            ),
            output=output_of(Judgement),
            max_output_tokens=1024,
        )
        answer = self._ai.complete_sync(request, self._context).answer
        judged = read_model(answer.text, Judgement)
        verdict = _verdict(scorer.kind, judged.score >= scorer.min, judged.score, judged.reason)
        return verdict.model_copy(update={"simulated": answer.simulated})


def sentences_of(text: str) -> list[str]:
    """The sentences, their space made plain; headings and marks of lists are none."""
    parts = (" ".join(part.split()) for part in _SENTENCE_END.split(text))
    return [part for part in parts if any(letter.isalpha() for letter in part) and not part.startswith("#")]


def _exact(scorer: Exact, text: str) -> Verdict:
    one, other = text.strip(), scorer.expected.strip()
    same = one.casefold() == other.casefold() if scorer.ignore_case else one == other
    return _verdict(scorer.kind, same, float(same), "is the same" if same else f"is not {other[:200]!r}")


def _contains(scorer: Contains, text: str) -> Verdict:
    found = text.casefold()
    missing = [word for word in scorer.all if word.casefold() not in found]
    unwanted = [word for word in scorer.none if word.casefold() in found]
    total = len(scorer.all) + len(scorer.none)
    wrong = [*(f"lacks {word!r}" for word in missing), *(f"has {word!r}" for word in unwanted)]
    score = 1 - len(wrong) / total if total else 1.0
    return _verdict(
        scorer.kind, not wrong, round(score, 4), "; ".join(wrong) or "has all, and nothing that it must not"
    )


def _matches(scorer: Matches, text: str) -> Verdict:
    try:
        found = re.search(scorer.pattern, text[:_LONGEST])
    except re.error as error:
        raise InvalidInputError(f"{scorer.pattern!r} is no pattern: {error}", code="pattern_invalid") from error
    return _verdict(scorer.kind, found is not None, float(found is not None), "is found" if found else "is not found")


def _shape(scorer: Shape, text: str) -> Verdict:
    try:
        read_answer(text, OutputSchema(json_schema=scorer.json_schema))
    except AnswerInvalidError as error:
        return _verdict(scorer.kind, False, 0.0, error.message)
    return _verdict(scorer.kind, True, 1.0, "fits the schema")


def _verdict(kind: str, passed: bool, score: float | None, reason: str) -> Verdict:
    return Verdict(kind=kind, passed=passed, score=score, reason=reason)
