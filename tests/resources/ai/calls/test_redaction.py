from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.ai.call import CallOptions
from resources.ai.ledger.memory import MemoryCallBooks
from resources.ai.model import Answer, CallContext, Message, TextDelta, ToolCall, ToolCallDelta
from resources.ai.providers.scripted import ScriptedProvider
from resources.ai.redaction import Redactor, StreamRestorer
from resources.ai.structured import AnswerInvalidError
from resources.errors import InvalidInputError
from resources.events.memory import MemoryEventStore
from tests.resources.ai.calls.parts import SHAPE, answer, memory_calls, request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from resources.ai.model import ChatRequest, StreamEvent

PERSONAL = (
    "ann.lee@example.org",
    "o'neil+x@mail.example.co.uk",
    "+49 30 901820",
    "(555) 123-4567",
    "555-123-4567",
    "DE89 3704 0044 0532 0130 00",
    "GB82WEST12345698765432",
    "4111 1111 1111 1111",
    "5500-0000-0000-0004",
    "192.0.2.17",
    "2001:db8::8a2e:370:7334",
)
HARMLESS = (
    "version 1.2.3 of 2026-11-22 at 12:30:45",
    "4111 1111 1111 1112",
    "DE00 3704 9944 5532 9130 12",
    "999.999.999.999",
    "a@b and x::y",
    "order 12345, 20 of 300",
    "[[not one]] [EMAIL-1]",
)


class Echo:
    """Says again what it was told, in pieces of some characters, and in the arguments of a tool."""

    name = "scripted"

    def __init__(self, size: int = 1) -> None:
        self.requests: list[ChatRequest] = []
        self._size = size

    async def stream(self, asked: ChatRequest) -> AsyncGenerator[StreamEvent]:
        self.requests.append(asked)
        text = asked.messages[-1].text
        for start in range(0, len(text), self._size):
            yield TextDelta(text=text[start : start + self._size])
        call = ToolCall(id="1", name="send", arguments={"to": [text]}, raw="{}")
        for start in range(0, len(text), self._size):
            yield ToolCallDelta(index=0, arguments=text[start : start + self._size])
        yield answer(text, finish="tool", calls=(call,))

    async def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("value", PERSONAL)
def test_personal_data_is_found(value: str) -> None:
    text = f"Tell {value}, please."
    redacted, placeholders = Redactor().redact(request(text))
    inner = value.partition("'")[2] or value  # an apostrophe ends what counts as the name of a mailbox
    assert inner not in redacted.messages[0].text
    assert placeholders.restore(redacted.messages[0].text) == text


@pytest.mark.parametrize("text", HARMLESS)
def test_other_text_is_left_alone(text: str) -> None:
    assert Redactor().redact(request(text))[0].messages[0].text == text


def test_the_same_value_has_the_same_placeholder() -> None:
    redacted, _ = Redactor().redact(request("a@x.org b@x.org a@x.org"))
    assert redacted.messages[0].text == "[[EMAIL-1]] [[EMAIL-2]] [[EMAIL-1]]"


def test_a_placeholder_that_somebody_wrote_is_not_taken() -> None:
    text = "[[EMAIL-1]] is not a@x.org"
    redacted, placeholders = Redactor().redact(request(text))
    assert redacted.messages[0].text == "[[EMAIL-1]] is not [[EMAIL-2]]"
    assert placeholders.restore(redacted.messages[0].text) == text


def test_patterns_can_be_added() -> None:
    redactor = Redactor(kinds=(), custom={"TICKET": r"\bT-\d+\b"})
    redacted, _ = redactor.redact(request("T-17 of a@x.org"))
    assert redacted.messages[0].text == "[[TICKET-1]] of a@x.org"
    with pytest.raises(InvalidInputError, match="not a regular expression"):
        Redactor(custom={"X": "("})
    with pytest.raises(InvalidInputError, match="capitals"):
        Redactor(custom={"x-1": "a"})


async def test_an_answer_of_the_wrong_shape_is_given_back_with_the_values() -> None:
    calls = memory_calls(ScriptedProvider([answer('{"mail": "[[EMAIL-1]]"}')]))
    asked = request("Write to ann.lee@example.org").model_copy(update={"output": SHAPE})
    with pytest.raises(AnswerInvalidError) as caught:
        await calls.complete(asked, CallContext(tenant="t"), CallOptions(redactor=Redactor(), repair=0))
    assert caught.value.answer is not None
    assert caught.value.answer.text == '{"mail": "ann.lee@example.org"}'


def test_arguments_of_former_calls_are_redacted_too() -> None:
    call = ToolCall(id="1", name="send", arguments={"to": ["a@x.org"], "n": 1}, raw='{"to": ["a@x.org"], "n": 1}')
    asked = request().model_copy(update={"messages": (Message(role="assistant", calls=(call,)),)})
    redacted, _ = Redactor().redact(asked)
    assert "a@x.org" not in redacted.canonical().decode()
    assert redacted.messages[0].calls[0].arguments == {"to": ["[[EMAIL-1]]"], "n": 1}


_words = st.sampled_from(PERSONAL) | st.text(alphabet="ab [](){}.:-_@1\n", max_size=12) | st.just("[[EMAIL-1]]")


@given(words=st.lists(_words, max_size=8), size=st.integers(1, 9))
async def test_the_provider_never_sees_it_and_the_caller_always_does(words: list[str], size: int) -> None:
    text = " , ".join(words)
    provider, books = Echo(size), MemoryCallBooks(events=MemoryEventStore())
    calls = memory_calls(provider, books=books)
    options = CallOptions(redactor=Redactor(), capture_content=True)
    shown, arguments, last = "", "", None
    async for event in calls.stream(request(text), CallContext(tenant="t"), options):
        match event:
            case TextDelta():
                shown += event.text
            case ToolCallDelta():
                arguments += event.arguments
            case Answer():
                last = event
    sent = provider.requests[0].messages[0].text
    assert not re.search(r"ann\.lee@|901820|4111 1111|192\.0\.2\.17|DE89 3704", sent)
    assert shown == arguments == text
    assert last is not None
    assert (last.text, last.calls[0].arguments) == (text, {"to": [text]})
    (kept,) = books.memo.newest(tenant="t", kind="chat")
    assert not re.search(rb"ann\.lee@|4111 1111", kept.payload)


def test_what_might_be_the_beginning_of_a_placeholder_is_shown_at_the_end() -> None:
    _, placeholders = Redactor().redact(request("a@x.org"))
    restorer = StreamRestorer(placeholders)
    assert list(restorer.feed(TextDelta(text="see [[EMA"))) == [TextDelta(text="see ")]
    rest = restorer.feed(answer("see [[EMA"))
    assert rest[0] == TextDelta(text="[[EMA")


def test_values_are_escaped_within_json() -> None:
    redacted, placeholders = Redactor(kinds=(), custom={"NAME": r'Ann "A\w+" Lee'}).redact(request('Ann "Al" Lee'))
    assert redacted.messages[0].text == "[[NAME-1]]"
    assert placeholders.restore_json('{"to": "[[NAME-1]]"}') == '{"to": "Ann \\"Al\\" Lee"}'
