from __future__ import annotations

from typing import Any

import pytest

from resources.ai.model import Answer, ChatRequest, Message, OutputSchema, ToolSpec
from resources.ai.provider import ProviderRefusedError
from resources.ai.providers.offline import MODEL, OfflineProvider
from resources.ai.structured import read_answer
from tests.contracts.chat_provider import WEATHER, ChatProviderContract, answer_of

ARTICLE = """Dagster keeps the lineage of assets. Every asset knows the run that made it.

The platform was released on 2026-03-01 by Ada Lovelace. Write to ada@example.org.
It costs 42 euros a month, or 399.5 euros a year. The tone of the reviews was positive."""


class TestOffline(ChatProviderContract):
    model = MODEL

    @pytest.fixture
    def provider(self) -> OfflineProvider:
        return OfflineProvider()


@pytest.fixture
def provider() -> OfflineProvider:
    return OfflineProvider()


def asked(*messages: Message, **more: Any) -> ChatRequest:
    return ChatRequest(provider="offline", model=MODEL, messages=messages, **more)


def user(text: str) -> Message:
    return Message(role="user", text=text)


async def test_it_says_that_no_model_wrote_the_answer(provider: OfflineProvider) -> None:
    answer = await answer_of(provider, asked(user(f"Summarise:\n\n{ARTICLE}")))
    assert (answer.simulated, answer.notice) == (True, "rule-based, not an AI model")


async def test_a_summary_is_taken_from_the_text_and_not_from_the_instruction(provider: OfflineProvider) -> None:
    answer = await answer_of(provider, asked(user(f"Summarise this article about lineage of assets.\n\n{ARTICLE}")))
    assert "Summarise" not in answer.text
    assert all(sentence.strip(" .") in " ".join(ARTICLE.split()) for sentence in answer.text.split(". "))


async def test_a_question_is_answered_from_what_was_said_before(provider: OfflineProvider) -> None:
    answer = await answer_of(
        provider, asked(user(ARTICLE), Message(role="assistant", text="Noted."), user("What does it cost?"))
    )
    assert "42 euros" in answer.text


async def test_the_same_question_has_the_same_answer(provider: OfflineProvider) -> None:
    request = asked(user(f"Summarise:\n\n{ARTICLE}"))
    assert await answer_of(provider, request) == await answer_of(OfflineProvider(), request)


async def test_a_schema_is_filled_from_the_text(provider: OfflineProvider) -> None:
    output = OutputSchema(
        json_schema={
            "type": "object",
            "properties": {
                "title": {"type": "string", "maxLength": 40},
                "released": {"type": "string", "format": "date"},
                "contact": {"type": "string", "format": "email"},
                "price": {"type": "integer", "minimum": 1, "maximum": 100},
                "sentiment": {"enum": ["negative", "positive"]},
                "keywords": {"type": "array", "items": {"type": "string"}, "minItems": 2},
                "summary": {"type": "string"},
            },
            "required": ["title", "released", "contact", "price", "sentiment", "keywords", "summary"],
            "additionalProperties": False,
        }
    )
    answer = await answer_of(provider, asked(user(f"Extract the facts.\n\n{ARTICLE}"), output=output))
    value = read_answer(answer.text, output)
    assert value["released"] == "2026-03-01"
    assert value["contact"] == "ada@example.org"
    assert value["price"] == 42
    assert value["sentiment"] == "positive"
    assert value["title"] == "Dagster keeps the lineage of assets. Every"[:40]
    assert value["summary"]


async def test_a_recursive_schema_is_filled(provider: OfflineProvider) -> None:
    node = {
        "type": "object",
        "properties": {"text": {"type": "string"}, "next": {"$ref": "#/$defs/n"}},
        "required": ["text"],
    }
    output = OutputSchema(json_schema={"$defs": {"n": node}, "$ref": "#/$defs/n"})
    answer = await answer_of(provider, asked(user(f"Extract.\n\n{ARTICLE}"), output=output))
    assert set(read_answer(answer.text, output)) == {"text"}


async def test_what_the_text_does_not_hold_is_not_invented(provider: OfflineProvider) -> None:
    output = OutputSchema(
        json_schema={
            "type": "object",
            "properties": {"iban": {"type": "string", "pattern": "^DE[0-9]{20}$"}},
            "required": ["iban"],
        }
    )
    with pytest.raises(ProviderRefusedError) as caught:
        await answer_of(provider, asked(user(f"Extract.\n\n{ARTICLE}"), output=output))
    assert caught.value.code == "offline_cannot_answer"


async def test_the_fitting_tool_is_called_once_and_then_quoted(provider: OfflineProvider) -> None:
    other = ToolSpec(name="send_mail", description="Send a letter", parameters={"type": "object", "properties": {}})
    first = asked(user("What is the weather in Paris?"), tools=(other, WEATHER))
    answer = await answer_of(provider, first)
    assert [(call.name, call.arguments) for call in answer.calls] == [("get_weather", {"city": "Paris"})]
    assert answer.finish == "tool"
    result = Message(role="tool", text="It is 21 degrees and sunny in Paris.", call_id=answer.calls[0].id)
    again = first.model_copy(
        update={"messages": (*first.messages, Message(role="assistant", calls=answer.calls), result)}
    )
    assert (await answer_of(provider, again)).text == "It is 21 degrees and sunny in Paris."


async def test_no_tool_is_called_that_has_nothing_to_do_with_the_question(provider: OfflineProvider) -> None:
    answer = await answer_of(provider, asked(user(f"Summarise:\n\n{ARTICLE}"), tools=(WEATHER,)))
    assert answer.calls == ()


async def test_without_text_there_is_no_answer(provider: OfflineProvider) -> None:
    with pytest.raises(ProviderRefusedError) as caught:
        await answer_of(provider, asked(Message(role="system", text="Be kind.")))
    assert caught.value.code == "offline_cannot_answer"


async def test_it_has_one_model(provider: OfflineProvider) -> None:
    with pytest.raises(ProviderRefusedError) as caught:
        await answer_of(provider, asked(user("Hello")).model_copy(update={"model": "gpt-4o"}))
    assert caught.value.code == "model_unknown"


async def test_tokens_are_estimated(provider: OfflineProvider) -> None:
    answer: Answer = await answer_of(provider, asked(user("x" * 400)))
    assert answer.usage is not None
    assert answer.usage.input == 100
