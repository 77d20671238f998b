"""Conversations: what is remembered, how much of it, and that a repeated run remembers the same."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from resources.agents.sessions import Sessions
from resources.agents.spec import AgentTask, MemorySpec
from resources.events.catalog import AgentTurnRemembered
from resources.events.postgres import PostgresEventStore
from tests.resources.agents.parts import RUN, Stage, asks, occasion, spec, tool
from tests.resources.ai.calls.parts import answer, postgres_calls

if TYPE_CHECKING:
    from resources.database.postgres import Database


@pytest.fixture
def stage(database: Database) -> Stage:
    return Stage(PostgresEventStore(database), lambda model: postgres_calls(database, model))


def says(prompt: str) -> AgentTask:
    return AgentTask(prompt=prompt, session="ann.1")


async def test_an_agent_remembers_what_was_said_before(stage: Stage, tenant: str) -> None:
    await stage.says(answer("Hello Ann.")).run(spec(), says("I am Ann."), [], occasion(tenant=tenant))
    await stage.says(answer("Ann.")).run(spec(), says("Who am I?"), [], occasion(tenant=tenant))
    heard = [(message.role, message.text) for message in stage.model.requests[0].messages]
    assert heard == [("user", "I am Ann."), ("assistant", "Hello Ann."), ("user", "Who am I?")]


async def test_sessions_and_tenants_do_not_hear_of_each_other(stage: Stage, tenant: str) -> None:
    await stage.says(answer("Hello.")).run(spec(), says("I am Ann."), [], occasion(tenant=tenant))
    await stage.says(answer("?")).run(spec(), says("Who?"), [], occasion(tenant=f"{tenant}-2"))
    assert len(stage.model.requests[0].messages) == 1
    other = AgentTask(prompt="Who?", session="bob")
    await stage.says(answer("?")).run(spec(goal="x"), other, [], occasion(tenant=tenant))
    assert [message.role for message in stage.model.requests[0].messages] == ["system", "user"]


async def test_a_run_that_is_executed_again_remembers_what_it_did_the_first_time(stage: Stage, tenant: str) -> None:
    once = await stage.says(answer("Hello.")).run(spec(), says("Hi."), [], occasion(RUN, tenant=tenant))
    await stage.says(answer("More.")).run(spec(), says("And?"), [], occasion(tenant=tenant))
    again = await stage.says().run(spec(), says("Hi."), [], occasion(RUN, tenant=tenant))
    assert again.answer == once.answer
    assert Sessions(stage.events).version("ann.1", tenant=tenant) == 2


def remember(stage: Stage, tenant: str, number: int, *, size: int) -> None:
    turn = AgentTurnRemembered(
        agent_run_id="r",
        agent="clerk",
        session="long",
        task=f"Question {number} about invoices?",
        answer=f"Answer {number} on invoices. " + "Words. " * (size // 7),
    )
    Sessions(stage.events).remember(turn, run=uuid.uuid4(), tenant=tenant)


async def test_a_long_conversation_is_cut_to_size_and_its_beginning_summed_up(stage: Stage, tenant: str) -> None:
    for number in range(20):
        remember(stage, tenant, number, size=400)
    sessions = Sessions(stage.events)
    found = sessions.recall("long", up_to=20, tokens=500, tenant=tenant)
    assert found == sessions.recall("long", up_to=20, tokens=500, tenant=tenant)
    texts = [message.text for message in found.messages]
    assert sum(map(len, texts)) < 500 * 4 * 1.5
    assert texts[0].startswith("What was said before")
    assert "<data id=" in texts[0]
    assert texts[-1].startswith("Answer 19")
    assert not any(text.startswith("Answer 3 ") for text in texts[2:])


async def test_what_was_read_before_still_counts_as_text_of_others(stage: Stage, tenant: str) -> None:
    sent: list[str] = []
    send = tool("send", run=lambda q="": sent.append(q), effects=True)
    who = spec("look", "send", memory=MemorySpec(tokens=200))
    await stage.says(asks("look"), answer("read")).run(who, says("Read."), [tool(), send], occasion(tenant=tenant))
    result = await stage.says(asks("send", q="x"), answer("no")).run(
        who, says("Send."), [tool(), send], occasion(tenant=tenant)
    )
    assert (sent, result.tools[0].outcome) == ([], "refused")
