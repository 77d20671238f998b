from __future__ import annotations

import asyncio
import itertools
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from resources.ai.budgets.model import Budget, BudgetExceededError
from resources.ai.call import CallOptions, Target
from resources.ai.ledger.memory import MemoryCallBooks
from resources.ai.memo.cipher import MemoCipher
from resources.ai.memo.model import MemoMissError
from resources.ai.model import (
    Answer,
    CallContext,
    Embeddings,
    EmbedRequest,
    OutputSchema,
    ReasoningDelta,
    Restart,
    TextDelta,
    ToolCall,
    Usage,
)
from resources.ai.provider import (
    ProviderRefusedError,
    ProviderUnavailableError,
    RateLimitedError,
    StreamTruncatedError,
)
from resources.ai.providers.scripted import ScriptedProvider
from resources.ai.structured import AnswerInvalidError
from resources.errors import InvalidInputError, UpstreamError
from resources.events.memory import MemoryEventStore
from tests.resources.ai.calls.parts import answer, memory_calls, request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from resources.ai.model import ChatRequest, StreamEvent

CONTEXT = CallContext(tenant="t", run_id="r", asset="a", user="u")
PRICE = Decimal("0.000015")
NOTHING = Decimal(0)
BUSY = RateLimitedError("slow down", retry_after=0)
DOWN = ProviderUnavailableError("down", dependency="scripted")
TIMEOUT = ProviderUnavailableError("late", dependency="scripted", code="provider_timeout")
REFUSED = ProviderRefusedError("no")
SHAPE = OutputSchema(json_schema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})


class Broken:
    """Says something, and then fails or waits."""

    name = "scripted"

    def __init__(self, error: Exception | None = None, *, then: Answer | None = None) -> None:
        self.requests: list[ChatRequest] = []
        self.said = asyncio.Event()
        self._error = error
        self._then = then

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent]:
        self.requests.append(request)
        if self._then is not None and len(self.requests) > 1:
            yield TextDelta(text=self._then.text)
            yield self._then
            return
        yield TextDelta(text="half of ")
        self.said.set()
        if self._error is not None:
            raise self._error
        await asyncio.Event().wait()

    async def close(self) -> None:
        """Nothing is held."""


async def test_a_call_is_answered_priced_and_in_the_books() -> None:
    calls = memory_calls(ScriptedProvider([answer()]))
    result = await calls.complete(request(), CONTEXT)
    (row,) = calls.books.calls(tenant="t")
    assert (result.answer.text, result.cost, result.memo, result.measured) == ("hello world", PRICE, "miss", True)
    assert (row.call_id, row.cost, row.usage, row.context) == (
        result.call_id,
        PRICE,
        Usage(input=10, output=5),
        CONTEXT,
    )
    assert row.price_source is not None
    assert row.latency_ms is not None
    assert row.first_token_ms is not None


async def test_the_same_request_is_paid_once_and_streamed_alike() -> None:
    provider = ScriptedProvider([answer()])
    calls = memory_calls(provider)
    first = [event async for event in calls.stream(request(), CONTEXT)]
    stream = calls.stream(request(), CONTEXT)
    second = [event async for event in stream]
    assert second == first
    assert len(provider.requests) == 1
    assert stream.result is not None
    assert (stream.result.memo, stream.result.cost, stream.result.usage) == ("hit", NOTHING, Usage())
    assert stream.result.saved_cost == PRICE
    newest = calls.books.calls(tenant="t")[0]
    assert (newest.memo, newest.cost, newest.saved_tokens, newest.saved_cost) == ("hit", NOTHING, 15, PRICE)


async def test_tenants_do_not_share_answers() -> None:
    provider = ScriptedProvider([answer("one"), answer("two")])
    calls = memory_calls(provider)
    await calls.complete(request(), CONTEXT)
    other = await calls.complete(request(), CallContext(tenant="other"))
    assert (other.answer.text, other.memo) == ("two", "miss")


