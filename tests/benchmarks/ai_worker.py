"""Our side of the benchmark of calls: the vendor's SDK alone, our adapter alone, and the whole pipeline.

python -m tests.benchmarks.ai_worker DATABASE_URL SERVER_URL
"""

from __future__ import annotations

import sys
import time
from decimal import Decimal

from openai import AsyncOpenAI
from pydantic import SecretStr

from resources.ai.budgets.model import Budget
from resources.ai.budgets.postgres import PostgresBudgets
from resources.ai.build import AiOptions, build_ai
from resources.ai.directory import ProviderConfig
from resources.ai.model import CallContext, ChatRequest, Message, TextDelta
from resources.ai.providers import build_provider
from resources.ai.providers.options import ProviderOptions
from resources.database.postgres import Database
from resources.telemetry.logging import configure_logging
from tests.benchmarks.ai_load import serve

MODEL = "gpt-4o-mini"
CONTEXT = CallContext(
    tenant="bench", run_id="run", workflow="bench", node_id="ask", asset="answers", partition="1", user="bench"
)


class Ours:
    def __init__(self, database_url: str, server_url: str) -> None:
        options = ProviderOptions(base_url=server_url, api_key=SecretStr("sk-bench"), egress=None)
        database = Database(database_url, pool_size=8)
        budgets = PostgresBudgets(database)
        budgets.put(Budget("global", "month", Decimal(1000)))
        budgets.put(Budget("tenant", "day", Decimal(1000), tenant=CONTEXT.tenant))
        budgets.put(Budget("run", "total", Decimal(1000), tenant=CONTEXT.tenant))
        self.sdk = AsyncOpenAI(base_url=server_url, api_key="sk-bench", max_retries=0)
        self.adapter = build_provider("openai", options)
        configured = {"openai": ProviderConfig(kind="openai", options=options)}
        self.calls = build_ai(database, AiOptions(providers=configured))

    async def bare(self, prompt: str) -> float | None:
        first = None
        stream = await self.sdk.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": prompt}],
            max_completion_tokens=100,
            stream=True,
            stream_options={"include_usage": True},
        )
        async for chunk in stream:
            if first is None and chunk.choices and chunk.choices[0].delta.content:
                first = time.perf_counter()
        return first

    async def adapted(self, prompt: str) -> float | None:
        first = None
        async for event in self.adapter.stream(asked(prompt)):
            if first is None and isinstance(event, TextDelta):
                first = time.perf_counter()
        return first

    async def whole(self, prompt: str) -> float | None:
        first = None
        async with self.calls.stream(asked(prompt), CONTEXT) as events:
            async for event in events:
                if first is None and isinstance(event, TextDelta):
                    first = time.perf_counter()
        return first


def asked(prompt: str) -> ChatRequest:
    return ChatRequest(
        provider="openai", model=MODEL, messages=(Message(role="user", text=prompt),), max_output_tokens=100
    )


if __name__ == "__main__":
    configure_logging(level="error")
    ours = Ours(*sys.argv[1:])
    serve({"bare": ours.bare, "adapter": ours.adapted, "pipeline": ours.whole})
