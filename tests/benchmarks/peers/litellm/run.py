"""LiteLLM beside the SDK alone: `acompletion`, whole. It keeps no books, no budget and no memo here; its prices are looked up."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[4]))
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it fetches prices when it is imported

import litellm
from openai import AsyncOpenAI

from tests.benchmarks.ai_load import serve

MODEL = "gpt-4o-mini"
SDK = AsyncOpenAI(base_url=sys.argv[1], api_key="sk-bench", max_retries=0)


async def bare(prompt: str) -> None:
    await SDK.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": prompt}])


async def peer(prompt: str) -> None:
    await litellm.acompletion(
        model=f"openai/{MODEL}",
        messages=[{"role": "user", "content": prompt}],
        api_base=sys.argv[1],
        api_key="sk-bench",
        num_retries=0,
    )


serve({"bare": bare, "peer": peer})
