from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from resources.ai.model import ChatRequest, Message, OutputSchema
from resources.ai.provider import StreamTruncatedError
from resources.ai.providers.openai import AZURE, COMPATIBLE, GEMINI, OPENAI, OpenAIProvider
from resources.ai.providers.options import ProviderOptions
from tests.contracts.chat_provider import WireContract
from tests.fixtures.vendors import OpenAIChat, OpenAIResponses, events, sse

if TYPE_CHECKING:
    from resources.ai.provider import RateLimits
    from tests.fixtures.wire import WireServer


class TestChatCompletions(WireContract):
    dialect = OpenAIChat()

    def build(self, options: ProviderOptions, limits: list[RateLimits]) -> OpenAIProvider:
        return OpenAIProvider(options, name="openai", dialect=OPENAI, on_limits=limits.append)


class TestCompatibleServer(WireContract):
    dialect = OpenAIChat()

    def build(self, options: ProviderOptions, limits: list[RateLimits]) -> OpenAIProvider:
        return OpenAIProvider(options, name="vllm", dialect=COMPATIBLE, on_limits=limits.append)


class TestDatedAzure(WireContract):
    """The vendor's other client, with deployments in the path."""

    dialect = OpenAIChat()

    def options(self, address: str, **more: Any) -> ProviderOptions:
        return super().options(address, api_version="2026-02-01", **more)

    def build(self, options: ProviderOptions, limits: list[RateLimits]) -> OpenAIProvider:
        return OpenAIProvider(options, name="azure", dialect=AZURE, on_limits=limits.append)


class TestGemini(WireContract):
    dialect = OpenAIChat()

    def build(self, options: ProviderOptions, limits: list[RateLimits]) -> OpenAIProvider:
        return OpenAIProvider(options, name="gemini", dialect=GEMINI, on_limits=limits.append)


async def test_gemini_is_told_in_words_how_long_a_list_may_be(wire: WireServer) -> None:
    dialect = OpenAIChat()
    wire.reply(dialect.structured("tags", '{"tags": []}'))
    provider = OpenAIProvider(
        ProviderOptions(base_url=wire.url, api_key=SecretStr("sk-1234567"), egress=None), name="gemini", dialect=GEMINI
    )
    tags = {"type": "array", "maxItems": 9, "items": {"type": "string"}}
    schema = {"type": "object", "properties": {"tags": tags}, "required": ["tags"]}
    asked = ChatRequest(
        provider="gemini",
        model="gemini-3",
        messages=(Message(role="user", text="Tags?"),),
        output=OutputSchema(name="tags", json_schema=schema),
    )
    _ = [event async for event in provider.stream(asked)]
    await provider.close()
    sent = dialect.schema(wire.requests[0].body)["properties"]["tags"]
    assert sent == {"type": "array", "items": {"type": "string"}, "description": "maxItems: 9"}


class TestResponses(WireContract):
    dialect = OpenAIResponses()

    def options(self, address: str, **more: Any) -> ProviderOptions:
        return super().options(address, api="responses", **more)

    def build(self, options: ProviderOptions, limits: list[RateLimits]) -> OpenAIProvider:
        return OpenAIProvider(options, name="openai", dialect=OPENAI, on_limits=limits.append)


@pytest.mark.parametrize(
    "chunk",
    [
        "null",
        "[1]",
        '{"choices": 3}',
        '{"choices": ["x"]}',
        '{"choices": [{"index": 0, "delta": "x"}]}',
        '{"choices": [{"index": 0, "delta": {"content": {"a": 1}}}]}',
        '{"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": "f"}]}}]}',
        '{"choices": [], "usage": {"prompt_tokens": -1}}',
    ],
)
async def test_json_of_another_shape_is_no_answer(wire: WireServer, chunk: str) -> None:
    dialect = OpenAIChat()
    first = dialect.text("a", "b").chunks[:2]
    wire.reply(events(*first, sse(chunk)))
    options = ProviderOptions(base_url=wire.url, api_key=SecretStr("sk-1234567"), egress=None)
    provider = OpenAIProvider(options, name="openai")
    asked = ChatRequest(provider="openai", model="gpt-4o", messages=(Message(role="user", text="Hello?"),))
    with pytest.raises(StreamTruncatedError):
        _ = [event async for event in provider.stream(asked)]
    await provider.close()
