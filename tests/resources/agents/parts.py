"""What the tests of agents are made of: a scripted model, tools, and an occasion."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import orjson

from resources.agents.loop import Agents, Occasion
from resources.agents.spec import AgentSpec
from resources.agents.tools.port import Tool
from resources.ai.call import CallOptions
from resources.ai.model import CallContext, ToolCall, ToolSpec
from resources.ai.providers.scripted import ScriptedProvider
from resources.events.memory import MemoryEventStore
from resources.prompts.bundled import bundled_prompts
from resources.prompts.engine import PromptEngine
from resources.prompts.library import PromptLibrary
from tests.resources.ai.calls.parts import answer, memory_calls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from resources.ai.model import Answer
    from resources.ai.pipeline import AiCalls
    from resources.ai.providers.scripted import Line
    from resources.events.store import EventStore

TENANT = "default"
RUN = uuid.UUID("6f0a5cf0-0000-4000-8000-000000000001")


def asks(name: str, **arguments: Any) -> Answer:
    """The model asks for one tool."""
    return asks_all((name, arguments))


def asks_all(*wanted: tuple[str, Mapping[str, Any]]) -> Answer:
    """The model asks for tools at once."""
    calls = tuple(
        ToolCall(id=f"c{number}", name=name, arguments=dict(arguments), raw=orjson.dumps(arguments).decode())
        for number, (name, arguments) in enumerate(wanted)
    )
    return answer("", finish="tool", calls=calls)


def spec(*tools: str, **fields: Any) -> AgentSpec:
    return AgentSpec(name="clerk", provider="scripted", model="m", tools=tools, max_output_tokens=10, **fields)


def tool(name: str = "look", run: Callable[..., Any] = lambda q="": f"seen {q}", **options: Any) -> Tool:
    """A tool with one optional text as argument."""
    parameters = {"type": "object", "properties": {"q": {"type": "string"}}, "additionalProperties": False}
    return Tool(ToolSpec(name=name, description=name, parameters=parameters), lambda given, _: run(**given), **options)


def occasion(
    run: uuid.UUID | None = None, *, tenant: str = TENANT, tell: Callable[..., None] = lambda _: None, **options: Any
) -> Occasion:
    return Occasion(
        run or uuid.uuid4(), CallContext(tenant=tenant, run_id="r1", node_id="n1"), CallOptions(**options), tell
    )


class Stage:
    """Agents with a scripted model. A later `says` is of another process: only the stores are the same."""

    def __init__(
        self, events: EventStore | None = None, calls: Callable[[ScriptedProvider], AiCalls] | None = None
    ) -> None:
        self.events: EventStore = events or MemoryEventStore()
        self.prompts = PromptLibrary(self.events, PromptEngine(), bundled=bundled_prompts())
        self._calls = calls or memory_calls
        self.model = ScriptedProvider()

    def says(self, *lines: Line) -> Agents:
        self.model = ScriptedProvider(lines)
        return Agents(self._calls(self.model), self.prompts, self.events)
