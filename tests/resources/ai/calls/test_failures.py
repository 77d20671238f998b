from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from resources.ai.budgets.model import Budget, BudgetExceededError
from resources.ai.call import CallOptions, Target
from resources.ai.ledger.memory import MemoryCallBooks
from resources.ai.model import (
    Answer,
    ReasoningDelta,
    Restart,
    TextDelta,
)
from resources.ai.provider import (
    ProviderRefusedError,
    ProviderUnavailableError,
    RateLimitedError,
    StreamTruncatedError,
)
from resources.ai.providers.scripted import ScriptedProvider
from resources.errors import InvalidInputError
from tests.resources.ai.calls.parts import (
    BUSY,
    CONTEXT,
    DOWN,
    NOTHING,
    PRICE,
    REFUSED,
    TIMEOUT,
    Broken,
    answer,
    memory_calls,
    request,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from resources.ai.model import ChatRequest, StreamEvent


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


async def test_a_vendor_that_does_not_answer_is_left_alone_and_the_next_one_asked_at_once() -> None:
    down, other = ScriptedProvider([DOWN] * 9), ScriptedProvider([answer("here")] * 3, name="other")
    calls = memory_calls(chat={"scripted": down, "other": other})
    options = CallOptions(fallback=(Target("other", "m"),))
    for number in range(3):
        assert (await calls.complete(request(f"call {number}"), CONTEXT, options)).answer.text == "here"
    assert (len(down.requests), len(other.requests)) == (5, 3)
    refused = [row for row in calls.books.calls(tenant="t") if row.error_code == "circuit_open"]
    assert [row.cost for row in refused] == [NOTHING, NOTHING]


async def test_a_vendor_that_says_no_is_asked_again() -> None:
    provider = ScriptedProvider([*[REFUSED] * 6, answer()])
    calls = memory_calls(provider)
    for _ in range(6):
        with pytest.raises(ProviderRefusedError):
            await calls.complete(request(), CONTEXT)
    assert (await calls.complete(request(), CONTEXT)).answer.text == "hello world"


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
