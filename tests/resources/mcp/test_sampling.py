"""Servers that ask while they are called: for a model's answer, and for folders."""

from __future__ import annotations

import json
import sys
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from resources.ai.budgets.memory import MemoryBudgets
from resources.ai.budgets.model import Budget
from resources.ai.call import CallOptions
from resources.ai.directory import ProviderConfig, ProviderDirectory
from resources.ai.errand import Errand
from resources.ai.ledger.memory import MemoryCallBooks
from resources.ai.memo.memory import MemoryMemo
from resources.ai.model import CallContext
from resources.ai.pipeline import AiCalls
from resources.ai.prices.book import PriceBook
from resources.mcp.model import SamplingConfig, ServerConfig
from resources.mcp.sampling import shared
from resources.mcp.servers import McpServers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from resources.ai.ledger.model import CallRecord
    from resources.ai.memo.model import MemoMode

FAULTY = str(Path(__file__).with_name("faulty.py"))
QUESTION = {
    "messages": [
        {"role": "user", "content": {"type": "text", "text": "Water boils at 100 degrees. When does it boil?"}}
    ],
    "maxTokens": 5000,
}


def offline(budgets: MemoryBudgets | None = None) -> AiCalls:
    """Models by rule."""
    memo = MemoryMemo()
    books = MemoryCallBooks(budgets=budgets, memo=memo)
    providers = ProviderDirectory({"offline": ProviderConfig(kind="offline")})
    return AiCalls(providers=providers, books=books, memo=memo, prices=PriceBook())


class Asked:
    """A server that asks, called by a node of a workflow."""

    def __init__(self, *, era: str = "legacy", **config: Any) -> None:
        self.budgets = MemoryBudgets()
        self.ai = offline(self.budgets)
        given = {"transport": "stdio", "command": sys.executable, "args": (FAULTY, "stdio"), "era": era, **config}
        self.servers = McpServers([ServerConfig.model_validate({"name": "asking", **given})])

    async def __call__(self, method: str, params: Mapping[str, Any], **context: Any) -> Any:
        call = {"method": method, "params": dict(params)}
        caller = CallContext(tenant="t", **context)
        found = await self.servers.call(self.ai, "asking", "asks", call, context=caller, options=CallOptions())
        return json.loads(json.loads(found.text)["text"])

    def models(self) -> list[CallRecord]:
        return [call for call in self.ai.books.calls(tenant="t") if call.kind == "chat"]


@asynccontextmanager
async def asking(**config: Any) -> AsyncIterator[Asked]:
    asked = Asked(**config)
    try:
        yield asked
    finally:
        await asked.servers.pool("asking", tenant="t").close()
        await asked.ai.close()


async def test_a_model_answers_in_the_name_of_who_calls_and_once() -> None:
    async with asking(sampling=SamplingConfig(max_tokens=50)) as ask:
        first = await ask("sampling/createMessage", QUESTION, workflow="brew", node_id="boil", run_id="r1")
        assert "100 degrees" in first["content"]["text"]
        assert (first["role"], first["stopReason"], first["model"]) == ("assistant", "endTurn", "offline/extractive-v1")
        assert await ask("sampling/createMessage", QUESTION, workflow="cool", run_id="r2") == first
        again, paid = ask.models()
        assert (paid.context.workflow, paid.context.node_id, paid.context.run_id, paid.memo) == (
            "brew",
            "boil",
            "r1",
            "miss",
        )
        assert (again.context.workflow, again.context.node_id, again.memo) == ("cool", None, "hit")


async def test_a_budget_that_is_spent_is_told_to_the_server_by_its_code_alone() -> None:
    async with asking(sampling=SamplingConfig()) as ask:
        ask.budgets.put(Budget(scope="tenant", period="day", limit=Decimal(0), tenant="t", unit="requests"))
        refused = await ask("sampling/createMessage", QUESTION)
        assert refused == {"code": -1, "message": "No answer: budget_exceeded."}
        assert ask.models() == []


@pytest.mark.parametrize(
    ("method", "params"), [("sampling/createMessage", QUESTION), ("roots/list", {}), ("elicitation/create", {})]
)
async def test_what_is_not_configured_is_refused(method: str, params: dict[str, Any]) -> None:
    form = {"message": "Name?", "requestedSchema": {"type": "object", "properties": {}}}
    async with asking() as ask:
        refused = await ask(method, params or form if method.startswith("elicitation") else params)
        assert "not supported" in refused["message"]
        assert ask.models() == []


async def test_folders_are_told_to_who_asks() -> None:
    async with asking(roots=("file:///srv/tea",)) as ask:
        assert await ask("roots/list", {}) == {"roots": [{"uri": "file:///srv/tea"}]}


@pytest.mark.parametrize(
    "change",
    [
        {"tools": [{"name": "x", "inputSchema": {"type": "object"}}]},
        {"messages": [{"role": "user", "content": {"type": "audio", "data": "AAAA", "mimeType": "audio/wav"}}]},
        {"messages": []},
        {"maxTokens": 0},
    ],
    ids=["tools", "audio", "nothing", "no tokens"],
)
async def test_what_is_not_offered_is_said_so(change: dict[str, Any]) -> None:
    async with asking(sampling=SamplingConfig()) as ask:
        assert (await ask("sampling/createMessage", QUESTION | change))["code"] == -32602
        assert ask.models() == []


def errand(memo: MemoMode = "read_through", **context: Any) -> Errand:
    ai: Any = None
    return Errand(ai, CallContext(tenant="t", **context), CallOptions(memo=memo))


def test_calls_that_cannot_be_told_apart_are_booked_on_what_they_share() -> None:
    context, options = shared([errand(workflow="w", node_id="a"), errand("record", workflow="w", node_id="b")])
    assert context == CallContext(tenant="t", workflow="w")
    assert options.memo == "off"
    assert shared([errand("replay_only"), errand()])[1].memo == "replay_only"


def test_a_model_has_to_be_named_where_there_are_several() -> None:
    with pytest.raises(ValueError, match="needs the `model`"):
        SamplingConfig(provider="openai")
