"""What the adapters send is what is on the cassettes: recorded against the tests' own servers, as `recording.py` says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from resources.ai.model import Embeddings, Message
from resources.ai.provider import ProviderUnavailableError
from tests.fixtures.vendors import INPUT, OUTPUT
from tests.resources.ai.providers.recording import FOLDER, KEY, PLACE, TAPES, recorder

NO_ADDRESS = "http://no-server.invalid"


@pytest.mark.parametrize("name", sorted(TAPES))
async def test_an_adapter_sends_what_is_on_the_cassette_and_reads_the_answer(name: str) -> None:
    with recorder(FOLDER / f"{name}.yaml", record=False) as cassette:
        answer = await TAPES[name].play(NO_ADDRESS)
    assert cassette.all_played
    if isinstance(answer, Embeddings):
        assert answer.vectors == ((0.0, 0.5), (1.0, 0.5))
        return
    assert answer.text == ('{"mood": "good"}' if name.endswith("structured") else "It is tea.")
    assert answer.usage is not None
    assert (answer.usage.input, answer.usage.output, answer.finish) == (INPUT, OUTPUT, "stop")


@pytest.mark.parametrize("name", ["openai-structured", "responses-structured", "anthropic-structured"])
async def test_a_request_that_differs_is_not_on_the_cassette(name: str) -> None:
    tape = TAPES[name]
    other = replace(tape, asked={**tape.asked, "messages": (Message(role="user", text="How do you feel now?"),)})
    with recorder(FOLDER / f"{name}.yaml", record=False) as cassette:
        with pytest.raises(ProviderUnavailableError):
            await other.play(NO_ADDRESS)
        assert cassette.play_count == 0


def test_cassettes_hold_neither_keys_nor_machines() -> None:
    paths = sorted(FOLDER.glob("*.yaml"))
    assert [path.stem for path in paths] == sorted(TAPES)
    for path in paths:
        text = path.read_text().lower()
        assert f"uri: {PLACE}/" in text
        for word in (KEY, "sk-", "authorization", "api-key", "127.0.0.1", "localhost", "x-stainless", "user-agent"):
            assert word not in text, f"{word!r} in {path.name}"