@pytest.mark.parametrize(
    "bad",
    [
        answer(finish="length"),
        answer(finish="refusal"),
        answer(finish="filter"),
        REFUSED,
        StreamTruncatedError("cut", dependency="scripted", retryable=False),
    ],
    ids=["cut", "refused", "filtered", "failed", "truncated"],
)
async def test_a_bad_answer_is_never_recorded(bad: Answer | Exception) -> None:
    provider = ScriptedProvider([bad, answer("good")])
    calls = memory_calls(provider)
    if isinstance(bad, Exception):
        with pytest.raises(type(bad)):
            await calls.complete(request(), CONTEXT)
    else:
        assert (await calls.complete(request(), CONTEXT)).answer.finish == bad.finish
    assert (await calls.complete(request(), CONTEXT)).answer.text == "good"
    assert len(provider.requests) == 2


async def test_a_sampled_answer_is_recorded_only_when_asked_for() -> None:
    provider = ScriptedProvider([answer("one"), answer("two"), answer("three")])
    calls = memory_calls(provider)
    sampled = request(temperature=0.7)
    assert (await calls.complete(sampled, CONTEXT)).memo == "off"
    assert (await calls.complete(sampled, CONTEXT, CallOptions(memo_sampled=True))).answer.text == "two"
    again = await calls.complete(sampled, CONTEXT, CallOptions(memo_sampled=True))
    assert (again.answer.text, again.memo) == ("two", "hit")


async def test_record_calls_anew_and_keeps_the_newest() -> None:
    provider = ScriptedProvider([answer("one"), answer("two")])
    calls = memory_calls(provider)
    await calls.complete(request(), CONTEXT)
    await calls.complete(request(), CONTEXT, CallOptions(memo="record"))
    assert (await calls.complete(request(), CONTEXT)).answer.text == "two"


async def test_off_neither_takes_nor_keeps() -> None:
    provider = ScriptedProvider([answer("one"), answer("two")])
    calls = memory_calls(provider)
    for text in ("one", "two"):
        result = await calls.complete(request(), CONTEXT, CallOptions(memo="off"))
        assert (result.answer.text, result.memo) == (text, "off")


async def test_a_replay_that_misses_shows_the_nearest_request() -> None:
    provider = ScriptedProvider([answer(), answer()])
    calls = memory_calls(provider)
    recorded = await calls.complete(request("what is a graph?"), CONTEXT)
    await calls.complete(request("else", model="other", seed=3), CONTEXT)
    with pytest.raises(MemoMissError) as raised:
        await calls.complete(request("what is a tree?"), CONTEXT, CallOptions(memo="replay_only"))
    assert raised.value.nearest == recorded.call_id
    assert raised.value.differences == ('messages[0].text: "what is a graph?" → "what is a tree?"',)
    assert len(provider.requests) == 2


async def test_identical_calls_in_flight_are_one() -> None:
    provider = ScriptedProvider([answer()])
    calls = memory_calls(provider)
    results = await asyncio.gather(*(calls.complete(request(), CONTEXT) for _ in range(20)))
    assert len(provider.requests) == 1
    assert sorted(result.memo for result in results) == ["hit"] * 19 + ["miss"]
    assert calls.books.totals("tenant", tenant="t")["t"].cost == PRICE


async def test_when_the_first_of_identical_calls_fails_the_next_one_asks() -> None:
    provider = ScriptedProvider([REFUSED, answer()])
    calls = memory_calls(provider)
    results = await asyncio.gather(*(calls.complete(request(), CONTEXT) for _ in range(5)), return_exceptions=True)
    assert sum(isinstance(result, ProviderRefusedError) for result in results) == 1
    assert len(provider.requests) == 2


