from __future__ import annotations

import asyncio

import pytest

from resources.ai.call import CallOptions
from resources.ai.ledger.memory import MemoryCallBooks
from resources.ai.memo.cipher import MemoCipher
from resources.ai.memo.model import MemoMissError
from resources.ai.model import (
    Answer,
    CallContext,
    Usage,
)
from resources.ai.provider import (
    ProviderRefusedError,
    StreamTruncatedError,
)
from resources.ai.providers.scripted import ScriptedProvider
from resources.errors import UpstreamError
from tests.resources.ai.calls.parts import (
    CONTEXT,
    NOTHING,
    PRICE,
    REFUSED,
    answer,
    memory_calls,
    request,
)


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
