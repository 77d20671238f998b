"""Ask a model."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, Self, cast

from pydantic import BaseModel, Field, model_validator

from assets.nodes.base import MAX_TEXT, Text, has_expressions, node, remaining
from resources.ai import bridge
from resources.ai.call import CallOptions, CallResult, Target
from resources.ai.model import CallContext, ChatRequest, Message, OutputSchema, Restart, TextDelta, Usage
from resources.ai.structured import check_schema, read_answer
from resources.errors import InvalidInputError, Problem
from resources.prompts.model import Rendered
from resources.workflows.node_type import NodeConfig, NodeContext
from resources.workflows.spec import NodeSpec
from resources.workflows.waiting import unless_cancelled

if TYPE_CHECKING:
    from resources.ai.memo.model import MemoMode
    from resources.ai.pipeline import AiCalls
    from resources.prompts.library import PromptLibrary

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
    prompt_id: Text | None = Field(
        default=None, max_length=200, description="A prompt of the library, in place of `prompt`: id, id@3 or id@label"
    )
    variables: dict[str, Any] = Field(default_factory=dict, max_length=200, description="What is put into it")
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
        if self.prompt is None and self.prompt_id is None and not self.messages:
            raise ValueError("needs a `prompt`, a `prompt_id`, or `messages`")
        if self.prompt is not None and self.prompt_id is not None:
            raise ValueError("has either a `prompt` or a `prompt_id`")
        if self.variables and self.prompt_id is None:
            raise ValueError("needs the `prompt_id` that the `variables` are for")
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
    prompt_version: str | None = Field(description="id@version of the library's prompt; null when there was none")


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
    resources={"ai", "prompts"},
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
    rendered: Rendered | None = None
    if config.prompt_id is not None:
        prompts: PromptLibrary = context.resource("prompts")
        rendered = prompts.render(config.prompt_id, config.variables, tenant=context.tenant)
    request, options = _request(config, rendered), _options(config, context)
    result = bridge.run(unless_cancelled(_ask(ai, request, options, context), context.cancel))
    answer = result.answer
    context.report(
        {
            "provider": answer.provider,
            "model": answer.model,
            "finish": answer.finish,
            "tokens": result.usage.total,
            "cost_usd": "unknown" if result.cost is None else str(result.cost),
            **({"prompt_version": request.prompt_version} if request.prompt_version else {}),
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
        prompt_version=request.prompt_version,
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


def _request(config: Config, rendered: Rendered | None) -> ChatRequest:
    instructions = [text for text in (rendered and rendered.system, config.system) if text]
    messages = [Message(role="system", text="\n\n".join(instructions))] if instructions else []
    messages += [Message(role=turn.role, text=turn.text) for turn in config.messages]
    asked = config.prompt if rendered is None else rendered.text
    if asked is not None:
        messages.append(Message(role="user", text="\n\n".join((asked, *config.passages))))
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
        prompt_version=None if rendered is None else rendered.prompt_version,
    )


def _options(config: Config, context: NodeContext) -> CallOptions:
    left = remaining(context)
    return CallOptions(
        memo=cast("MemoMode", context.memo),
        timeout=config.timeout if left is None else min(config.timeout, left),
        fallback=tuple(Target(other.provider, other.model) for other in config.fallback),
    )
