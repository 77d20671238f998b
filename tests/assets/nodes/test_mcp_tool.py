"""A tool of an MCP server as a node of a workflow, and as a tool of an agent."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import pytest

import tests.resources.mcp
from resources.agents.tools.mcp import McpToolSets
from resources.agents.tools.port import ToolUse
from resources.agents.tools.sets import tools_of
from resources.ai import bridge
from resources.ai.call import CallOptions
from resources.ai.directory import ProviderDirectory
from resources.ai.errand import Errand, on_errand
from resources.ai.ledger.memory import MemoryCallBooks
from resources.ai.memo.memory import MemoryMemo
from resources.ai.model import CallContext
from resources.ai.pipeline import AiCalls
from resources.ai.prices.book import PriceBook
from resources.errors import InvalidInputError, NotFoundError, UnavailableError, UpstreamError
from resources.mcp.model import SamplingConfig, ServerConfig
from resources.mcp.servers import McpServers
from tests.fixtures.nodes import Bench
from tests.resources.mcp.test_sampling import QUESTION, offline

if TYPE_CHECKING:
    from collections.abc import Iterator

FAULTY = str(Path(next(iter(tests.resources.mcp.__path__))) / "faulty.py")


@pytest.fixture(scope="module")
def servers() -> Iterator[McpServers]:
    config = ServerConfig(
        name="faulty",
        transport="stdio",
        command=sys.executable,
        args=(FAULTY, "stdio"),
        era="legacy",
        pure=("twice",),
        sampling=SamplingConfig(),
    )
    found = McpServers([config])
    yield found
    found.close()


@pytest.fixture
def bench(servers: McpServers) -> Bench:
    memo = MemoryMemo()
    ai = AiCalls(providers=ProviderDirectory({}), books=MemoryCallBooks(memo=memo), memo=memo, prices=PriceBook())
    return Bench(resources={"mcp": servers, "ai": ai})


def test_a_tool_is_called_and_stands_in_the_books(bench: Bench) -> None:
    found = bench.run("mcp_tool", server="faulty", tool="fine", arguments={"n": 1})
    assert found["text"].startswith("fine")
    assert found["structured"] is None
    assert found["content"] == [{"type": "text", "text": found["text"]}]
    (call,) = bench.resources["ai"].books.calls(tenant=bench.tenant)
    assert (call.kind, call.provider, call.model, call.outcome) == ("tool", "tools/faulty", "fine", "answered")


def test_what_is_pure_is_called_once(bench: Bench, tmp_path: Path) -> None:
    note = tmp_path / "calls"
    servers, ai = bench.resources["mcp"], bench.resources["ai"]

    def call() -> str:
        given = {"context": CallContext(tenant=bench.tenant), "options": CallOptions()}
        return str(bridge.run(servers.call(ai, "faulty", "twice", {"note": str(note)}, **given)).text)

    assert call() == call()
    assert note.read_text().split() == ["twice"]


def test_arguments_that_the_tool_does_not_take_are_refused_unsent(bench: Bench) -> None:
    with pytest.raises(InvalidInputError, match="'name' is a required property"):
        bench.run("mcp_tool", server="faulty", tool="wants_name")


def test_failures_say_what_failed(bench: Bench) -> None:
    with pytest.raises(UpstreamError, match="the shelf is empty"):
        bench.run("mcp_tool", server="faulty", tool="failing")
    with pytest.raises(NotFoundError, match="no tool 'nothing'"):
        bench.run("mcp_tool", server="faulty", tool="nothing")
    with pytest.raises(NotFoundError, match="no MCP server 'other'"):
        bench.run("mcp_tool", server="other", tool="fine")


def test_an_agent_is_given_the_tools_of_a_server(servers: McpServers) -> None:
    sets = McpToolSets(lambda: servers)
    tools = {tool.name: tool for tool in tools_of(sets, "faulty", tenant="t")}
    fine = tools["faulty_fine"]
    assert (fine.effects, tools["faulty_half"].effects) == (False, True)
    use = ToolUse(tenant="t", agent="clerk", key="k", cancel=Event())
    assert fine.run({}, use).startswith("fine")
    with pytest.raises(UnavailableError, match="no MCP server has that name"):
        sets.find("other", tenant="t")


def test_what_a_server_asks_of_models_counts_on_the_agents_limits(servers: McpServers) -> None:
    tools = {tool.name: tool for tool in tools_of(McpToolSets(lambda: servers), "faulty", tenant="t")}
    use = ToolUse(tenant="t", agent="clerk", key="k")
    with on_errand(Errand(offline(), CallContext(tenant="t"), CallOptions())) as errand:
        tools["faulty_asks"].run({"method": "sampling/createMessage", "params": QUESTION}, use)
    assert use.spent.tokens == errand.tokens > 0