async def test_what_is_kept_can_be_encrypted() -> None:
    books = MemoryCallBooks()
    calls = memory_calls(ScriptedProvider([answer("the secret answer")]), books=books, cipher=MemoCipher("x" * 32))
    await calls.complete(request("the secret question"), CONTEXT)
    (kept,) = books.memo.newest(tenant="t", kind="chat")
    assert b"secret" not in kept.payload
    assert (await calls.complete(request("the secret question"), CONTEXT)).answer.text == "the secret answer"
    reader = memory_calls(ScriptedProvider(), books=books, cipher=MemoCipher("y" * 32))
    with pytest.raises(UpstreamError, match="cannot be decrypted"):
        await reader.complete(request("the secret question"), CONTEXT)


async def test_a_hard_budget_refuses_before_the_call() -> None:
    provider, books = ScriptedProvider([answer()]), MemoryCallBooks()
    budget = books.budgets.put(Budget("run", "total", PRICE, tenant="t"))
    calls = memory_calls(provider, books=books)
    with pytest.raises(BudgetExceededError) as raised:
        await calls.complete(request(), CONTEXT)
    assert raised.value.refusal.budget_id == budget.budget_id
    assert provider.requests == []
    assert list(books.calls(tenant="t")) == []


async def test_a_recorded_answer_needs_no_budget() -> None:
    books = MemoryCallBooks()
    calls = memory_calls(ScriptedProvider([answer()]), books=books)
    await calls.complete(request(), CONTEXT)
    books.budgets.put(Budget("tenant", "total", Decimal(0), tenant="t"))
    assert (await calls.complete(request(), CONTEXT)).memo == "hit"


async def test_no_answer_costs_more_than_was_reserved() -> None:
    books = MemoryCallBooks()
    books.budgets.put(Budget("tenant", "total", Decimal(1), tenant="t"))
    text = "ÄÖ漢字🙂 <|endoftext|> " * 50
    seen: list[Decimal] = []

    def line(asked: ChatRequest) -> Answer:
        seen.extend(status.reserved for status in books.budgets.statuses(tenant="t"))
        tokens = len(asked.messages[0].text.encode())  # more than any tokenizer makes of it
        return answer(usage=Usage(input=tokens, output=10))

    result = await memory_calls(ScriptedProvider([line]), books=books).complete(request(text), CONTEXT)
    assert result.cost is not None
    assert result.cost <= seen[0]


async def test_a_model_without_a_price_costs_nobody_knows_what() -> None:
    books = MemoryCallBooks()
    calls = memory_calls(ScriptedProvider([answer(), answer()]), books=books)
    result = await calls.complete(request(model="unheard-of"), CONTEXT)
    assert (result.cost, calls.books.totals("tenant", tenant="t")["t"].unpriced) == (None, 1)
    books.budgets.put(Budget("tenant", "total", Decimal(100), tenant="t"))
    with pytest.raises(BudgetExceededError, match="no price"):
        await calls.complete(request("2", model="unheard-of"), CONTEXT, CallOptions(refuse_unpriced=True))


async def test_an_answer_without_usage_is_charged_as_reserved_and_marked() -> None:
    calls = memory_calls(ScriptedProvider([answer(usage=None)]))
    result = await calls.complete(request(), CONTEXT)
    assert not result.measured
    assert result.cost is not None
    assert result.cost > PRICE


@pytest.mark.parametrize("failures", [1, 2, 3])
async def test_what_may_pass_is_tried_again_and_each_attempt_is_a_row(failures: int) -> None:
    provider = ScriptedProvider([*[BUSY, DOWN, BUSY][:failures], answer()])
    calls = memory_calls(provider)
    result = await calls.complete(request(), CONTEXT)
    rows = list(reversed(calls.books.calls(tenant="t")))
    assert len(provider.requests) == failures + 1
    assert [row.attempt for row in rows] == list(range(1, failures + 2))
    assert [row.outcome for row in rows] == ["failed"] * failures + ["answered"]
    assert sum(row.cost or 0 for row in rows) == result.cost == PRICE
    assert result.call_ids == tuple(row.call_id for row in rows)


