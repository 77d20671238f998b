"""Ask a model."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, Self, cast

from pydantic import BaseModel, Field, model_validator

from assets.nodes.base import MAX_TEXT, Text, has_expressions, node, remaining
from resources.ai import bridge
from resources.ai.model import CallContext, ChatRequest, Message, OutputSchema, Restart, TextDelta, Usage
from resources.ai.pipeline import CallOptions, CallResult, Target
from resources.ai.structured import check_schema, read_answer
from resources.errors import InvalidInputError, Problem
from resources.workflows.node_type import NodeConfig, NodeContext
from resources.workflows.spec import NodeSpec
from resources.workflows.waiting import unless_cancelled

if TYPE_CHECKING:
    from resources.ai.memo.model import MemoMode
    from resources.ai.pipeline import AiCalls

OFFLINE: Final = "offline"
OFFLINE_MODEL: Final = "offline/extractive-v1"


class Turn(NodeConfig):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"] = Field(description="Who speaks")
    text: Text = Field(max_length=MAX_TEXT, description="What is said, with expressions")


class Fallback(NodeConfig):
    """Whom to ask when the provider cannot answer."""

    provider: str = Field(min_length=1, max_length=100, description="Name of a configured provider")
    model: str = Field(min_length=1, max_length=200, description="The provider's name for the model")


class Config(NodeConfig):
    """Whom to ask, what, and how the answer has to look."""

    provider: str = Field(
        default=OFFLINE,
        min_length=1,
        max_length=100,
        description="Name of a configured provider; offline works by rule, without a model and a key",
    )
    model: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="The provider's name for the model; may be left out for offline",
    )
    prompt: Text | None = Field(default=None, min_length=1, max_length=MAX_TEXT, description="The question or the task")
    passages: tuple[Text, ...] = Field(
        default=(), max_length=1000, description="Texts that the answer rests on; they are put below the prompt"
    )
    messages: tuple[Turn, ...] = Field(
        default=(), max_length=1000, description="A conversation, in place of a prompt or before it"
    )
    system: Text | None = Field(default=None, max_length=100_000, description="What the model is told about its part")
    output: dict[str, Any] | None = Field(
        default=None, description="JSON Schema: the answer is JSON of this shape, and stands in `data`"
    )
    temperature: float | None = Field(
        default=None, ge=0, le=2, description="0 = the likeliest words; unset: as the provider likes"
    )
    top_p: float | None = Field(
        default=None, gt=0, le=1, description="Sample from the likeliest words up to this share"
    )
    max_output_tokens: int | None = Field(default=None, ge=1, description="Longest answer, in tokens")
    seed: int | None = Field(default=None, description="For equal answers, where the provider can")
    stop: tuple[str, ...] = Field(default=(), max_length=16, description="Texts at which the answer ends")
    reasoning_effort: Literal["minimal", "low", "medium", "high"] | None = Field(
        default=None, description="How long a model that reasons may do so"
    )
    fallback: tuple[Fallback, ...] = Field(default=(), max_length=10, description="Whom to ask instead, in order")
    timeout: float = Field(
        default=300.0, gt=0, le=3600, description="Seconds for the whole call, further tries included"
    )

    @model_validator(mode="after")
    def _something_asked(self) -> Self:
        if self.prompt is None and not self.messages:
            raise ValueError("needs a `prompt`, or `messages`")
        if self.provider != OFFLINE and self.model is None:
            raise ValueError("needs the `model`, as only the provider offline has one of its own")
        return self


class Output(BaseModel):
    """The answer, and what it took."""

    text: str = Field(description="The answer as text")
    data: Any = Field(description="The answer as JSON of the asked shape; null when none was asked for")
    provider: str = Field(description="Who answered")
    model: str = Field(description="Its model")
    finish: Literal["stop", "length", "tool", "refusal", "filter"] = Field(
        description="Why the answer ends; stop = it is whole"
    )
    simulated: bool = Field(description="Whether no AI model wrote the answer")
    notice: str | None = Field(description="What a reader must be told about that")
    usage: Usage = Field(description="Tokens that were paid for now; none for a recorded answer")
    cost: Decimal | None = Field(description="US dollars; null when nobody knows")
    memo: str = Field(description="Whether the answer was recorded before")
    call_id: str = Field(description="The call in the books")


def _check(spec: NodeSpec) -> Sequence[Problem]:
    schema = spec.config.get("output")
    if not isinstance(schema, dict) or has_expressions(schema):
        return ()
    try:
        check_schema(schema)
    except InvalidInputError as error:
        return (Problem("config.output", error.message),)
    return ()


@node(
    "prompt",
    output=Output,
    summary="Ask a model, once",
    resources={"ai"},
    lazy={"output"},
    compute_kind="ai",
    check=_check,
    examples=[
        {
            "id": "summary",
            "type": "prompt",
            "config": {
                "prompt": "Summarise what the text says about tea.",
                "passages": ["Tea is made from leaves. The leaves are dried. Coffee is made from beans."],
            },
        }
    ],
)
def prompt(config: Config, context: NodeContext) -> Output:
    """The text is told as it comes (`context.emit`).

    Raises what AiCalls.complete raises: BudgetExceededError, MemoMissError, AnswerInvalidError, and the provider's errors.
    """
    ai: AiCalls = context.resource("ai")
    request, options = _request(config), _options(config, context)
    result = bridge.run(unless_cancelled(_ask(ai, request, options, context), context.cancel))
    answer = result.answer
    context.report(
        {
            "provider": answer.provider,
            "model": answer.model,
            "finish": answer.finish,
            "tokens": result.usage.total,
            "cost_usd": "unknown" if result.cost is None else str(result.cost),
            **({"notice": answer.notice} if answer.notice else {}),
        }
    )
    return Output(
        text=answer.text,
        data=read_answer(answer.text, request.output) if request.output is not None else None,
        provider=answer.provider,
        model=answer.model,
        finish=answer.finish,
        simulated=answer.simulated,
        notice=answer.notice,
        usage=result.usage,
        cost=result.cost,
        memo=result.memo,
        call_id=str(result.call_id),
    )


async def _ask(ai: "AiCalls", request: ChatRequest, options: CallOptions, context: NodeContext) -> CallResult:
    caller = CallContext(
        tenant=context.tenant,
        workflow=context.workflow,
        run_id=context.run_id,
        node_id=context.node_id,
        correlation_id=context.correlation_id,
    )
    async with ai.stream(request, caller, options) as events:
        async for event in events:
            if isinstance(event, TextDelta):
                context.emit({"text": event.text})
            elif isinstance(event, Restart):
                context.emit({"restart": event.reason})
        assert events.result is not None
        return events.result


def _request(config: Config) -> ChatRequest:
    messages = [Message(role="system", text=config.system)] if config.system else []
    messages += [Message(role=turn.role, text=turn.text) for turn in config.messages]
    if config.prompt is not None:
        messages.append(Message(role="user", text="\n\n".join((config.prompt, *config.passages))))
    return ChatRequest(
        provider=config.provider,
        model=config.model or OFFLINE_MODEL,
        messages=tuple(messages),
        output=None if config.output is None else OutputSchema(json_schema=config.output),
        max_output_tokens=config.max_output_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        seed=config.seed,
        stop=config.stop,
        reasoning_effort=config.reasoning_effort,
    )


def _options(config: Config, context: NodeContext) -> CallOptions:
    left = remaining(context)
    return CallOptions(
        memo=cast("MemoMode", context.memo),
        timeout=config.timeout if left is None else min(config.timeout, left),
        fallback=tuple(Target(other.provider, other.model) for other in config.fallback),
    )
