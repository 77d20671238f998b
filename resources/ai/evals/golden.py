"""Golden sets: questions with what must hold of their answers. `aiw ai eval` runs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from resources.ai.evals.model import CaseResult
from resources.ai.model import ChatRequest, Message
from resources.errors import InvalidInputError, PlatformError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from resources.ai.evals.model import Case, GoldenSet
    from resources.ai.evals.scorers import Scorers
    from resources.ai.model import CallContext
    from resources.ai.pipeline import AiCalls


class Filled(Protocol):
    """A prompt that is filled in."""

    @property
    def prompt_version(self) -> str: ...
    @property
    def system(self) -> str | None: ...
    @property
    def text(self) -> str: ...


class Prompts(Protocol):
    """The library of prompts."""

    def render(self, reference: str, variables: Mapping[str, object], *, tenant: str) -> Filled: ...


def run(
    golden: GoldenSet, ai: AiCalls, scorers: Scorers, prompts: Prompts, context: CallContext
) -> Iterator[CaseResult]:
    """The cases one after another. What goes wrong with one is its result."""
    for case in golden.cases:
        try:
            yield _run_case(golden, case, ai=ai, scorers=scorers, prompts=prompts, context=context)
        except PlatformError as error:
            yield CaseResult(name=case.name, passed=False, error=f"{error.code}: {error.message}")


def _run_case(
    golden: GoldenSet, case: Case, *, ai: AiCalls, scorers: Scorers, prompts: Prompts, context: CallContext
) -> CaseResult:
    messages: list[Message] = []
    version = None
    if case.text is not None:
        asked = case.text
    elif golden.prompt is not None:
        filled = prompts.render(golden.prompt, case.variables, tenant=context.tenant)
        version, asked = filled.prompt_version, filled.text
        if filled.system:
            messages.append(Message(role="system", text=filled.system))
    else:
        raise InvalidInputError("A case needs a `text`, or the set a `prompt`.", code="golden_invalid")
    messages.append(Message(role="user", text="\n\n".join((asked, *case.passages))))
    request = ChatRequest(
        provider=golden.provider, model=golden.model, messages=tuple(messages), prompt_version=version
    )
    result = ai.complete_sync(request, context)
    verdicts = tuple(scorers.score(scorer, result.answer.text, passages=case.passages) for scorer in case.expect)
    return CaseResult(
        name=case.name,
        passed=all(verdict.passed for verdict in verdicts),
        answer=result.answer.text,
        verdicts=verdicts,
        prompt_version=version,
        cost=None if result.cost is None else str(result.cost),
        notice=result.answer.notice,
    )