async def test_after_four_attempts_the_error_is_told() -> None:
    provider = ScriptedProvider([DOWN] * 9)
    with pytest.raises(ProviderUnavailableError, match="down"):
        await memory_calls(provider).complete(request(), CONTEXT)
    assert len(provider.requests) == 4


@pytest.mark.parametrize(
    "error",
    [REFUSED, RateLimitedError("used up", code="provider_quota_exhausted"), RateLimitedError("later", retry_after=90)],
    ids=["refused", "quota", "patience"],
)
async def test_what_does_not_pass_is_not_tried_again(error: Exception) -> None:
    provider = ScriptedProvider([error, answer()])
    with pytest.raises(type(error)):
        await memory_calls(provider).complete(request(), CONTEXT)
    assert len(provider.requests) == 1


async def test_a_retry_is_reserved_anew() -> None:
    books = MemoryCallBooks()

    def spend_it(_: ChatRequest) -> Exception:
        books.budgets.put(Budget("tenant", "total", Decimal(0), tenant="t"))
        return DOWN

    provider = ScriptedProvider([spend_it, answer()])
    with pytest.raises(BudgetExceededError):
        await memory_calls(provider, books=books).complete(request(), CONTEXT)
    assert len(provider.requests) == 1


async def test_what_was_shown_is_void_after_a_restart() -> None:
    broken = Broken(StreamTruncatedError("cut", dependency="scripted"), then=answer("whole"))
    calls = memory_calls(broken)
    events = [event async for event in calls.stream(request(), CONTEXT)]
    assert [type(event) for event in events] == [TextDelta, Restart, TextDelta, Answer]
    failed, answered = reversed(calls.books.calls(tenant="t"))
    assert (failed.outcome, failed.error_code, failed.measured) == ("failed", "stream_truncated", False)
    assert failed.cost is not None
    assert failed.cost > (answered.cost or 0) > 0
    kept = [event async for event in calls.stream(request(), CONTEXT)]
    assert kept == [TextDelta(text="whole"), answer("whole")]


async def test_a_provider_that_fails_hands_over_to_the_next() -> None:
    first, second = ScriptedProvider([REFUSED]), ScriptedProvider([answer("from the other")], name="other")
    calls = memory_calls(first, chat={"other": second})
    result = await calls.complete(request(), CONTEXT, CallOptions(fallback=(Target("other", "m"),)))
    assert result.answer.text == "from the other"
    assert [row.provider for row in calls.books.calls(tenant="t")] == ["other", "scripted"]


async def test_a_timeout_of_the_provider_may_be_billed() -> None:
    calls = memory_calls(ScriptedProvider([TIMEOUT, answer()]))
    await calls.complete(request(), CONTEXT)
    late = calls.books.calls(tenant="t")[-1]
    assert (late.outcome, late.measured) == ("failed", False)
    assert late.cost is not None
    assert late.cost > 0


async def test_the_time_of_the_whole_call_is_bounded() -> None:
    calls = memory_calls(Broken())
    with pytest.raises(ProviderUnavailableError) as raised:
        await calls.complete(request(), CONTEXT, CallOptions(timeout=0.05))
    assert raised.value.code == "provider_timeout"
    (row,) = calls.books.calls(tenant="t")
    assert (row.outcome, row.error_code) == ("failed", "provider_timeout")


async def test_a_cancelled_call_is_charged_as_reserved() -> None:
    provider, books = Broken(), MemoryCallBooks()
    books.budgets.put(Budget("tenant", "total", Decimal(1), tenant="t"))
    task = asyncio.create_task(memory_calls(provider, books=books).complete(request(), CONTEXT))
    await provider.said.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (row,) = books.calls(tenant="t")
    (status,) = books.budgets.statuses(tenant="t")
    assert (row.outcome, row.measured, status.reserved, status.spent) == ("cancelled", False, NOTHING, row.cost)


