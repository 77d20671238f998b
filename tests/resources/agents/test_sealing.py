"""What agents keep is encrypted where the memo is, and the spans around them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from resources.agents.errors import AgentLimitError
from resources.agents.sessions import Sessions
from resources.agents.spec import AgentLimits, AgentTask
from resources.ai.memo.cipher import MemoCipher
from resources.errors import UpstreamError
from tests.resources.agents.parts import RUN, TENANT, Stage, asks, occasion, spec, tool
from tests.resources.ai.calls.parts import answer, memory_calls

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from resources.events.store import EventStore

CIPHER = MemoCipher("the secret of the memo")
TASK = AgentTask(prompt="What is the password?", session="s")


def sealed(cipher: MemoCipher, events: EventStore | None = None) -> Stage:
    return Stage(events, lambda model: memory_calls(model, cipher=cipher))


async def test_where_the_memo_is_encrypted_journal_and_conversation_are_and_can_be_read_again() -> None:
    stage = sealed(CIPHER)
    agents = stage.says(asks("look", q="password"), answer("the password is tea"))
    result = await agents.run(spec("look"), TASK, [tool()], occasion(RUN))
    kept = [event for event in stage.events.read_all(tenant=TENANT) if event.type.startswith("agent.")]
    assert {event.type for event in kept} >= {"agent.answered", "agent.tool_used", "agent.turn_remembered"}
    assert not any("password" in str(event.data) for event in kept)
    again = await agents.run(spec("look"), TASK, [tool()], occasion(RUN))
    assert (again.answer, again.resumed) == (result.answer, 2)
    remembered = Sessions(stage.events, CIPHER).recall("s", up_to=1, tokens=100, tenant=TENANT)
    assert remembered.messages[1].text == "the password is tea"


async def test_without_its_secret_a_journal_is_not_read() -> None:
    stage = sealed(CIPHER)
    await stage.says(answer("tea")).run(spec(), TASK, [], occasion(RUN))
    other = sealed(MemoCipher("another secret here"), stage.events)
    with pytest.raises(UpstreamError, match="cannot be decrypted"):
        await other.says(answer("tea")).run(spec(), TASK, [], occasion(RUN))


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return exporter


def named(spans: InMemorySpanExporter, name: str) -> ReadableSpan:
    (found,) = [span for span in spans.get_finished_spans() if span.name == name]
    return found


async def test_an_agent_is_a_span_around_those_of_its_calls(spans: InMemorySpanExporter) -> None:
    agents = Stage().says(asks("look"), answer("done"))
    await agents.run(spec("look"), TASK, [tool()], occasion())
    outer = named(spans, "invoke_agent clerk")
    facts = dict(outer.attributes or {})
    assert (facts["gen_ai.operation.name"], facts["gen_ai.agent.name"]) == ("invoke_agent", "clerk")
    assert (facts["gen_ai.conversation.id"], facts["app.tenant"]) == ("s", TENANT)
    assert (facts["gen_ai.usage.input_tokens"], facts["gen_ai.usage.output_tokens"]) == (20, 10)
    inner = [span for span in spans.get_finished_spans() if span is not outer]
    assert sorted(span.name for span in inner) == ["chat m", "chat m", "execute_tool look"]
    assert outer.context is not None
    assert {span.parent.span_id for span in inner if span.parent} == {outer.context.span_id}


async def test_an_agent_that_is_stopped_says_why_in_its_span(spans: InMemorySpanExporter) -> None:
    agents = Stage().says(asks("look"), asks("look"))
    with pytest.raises(AgentLimitError):
        await agents.run(spec("look", limits=AgentLimits(steps=1)), TASK, [tool()], occasion())
    found = named(spans, "invoke_agent clerk")
    assert dict(found.attributes or {})["error.type"] == "agent_limit"
    assert found.status.status_code.name == "ERROR"
