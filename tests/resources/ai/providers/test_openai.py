from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resources.ai.providers.openai import COMPATIBLE, OPENAI, OpenAIProvider
from tests.contracts.chat_provider import WireContract
from tests.fixtures.vendors import OpenAIChat, OpenAIResponses

if TYPE_CHECKING:
    from resources.ai.provider import RateLimits
    from resources.ai.providers.options import ProviderOptions


class TestChatCompletions(WireContract):
    dialect = OpenAIChat()

    def build(self, options: ProviderOptions, limits: list[RateLimits]) -> OpenAIProvider:
        return OpenAIProvider(options, name="openai", dialect=OPENAI, on_limits=limits.append)


class TestCompatibleServer(WireContract):
    dialect = OpenAIChat()

    def build(self, options: ProviderOptions, limits: list[RateLimits]) -> OpenAIProvider:
        return OpenAIProvider(options, name="vllm", dialect=COMPATIBLE, on_limits=limits.append)


class TestResponses(WireContract):
    dialect = OpenAIResponses()

    def options(self, address: str, **more: Any) -> ProviderOptions:
        return super().options(address, api="responses", **more)

    def build(self, options: ProviderOptions, limits: list[RateLimits]) -> OpenAIProvider:
        return OpenAIProvider(options, name="openai", dialect=OPENAI, on_limits=limits.append)