async def test_a_stream_that_nobody_follows_is_settled_when_it_is_closed() -> None:
    calls = memory_calls(Broken())
    async with calls.stream(request(), CONTEXT) as events:
        assert await anext(events) == TextDelta(text="half of ")
    (row,) = calls.books.calls(tenant="t")
    assert row.outcome == "cancelled"


async def test_a_stream_without_an_end_is_an_error() -> None:
    class Endless(Broken):
        async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent]:
            self.requests.append(request)
            yield ReasoningDelta(text="hm")

    with pytest.raises(StreamTruncatedError, match="without an answer"):
        await memory_calls(Endless()).complete(request(), CONTEXT)


async def test_a_broken_adapter_leaves_no_reservation() -> None:
    books = MemoryCallBooks()
    books.budgets.put(Budget("tenant", "total", Decimal(1), tenant="t"))
    with pytest.raises(ZeroDivisionError):
        await memory_calls(Broken(ZeroDivisionError()), books=books).complete(request(), CONTEXT)
    (status,) = books.budgets.statuses(tenant="t")
    assert (status.reserved, status.calls) == (NOTHING, 1)


async def test_an_unknown_provider_is_told_and_nothing_is_reserved() -> None:
    books = MemoryCallBooks()
    books.budgets.put(Budget("tenant", "total", Decimal(1), tenant="t"))
    with pytest.raises(InvalidInputError, match="nobody"):
        await memory_calls(books=books).complete(request(provider="nobody"), CONTEXT)
    assert {status.reserved for status in books.budgets.statuses(tenant="t")} == {0}


async def test_a_model_may_mend_an_answer_and_each_repair_is_charged() -> None:
    provider = ScriptedProvider([answer("no json"), answer('{"n": "x"}'), answer('{"n": 1}')])
    calls = memory_calls(provider)
    events = [event async for event in calls.stream(request(output=SHAPE), CONTEXT)]
    assert sum(isinstance(event, Restart) for event in events) == 2
    assert isinstance(events[-1], Answer)
    assert events[-1].text == '{"n": 1}'
    assert "not valid" in provider.requests[1].messages[-1].text
    assert calls.books.totals("tenant", tenant="t")["t"].cost == PRICE * 3


async def test_repairs_are_bounded_and_bad_shapes_not_recorded() -> None:
    provider = ScriptedProvider([answer("no json")] * 9)
    calls = memory_calls(provider)
    for turn in (1, 2):
        with pytest.raises(AnswerInvalidError):
            await calls.complete(request(output=SHAPE), CONTEXT, CallOptions(repair=1))
        assert len(provider.requests) == 2 * turn


async def test_content_is_in_the_events_only_when_it_is_captured() -> None:
    events = MemoryEventStore()
    calls = memory_calls(
        ScriptedProvider([answer("the answer"), answer("the answer")]), books=MemoryCallBooks(events=events)
    )
    await calls.complete(request("the question"), CONTEXT)
    assert not any(
        "question" in str(event.data) or "the answer" in str(event.data) for event in events.read_all(tenant="t")
    )
    await calls.complete(request("the question 2"), CONTEXT, CallOptions(capture_content=True))
    last = events.read_all(tenant="t")[-1]
    assert (last.data["prompt"], last.data["response"]) == ("user: the question 2", "the answer")


async def test_alerts_of_budgets_are_events() -> None:
    events = MemoryEventStore()
    books = MemoryCallBooks(events=events)
    books.budgets.put(Budget("tenant", "total", PRICE, tenant="t", hard=False))
    await memory_calls(ScriptedProvider([answer()]), books=books).complete(request(), CONTEXT)
    (alert,) = events.read_all(types=["ai.budget_threshold_reached"], tenant="t")
    assert (alert.data["threshold"], alert.data["spent"]) == ("0.95", "0.000015")


