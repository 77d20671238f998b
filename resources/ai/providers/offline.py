"""`offline/extractive-v1`: chat without a model, for machines without keys. Rule-based, and labelled so everywhere.

An answer is a pure function of the request. It summarises or answers with sentences taken word for word from the messages
(`ExtractiveWriter`); it fills a schema with what patterns find in the text (numbers, dates, addresses, the words of an enum); it
calls the tool whose name and description share most words with the question, once, and then quotes what the tool said. It never
invents: a schema that it cannot fill is refused.

Tokens are estimated as a quarter of the characters, as no tokenizer is involved; they cost nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import orjson

from resources.ai.model import Answer, TextDelta, ToolCall, ToolCallDelta, Usage
from resources.ai.offline import NOTICE, ExtractiveWriter
from resources.ai.provider import ProviderRefusedError
from resources.ai.providers.extraction import Extraction, words
from resources.ai.structured import AnswerInvalidError, read_answer
from resources.ai.untrusted import without_marks
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from resources.ai.model import ChatRequest, Message, StreamEvent, ToolSpec

MODEL: Final = "offline/extractive-v1"
_INSTRUCTION: Final = 400
"""A first paragraph of at most so many characters, with text after it, is an instruction about that text."""
_PIECE = re.compile(r"\s*\S+")


class OfflineProvider:
    """Answers by rule; `simulated` and `notice` are set on every answer."""

    def __init__(self, *, name: str = "offline") -> None:
        self.name: Final = name
        self._writer = ExtractiveWriter()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent]:
        if request.model not in {MODEL, MODEL.partition("/")[2]}:
            raise ProviderRefusedError(
                f"{self.name!r} has no model {request.model!r}, only {MODEL!r}.", code="model_unknown"
            )
        question, passages = _read(request.messages)
        call = self._call(request, question, passages)
        text = "" if call else self._text(request, question, passages)
        for piece in _PIECE.findall(text):
            yield TextDelta(text=piece)
        if call:
            yield ToolCallDelta(index=0, id=call.id, name=call.name, arguments=call.raw)
        yield Answer(
            text=text,
            calls=(call,) if call else (),
            finish="tool" if call else "stop",
            usage=_usage(request, text + (call.raw if call else "")),
            provider=self.name,
            model=MODEL,
            simulated=True,
            notice=NOTICE,
        )

    async def close(self) -> None:
        """Nothing is held."""

    def _call(self, request: ChatRequest, question: str, passages: list[str]) -> ToolCall | None:
        """The first fitting tool, unless one has been called for this question or none fits."""
        if request.tool_choice == "none" or _answers_of_tools(request.messages):
            return None
        asked = words(question)

        def fit(tool: ToolSpec) -> int:
            return len(asked & words(f"{tool.name.replace('_', ' ').replace('-', ' ')} {tool.description}"))

        best = max(request.tools, key=fit, default=None)
        if best is None or (fit(best) == 0 and request.tool_choice != "required"):
            return None
        arguments = Extraction(question, passages or [question], self._writer).filled(best.parameters)
        if not isinstance(arguments, dict):
            return None
        return ToolCall(id="call_0", name=best.name, arguments=arguments, raw=orjson.dumps(arguments).decode())

    def _text(self, request: ChatRequest, question: str, passages: list[str]) -> str:
        if request.output:
            value = Extraction(question, passages or [question], self._writer).filled(request.output.json_schema)
            text = orjson.dumps(value).decode()
            try:
                read_answer(text, request.output)
            except AnswerInvalidError as error:
                raise ProviderRefusedError(
                    f"{MODEL!r} cannot fill the schema {request.output.name!r} by rule: {error.message} "
                    "Choose a provider with a model.",
                    code="offline_cannot_answer",
                ) from error
            return text
        try:
            return self._writer.generate(question, passages=passages or [question]).text
        except InvalidInputError as error:
            raise ProviderRefusedError(
                f"{MODEL!r} answers from the text of the messages, and there is none.", code="offline_cannot_answer"
            ) from error


def _read(messages: tuple[Message, ...]) -> tuple[str, list[str]]:
    """The question, and the texts to answer it from: what tools said, what the user had said, what follows the question."""
    users = [message.text for message in messages if message.role == "user" and message.text.strip()]
    last = users[-1] if users else ""
    question, _, rest = last.strip().partition("\n\n")
    if not rest.strip() or len(question) > _INSTRUCTION:
        head, colon, tail = last.partition(":")
        question, rest = (head, tail) if colon and len(head) <= _INSTRUCTION and len(tail) > len(head) else (last, "")
    tools = _answers_of_tools(messages)
    return question.strip(), [text for text in (*tools, rest.strip(), *users[:-1]) if text]


def _answers_of_tools(messages: tuple[Message, ...]) -> list[str]:
    """What tools said since the user last spoke."""
    since: list[str] = []
    for message in messages:
        if message.role == "user":
            since = []
        elif message.role == "tool":
            since.append(without_marks(message.text))
    return [text for text in since if text.strip()]


def _usage(request: ChatRequest, answer: str) -> Usage:
    asked = sum(len(message.text) + sum(len(call.raw) for call in message.calls) for message in request.messages)
    tools = sum(len(orjson.dumps(tool.model_dump())) for tool in request.tools)
    return Usage(input=-(-(asked + tools) // 4), output=-(-len(answer) // 4))
