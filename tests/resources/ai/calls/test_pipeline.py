from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from resources.ai.budgets.model import Budget, BudgetExceededError
from resources.ai.call import CallOptions
from resources.ai.ledger.memory import MemoryCallBooks
from resources.ai.model import (
    Answer,
    Restart,
    Usage,
)
from resources.ai.providers.scripted import ScriptedProvider
from resources.ai.structured import AnswerInvalidError
from resources.events.memory import MemoryEventStore
from tests.resources.ai.calls.parts import (
    CONTEXT,
    PRICE,
    SHAPE,
    answer,
    memory_calls,
    request,
)

if TYPE_CHECKING:
    from resources.ai.model import ChatRequest


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
