from __future__ import annotations

import pytest

from resources.ai.model import Answer, ToolCall
from resources.ai.provider import ProviderRefusedError, StreamTruncatedError
from resources.ai.providers.scripted import Line, ScriptedProvider
from tests.contracts.chat_provider import ChatProviderContract, answer_of

SAID = Answer(text="The meeting  decided\nto ship. ", finish="stop", usage=None, provider="scripted", model="m")


class TestScripted(ChatProviderContract):
    model = "m"

    @pytest.fixture
    def provider(self) -> ScriptedProvider:
        return ScriptedProvider([SAID])

    async def test_lines_are_said_in_order_and_journalled(self) -> None:
        call = ToolCall(id="c", name="t", arguments={}, raw="{}")
        lines: list[Line] = [
            SAID,
            lambda request: SAID.model_copy(update={"text": request.messages[-1].text, "calls": (call,)}),
        ]
        provider = ScriptedProvider(lines)
        await answer_of(provider, self.question("first"))
        second = await answer_of(provider, self.question("second"))
        assert (second.text, second.calls) == ("second", (call,))
        assert [request.messages[-1].text for request in provider.requests] == ["first", "second"]

    async def test_an_answer_is_labelled_as_simulated(self, provider: ScriptedProvider) -> None:
        assert (await answer_of(provider, self.question())).simulated

    async def test_an_error_is_raised(self) -> None:
        provider = ScriptedProvider([StreamTruncatedError("cut", dependency="scripted")])
        with pytest.raises(StreamTruncatedError):
            await answer_of(provider, self.question())

    async def test_a_script_ends(self, provider: ScriptedProvider) -> None:
        await answer_of(provider, self.question())
        with pytest.raises(ProviderRefusedError) as caught:
            await answer_of(provider, self.question())
        assert caught.value.code == "script_exhausted"
