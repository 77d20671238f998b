"""pydantic-ai beside the SDK alone: one turn of an agent, whole. It keeps no books, no budget and no memo."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[4]))

from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.benchmarks.ai_load import serve

MODEL = "gpt-4o-mini"
SDK = AsyncOpenAI(base_url=sys.argv[1], api_key="sk-bench", max_retries=0)
AGENT = Agent(OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=SDK)))


async def bare(prompt: str) -> None:
    await SDK.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": prompt}])


async def peer(prompt: str) -> None:
    await AGENT.run(prompt)


serve({"bare": bare, "peer": peer})
