from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Any

import pytest

from resources.ai.model import (
    Answer,
    EmbedRequest,
    TextDelta,
    ToolCall,
)
from resources.ai.providers.scripted import ScriptedProvider
from tests.resources.ai.calls.parts import (
    CONTEXT,
    DOWN,
    NOTHING,
    Broken,
    Vectors,
    answer,
    memory_calls,
    request,
)


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
