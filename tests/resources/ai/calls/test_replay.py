"""Runs that were recorded are replayed without a call, and come out the same to the byte."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import orjson

from resources.ai.budgets.model import Budget
from resources.ai.budgets.postgres import PostgresBudgets
from resources.ai.call import CallOptions
from resources.ai.model import CallContext, Message, ToolCall, ToolSpec
from resources.ai.providers.scripted import ScriptedProvider
from tests.resources.ai.calls.parts import answer, postgres_calls, request

if TYPE_CHECKING:
    from resources.ai.model import Answer, ChatRequest
    from resources.ai.pipeline import AiCalls
    from resources.database.postgres import Database

RUNS = 100
LOOK = ToolSpec(name="look", description="Look it up", parameters={"type": "object"})


def speaker(seed: int) -> ScriptedProvider:
    """Answers by chance: never the same twice. Its ids of calls are its own."""
    chance = random.Random(seed)

    def line(asked: ChatRequest) -> Answer:
        if asked.tools and asked.messages[-1].role == "user":
            raw = orjson.dumps({"q": chance.random()}).decode()
            call = ToolCall(id=f"id-{chance.random()}", name="look", arguments=orjson.loads(raw), raw=raw)
            return answer("", finish="tool", calls=(call,))
        return answer(f"{chance.random()} of ünïcode 🙂")

    return ScriptedProvider([line] * 1000)


async def run_once(calls: AiCalls, tenant: str, number: int, memo: str) -> bytes:
    """A small workflow: a model asks for a tool, hears what it says, and the end is summed up. Returns all that came out."""
    context, options = CallContext(tenant=tenant, run_id=f"{memo}-{number}"), CallOptions(memo=memo)  # type: ignore[arg-type]  # two literals
    asked = request(f"topic {number}", tools=(LOOK,))
    events = [event async for event in calls.stream(asked, context, options)]
    said = (await calls.complete(asked, context, options)).answer
    turns = [
        Message(role="assistant", calls=said.calls),
        *(Message(role="tool", call_id=call.id, text=f"seen {call.raw}") for call in said.calls),
    ]
    heard = asked.model_copy(update={"messages": (*asked.messages, *turns)})
    events += [event async for event in calls.stream(heard, context, options)]
    return orjson.dumps([event.model_dump(mode="json") for event in events])


async def test_a_hundred_recorded_runs_replay_without_a_call(database: Database, tenant: str) -> None:
    live, dead = speaker(1), ScriptedProvider()
    calls = postgres_calls(database, live)
    recorded = [await run_once(calls, tenant, number, "read_through") for number in range(RUNS)]
    assert len(live.requests) == 2 * RUNS
    assert len(set(recorded)) == RUNS
    PostgresBudgets(database).put(Budget("tenant", "total", 0 * RUNS, tenant=tenant))  # type: ignore[arg-type]  # a zero is a zero

    again = postgres_calls(database, dead)
    replayed = [await run_once(again, tenant, number, "replay_only") for number in range(RUNS)]
    assert replayed == recorded
    assert dead.requests == []
    totals = again.books.totals("run", tenant=tenant)
    assert sum(totals[f"replay_only-{number}"].cost for number in range(RUNS)) == 0
    await calls.close()
    await again.close()
