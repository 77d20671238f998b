"""The analysis as a model gives it: one question with a schema, answered with confidences, checked against the document.

What can be counted is counted by rules in both modes (words, sentences, readability, reading time): a model is asked for what
takes understanding (`said.py`). The parts of its answer that hold are kept; each that does not is asked for once more on its own;
what then fails is said by rule, and named (`by_rule`). What it claims to have found in the document is looked up there; what does
not stand in it keeps half of its confidence. The document is material for the model, never an instruction (`untrusted.as_data`).
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from resources.ai.call import CallOptions
from resources.ai.model import ChatRequest, Message
from resources.ai.provider import ProviderRefusedError
from resources.ai.providers.local import MODEL as SMOLLM2
from resources.ai.structured import AnswerInvalidError
from resources.ai.untrusted import RULE, as_data
from resources.content.analysers.analyse import analyse
from resources.content.analysers.grades import level_of, reading_seconds
from resources.content.analysers.said import PARTS, read_parts, schema_of, wish_for
from resources.content.analysers.summary import MAX_CHARS as MAX_SUMMARY
from resources.content.model import Entity, Objective, QualityIssue, ScoredTerm, Sentiment
from resources.errors import PlatformError, Problem, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resources.ai.model import Answer, CallContext
    from resources.ai.pipeline import AiCalls
    from resources.content.analysers.said import Name, Sure, Term
    from resources.content.model import Analysis, ParsedDocument

VERSION: Final = "llm-2"
"""Of the question: raise it when it changes, so that recorded answers are not taken for answers to another."""

_SENT_CHARS: Final = 24_000
_SHORT_CHARS: Final = 6_000
"""Sent where the model's context has no room for more."""
_SMALL: Final = frozenset({SMOLLM2, SMOLLM2.partition("/")[2]})
"""Models that are asked for each part on its own from the beginning: of several at once they lose the document."""
_MAX_OUTPUT: Final = 4_000
_MAX_OUTPUT_OF_A_PART: Final = 1_000
_UNSEEN: Final = 0.5
_UNSAID: Final = 0.5
"""The confidence in a part of which the model did not say how sure it is."""
_SYSTEM: Final = (
    "You analyse documents for a library. Answer in JSON of the given schema, and write prose in the language of the document. "
    f"Take concepts, keywords and entities from the document as it spells them. {RULE}"
)
_ENDS = re.compile(r".*[.!?…。！？](?=\s|$)", re.DOTALL)


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

    Raises what `AiCalls.complete` raises when nothing of what the model says can be used: BudgetExceededError, MemoMissError,
    AnswerInvalidError, and the provider's errors.
    """
    by_rule = analyse(parsed)
    interview = _Interview(
        parsed, ai, words=by_rule.words, model=(provider, model), caller=caller, options=options or CallOptions()
    )
    answer = interview.held_through()
    return _said(by_rule, parsed, answer, interview.held)


def question(
    parsed: ParsedDocument,
    *,
    provider: str,
    model: str,
    words: int,
    parts: Sequence[str] = PARTS,
    most: int = _SENT_CHARS,
) -> ChatRequest:
    """What the model is asked: equal for equal documents, so that a recorded answer is found again."""
    outline = "\n".join(f"{'  ' * (section.level - 1)}{section.title}" for section in parsed.sections[:200])
    text = parsed.text[:most]
    more = (
        f"\n\n[{len(parsed.text) - len(text):,} more characters are left out.]" if len(text) < len(parsed.text) else ""
    )
    title = f"Title: {parsed.title}\n\n" if parsed.title else ""
    material = f"{title}Outline:\n{outline[:most]}\n\nText:\n{text}{more}" if outline else f"{title}{text}{more}"
    return ChatRequest(
        provider=provider,
        model=model,
        messages=(
            Message(role="system", text=_SYSTEM),
            Message(role="user", text=f"{as_data(material, source='document')}\n\n{wish_for(parts)}"),
        ),
        output=schema_of(parts, words=words),
        max_output_tokens=_MAX_OUTPUT if parts is PARTS else _MAX_OUTPUT_OF_A_PART,
        temperature=0.0,
        prompt_version=f"content-analysis@{VERSION}",
    )


class _Interview:
    """The questions about one document, and the parts of the answers that hold."""

    def __init__(
        self,
        parsed: ParsedDocument,
        ai: AiCalls,
        *,
        words: int,
        model: tuple[str, str],
        caller: CallContext,
        options: CallOptions,
    ) -> None:
        self.held: dict[str, Any] = {}
        self._parsed, self._words = parsed, words
        self._ai, self._model, self._caller, self._options = ai, model, caller, options
        self._ends = time.monotonic() + options.timeout

    def held_through(self) -> Answer:
        """Ask; the answer that the first part that holds is of. Raises when none does."""
        small = self._model[1] in _SMALL
        room = _SHORT_CHARS if small else _SENT_CHARS
        answer: Answer | None = None
        failure: PlatformError | None = None
        try:
            if not small:
                answer, failure = self._ask(PARTS, room)
        except ProviderRefusedError as error:
            if error.code != "context_overflow":
                raise
            room, failure = _SHORT_CHARS, error
        for part in PARTS if self._options.repair or small else ():
            if part in self.held or part == "confidence" or time.monotonic() >= self._ends:
                continue
            try:
                said, wrong = self._ask((part,), room)
            except PlatformError as error:
                if isinstance(error, UnavailableError) and error.details.get("dependency") == "database":
                    raise
                failure = error
                break
            answer, failure = answer if self.held and answer else said, wrong or failure
            if not self.held:  # it does not speak JSON
                break
        if not self.held or answer is None:
            raise failure or AnswerInvalidError("The model said nothing.", problems=())
        return answer

    def _ask(self, parts: Sequence[str], most: int) -> tuple[Answer, AnswerInvalidError | None]:
        provider, model = self._model
        asked = question(self._parsed, provider=provider, model=model, words=self._words, parts=parts, most=most)
        options = replace(self._options, repair=0, timeout=max(1.0, self._ends - time.monotonic()))
        try:
            answer = self._ai.complete_sync(asked, self._caller, options).answer
            invalid = None
        except AnswerInvalidError as error:
            if error.answer is None:
                raise
            answer, invalid = error.answer, error
        held, wrong = read_parts(answer.text, parts)
        self.held |= held
        if wrong and invalid is None:  # a refusal, which nobody has checked
            problems = tuple(Problem(f"$.{name}", what) for name, what in wrong.items())
            invalid = AnswerInvalidError(
                f"The model did not analyse the document ({answer.finish}).", problems=problems
            )
        return answer, invalid


def _said(by_rule: Analysis, parsed: ParsedDocument, answer: Answer, held: Mapping[str, Any]) -> Analysis:
    """The analysis by rule with what the model has said of it in its place."""
    sure: Sure | None = held.get("confidence")
    confidence = dict(by_rule.confidence)
    for name in set(PARTS) & confidence.keys() & held.keys():
        confidence[name] = getattr(sure, name) / 100 if sure else _UNSAID
    update: dict[str, Any] = {}
    if "language" in held:
        update |= {"language": held["language"].lower(), "language_confidence": confidence["language"]}
    if "summary" in held:
        update["summary"] = _shortened(" ".join(held["summary"].split()))
    for name in ("concepts", "keywords"):
        if name in held:
            update[name], seen = _terms(held[name], parsed)
            confidence[name] = round(confidence[name] * seen, 4)
    if "entities" in held:
        update["entities"] = _entities(held["entities"], parsed, sure.entities / 100 if sure else _UNSAID)
    if "objectives" in held:
        update["objectives"] = tuple(
            Objective(text=item.text, level=item.level, confidence=confidence["objectives"])
            for item in held["objectives"]
        )
    if "sentiment" in held:
        tone = held["sentiment"]
        update["sentiment"] = Sentiment(label=tone.label, score=tone.score / 100, confidence=confidence["sentiment"])
    if "quality" in held:
        update["quality"] = held["quality"] / 100
    if "issues" in held:
        update["issues"] = tuple(QualityIssue(**issue.model_dump()) for issue in held["issues"])
    if "difficulty" in held:
        difficulty = held["difficulty"] / 100
        update |= {
            "difficulty": difficulty,
            "difficulty_level": level_of(difficulty),
            "reading_seconds": reading_seconds(by_rule.words, difficulty),
        }
    if "prerequisites" in held:
        update["prerequisites"] = tuple(dict.fromkeys(held["prerequisites"]))
    return by_rule.model_copy(
        update={
            **update,
            "mode": "llm",
            "model": f"{answer.provider}/{answer.model}",
            "notice": answer.notice,
            "by_rule": tuple(part for part in PARTS if part not in held and part != "confidence"),
            "confidence": confidence,
            "version": f"{by_rule.version}.{VERSION}",
        }
    )


def _terms(said: Sequence[Term], parsed: ParsedDocument) -> tuple[tuple[ScoredTerm, ...], float]:
    """The terms by weight, and how far they can be believed: those that do not stand in the document count half."""
    text = parsed.text.lower()
    found: dict[str, ScoredTerm] = {}
    seen: list[float] = []
    for term in said:
        name = " ".join(term.text.split())
        if not name or name.lower() in found:
            continue
        count = text.count(name.lower())
        found[name.lower()] = ScoredTerm(text=name, score=term.weight / 100, count=max(count, 1))
        seen.append(1.0 if count else _UNSEEN)
    return tuple(sorted(found.values(), key=lambda term: -term.score)), sum(seen) / len(seen) if seen else 1.0


def _entities(said: Sequence[Name], parsed: ParsedDocument, confidence: float) -> tuple[Entity, ...]:
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
                confidence=round(confidence if at >= 0 else _UNSEEN * confidence, 4),
            ),
        )
    return tuple(found.values())


def _shortened(text: str) -> str:
    """At most as long as a summary may be, and without a sentence that was cut in two, if one before it is whole."""
    if len(text) <= MAX_SUMMARY and text.endswith((".", "!", "?", "…", "。", "”", '"', ")")):
        return text
    if whole := _ENDS.match(text[:MAX_SUMMARY]):
        return whole[0]
    return text if len(text) <= MAX_SUMMARY else text[: MAX_SUMMARY - 1].rsplit(" ", 1)[0].rstrip(" ,;:") + "…"