class Vectors:
    name = "scripted"

    def __init__(self, *errors: Exception) -> None:
        self.requests = 0
        self._errors = list(errors)

    async def embed(self, asked: EmbedRequest) -> Embeddings:
        self.requests += 1
        if self._errors:
            raise self._errors.pop()
        vectors = tuple((float(len(text)), 0.5) for text in asked.texts)
        return Embeddings(vectors=vectors, usage=Usage(input=7), provider="scripted", model="m")

    async def close(self) -> None:
        """Nothing is held."""


async def test_embeddings_are_retried_priced_and_paid_once() -> None:
    provider = Vectors(DOWN)
    calls = memory_calls(embeddings={"scripted": provider})
    asked = EmbedRequest(provider="scripted", model="m", texts=("a", "bb"))
    first, second = await calls.embed(asked, CONTEXT), await calls.embed(asked, CONTEXT)
    assert (first.cost, first.memo, second.cost, second.memo) == (Decimal("0.000007"), "miss", NOTHING, "hit")
    assert second.embeddings == first.embeddings
    assert provider.requests == 2
    assert [row.kind for row in calls.books.calls(tenant="t")] == ["embed"] * 3


async def test_a_tool_is_in_the_books_and_called_each_time() -> None:
    numbers = itertools.count()
    calls = memory_calls()

    def tool(**arguments: Any) -> dict[str, Any]:
        return arguments | {"turn": next(numbers)}

    texts = [(await calls.call_tool("look", {"q": "x"}, tool, CONTEXT)).text for _ in range(2)]
    assert texts == ['{"q":"x","turn":0}', '{"q":"x","turn":1}']
    rows = calls.books.calls(tenant="t")
    assert [(row.kind, row.model, row.cost, row.memo) for row in rows] == [("tool", "look", NOTHING, "off")] * 2


async def test_a_pure_tool_is_called_once() -> None:
    numbers = itertools.count()
    calls = memory_calls()

    async def tool() -> str:
        return f"turn {next(numbers)}"

    results = [await calls.call_tool("look", {}, tool, CONTEXT, pure=True) for _ in range(2)]
    assert [(result.text, result.memo) for result in results] == [("turn 0", "miss"), ("turn 0", "hit")]


async def test_a_tool_that_raises_is_in_the_books() -> None:
    calls = memory_calls()

    def tool() -> str:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await calls.call_tool("look", {}, tool, CONTEXT, pure=True)
    (row,) = calls.books.calls(tenant="t")
    assert (row.outcome, row.error_code) == ("failed", "raised_ValueError")


async def test_calls_of_tools_are_part_of_an_answer() -> None:
    call = ToolCall(id="1", name="look", arguments={"q": 1}, raw='{"q": 1}')
    provider = ScriptedProvider([answer("", finish="tool", calls=(call,))])
    calls = memory_calls(provider)
    results = [await calls.complete(request(), CONTEXT) for _ in range(2)]
    assert [result.answer.calls for result in results] == [(call,)] * 2
    assert len(provider.requests) == 1


def test_code_that_is_not_asynchronous_calls_too() -> None:
    calls = memory_calls(ScriptedProvider([answer()]), embeddings={"scripted": Vectors()})
    events = list(calls.stream_sync(request(), CONTEXT))
    assert isinstance(events[-1], Answer)
    assert calls.complete_sync(request(), CONTEXT).memo == "hit"
    asked = EmbedRequest(provider="scripted", model="m", texts=("a",))
    assert calls.embed_sync(asked, CONTEXT).embeddings.vectors == ((1.0, 0.5),)


def test_an_iterator_that_is_closed_early_gives_up_the_call() -> None:
    calls = memory_calls(Broken())
    events = calls.stream_sync(request(), CONTEXT)
    assert next(events) == TextDelta(text="half of ")
    events.close()  # type: ignore[attr-defined]  # it is a generator
    (row,) = calls.books.calls(tenant="t")
    assert row.outcome == "cancelled"
