"""How a call is made, what it gives, and what is shared by all its attempts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Self

from resources.ai import booking
from resources.ai.ledger.model import Captured
from resources.ai.model import Answer, Message, Usage
from resources.ai.structured import AnswerInvalidError, read_answer
from resources.telemetry import correlation

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from uuid import UUID

    from resources.ai.ledger.model import CallRecord, MemoStatus
    from resources.ai.memo.model import MemoMode
    from resources.ai.model import CallContext, ChatRequest, Embeddings, StreamEvent
    from resources.ai.redaction import Redactor


@dataclass(frozen=True, slots=True)
class Target:
    """A provider and its model, to fall back to."""

    provider: str
    model: str


@dataclass(frozen=True, slots=True)
class CallOptions:
    """How a call is made. Seconds are of the whole call, with its waits and attempts.

    `memo`: read_through takes a recorded answer or records one; record always calls; replay_only never calls. An answer that was
    sampled (a temperature above 0) is recorded only with `memo_sampled`. `repair` is how often a model may mend an answer that
    is not of the asked shape, each time charged. `refuse_unpriced`: no call of a model without a price under a hard budget.
    """

    memo: MemoMode = "read_through"
    memo_sampled: bool = False
    memo_ttl: float | None = None
    timeout: float = 300.0
    fallback: tuple[Target, ...] = ()
    repair: int = 2
    capture_content: bool = False
    redactor: Redactor | None = None
    refuse_unpriced: bool = False


@dataclass(frozen=True, slots=True)
class CallResult:
    """An answer and what it cost. `cost` sums all attempts and repairs; None when one of them has no known price.

    `usage` is what was paid for now (nothing for a recorded answer); `call_id` is the last row's, `call_ids` are all of them.
    """

    answer: Answer
    call_id: UUID
    call_ids: tuple[UUID, ...]
    memo: MemoStatus
    usage: Usage
    cost: Decimal | None
    saved_cost: Decimal | None
    measured: bool
    price_source: str | None


@dataclass(frozen=True, slots=True)
class EmbedResult:
    """Vectors and what they cost; fields as those of CallResult."""

    embeddings: Embeddings
    call_id: UUID
    memo: MemoStatus
    usage: Usage
    cost: Decimal | None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool said, as text."""

    text: str
    call_id: UUID
    memo: MemoStatus


@dataclass(slots=True)
class Call:
    """What all attempts of one call share; `records` are their rows, in order. `deadline` is in the event loop's time."""

    context: CallContext
    options: CallOptions
    deadline: float = float("inf")
    records: list[CallRecord] = field(default_factory=list)

    def result(self, answer: Answer) -> CallResult:
        last, costs = self.records[-1], [record.cost for record in self.records]
        return CallResult(
            answer=answer,
            call_id=last.call_id,
            call_ids=tuple(record.call_id for record in self.records),
            memo=last.memo,
            usage=sum((record.usage for record in self.records if record.usage is not None), Usage()),
            cost=None if None in costs else sum((cost for cost in costs if cost is not None), Decimal(0)),
            saved_cost=last.saved_cost,
            measured=all(record.measured for record in self.records),
            price_source=last.price_source,
        )


class CallStream(AsyncIterator["StreamEvent"]):
    """The events of a call; `result` is there when the answer has come. Close it (`async with`) to give up the call."""

    def __init__(self, events: AsyncGenerator[StreamEvent], call: Call) -> None:
        self._events = events
        self._call = call
        self.result: CallResult | None = None

    async def __anext__(self) -> StreamEvent:
        event = await anext(self._events)
        if isinstance(event, Answer):
            self.result = self._call.result(event)
        return event

    async def aclose(self) -> None:
        await self._events.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def placed_for(context: CallContext) -> CallContext:
    """The context with what the work in progress knows: its booking, and its correlation id."""
    context = booking.placed(context)
    if context.correlation_id is not None or (current := correlation.current()) is None:
        return context
    return context.model_copy(update={"correlation_id": current})


def mode_of(request: ChatRequest, options: CallOptions) -> MemoMode:
    """The memo's mode; off for answers that are sampled, unless they are to be kept."""
    sampled = request.temperature is not None and request.temperature > 0
    return "off" if sampled and not options.memo_sampled and options.memo != "replay_only" else options.memo


def problems_of(request: ChatRequest, answer: Answer) -> AnswerInvalidError | None:
    """What is wrong with the shape of the answer."""
    if request.output is None or answer.finish not in {"stop", "length"}:
        return None
    try:
        read_answer(answer.text, request.output)
    except AnswerInvalidError as error:
        error.answer = answer
        return error
    return None


def mended(request: ChatRequest, answer: Answer, problems: AnswerInvalidError) -> ChatRequest:
    """The request with the bad answer and what is wrong with it."""
    said = "\n".join(f"- {problem}" for problem in problems.problems)
    wish = f"Your answer is not valid:\n{said}\nAnswer again with the whole JSON, and nothing else."
    turns = (Message(role="assistant", text=answer.text or "(nothing)"), Message(role="user", text=wish))
    return request.model_copy(update={"messages": (*request.messages, *turns)})


def content_of(request: ChatRequest, answer: Answer) -> Captured:
    """What was said, for the events."""
    return Captured(
        prompt="\n\n".join(f"{message.role}: {message.text}" for message in request.messages), response=answer.text
    )
