from __future__ import annotations

from typing import TYPE_CHECKING

from resources.ai.providers.anthropic import AnthropicProvider
from tests.contracts.chat_provider import WireContract
from tests.fixtures.vendors import AnthropicMessages

if TYPE_CHECKING:
    from resources.ai.provider import RateLimits
    from resources.ai.providers.options import ProviderOptions


class TestMessages(WireContract):
    dialect = AnthropicMessages()

    def build(self, options: ProviderOptions, limits: list[RateLimits]) -> AnthropicProvider:
        return AnthropicProvider(options, name="anthropic", on_limits=limits.append)
