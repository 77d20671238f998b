from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

from resources.ai.providers.bedrock import BedrockProvider
from tests.contracts.chat_provider import WireContract, events_of
from tests.fixtures.vendors import BedrockConverse

if TYPE_CHECKING:
    from resources.ai.provider import RateLimits
    from resources.ai.providers.options import ProviderOptions
    from tests.fixtures.wire import WireServer


class TestConverse(WireContract):
    dialect = BedrockConverse()

    def options(self, address: str, **more: Any) -> ProviderOptions:
        return super().options(address, region="eu-central-1", access_key_id="AKIAEXAMPLE", **more)

    def build(self, options: ProviderOptions, limits: list[RateLimits]) -> BedrockProvider:
        return BedrockProvider(options, name="bedrock", on_limits=limits.append)

    async def test_a_call_that_is_given_up_leaves_no_thread_behind(
        self, provider: BedrockProvider, wire: WireServer
    ) -> None:
        wire.reply(self.dialect.text("a", "b").cut(2, "stall"))
        call = asyncio.create_task(events_of(provider, self.question()))
        while not wire.requests:  # noqa: ASYNC110  # another thread's list
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        end = time.monotonic() + 5
        call.cancel()
        await asyncio.wait([call])
        await provider.close()
        while mine := [thread for thread in threading.enumerate() if thread.name.startswith("aiw-bedrock")]:
            assert time.monotonic() < end, mine
            await asyncio.sleep(0.01)
        assert time.monotonic() < end, "giving up took as long as the silence"
