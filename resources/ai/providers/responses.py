"""OpenAI's Responses API: the request in its form, and its events in ours. The client, errors and limits are `openai.py`'s."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from resources.ai.model import Answer, Finish, ReasoningDelta, TextDelta, Usage
from resources.ai.providers.folding import CallBuffer, arguments_for_history
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable

    from openai.types.responses import Response, ResponseStreamEvent, ResponseUsage

    from resources.ai.model import ChatRequest, Message, StreamEvent

_TEXT: Final = frozenset({"response.output_text.delta", "response.refusal.delta"})
_THOUGHT: Final = frozenset({"response.reasoning_summary_text.delta", "response.reasoning_text.delta"})


@dataclass(frozen=True, slots=True)
class Failure:
    """The API says inside of the stream that the response failed."""

    code: str
    message: str


def parameters(request: ChatRequest, *, output_format: dict[str, Any] | None) -> dict[str, Any]:
    """The call's parameters. Nothing is stored at the provider. This API has no stop sequences and no seed.

    Raises InvalidInputError for stop sequences: without them the answer would be another one. A seed is only ever a wish.
    """
    if request.stop:
        raise InvalidInputError(
            "OpenAI's Responses API has no stop sequences; use api='chat'.", code="request_unsupported"
        )
    out: dict[str, Any] = {
        "model": request.model,
        "input": [item for message in request.messages for item in _items(message)],
        "stream": True,
        "store": False,
    }
    if request.tools:
        out["tools"] = [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.parameters,
                "strict": False,
            }
            for tool in request.tools
        ]
        out["tool_choice"] = request.tool_choice
    if output_format:
        out["text"] = {"format": {"type": "json_schema", "strict": False, **output_format}}
    if request.reasoning_effort:
        out["reasoning"] = {"effort": request.reasoning_effort, "summary": "auto"}
    optional = {
        "max_output_tokens": request.max_output_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
    }
    return out | {key: value for key, value in optional.items() if value is not None}


async def events(
    stream: AsyncIterable[ResponseStreamEvent], request: ChatRequest, *, provider: str
) -> AsyncGenerator[StreamEvent | Failure]:
    """Our events; ends without an Answer when the stream does."""
    text: list[str] = []
    calls = CallBuffer()
    refused = False
    async for event in stream:
        kind = event.type
        if kind in _TEXT:
            piece = str(getattr(event, "delta", "") or "")
            refused = refused or kind == "response.refusal.delta"
            text.append(piece)
            yield TextDelta(text=piece)
        elif kind in _THOUGHT:
            yield ReasoningDelta(text=str(getattr(event, "delta", "") or ""))
        elif event.type == "response.output_item.added":
            if event.item.type == "function_call":
                yield calls.add(event.output_index, id=event.item.call_id, name=event.item.name)
        elif event.type == "response.function_call_arguments.delta":
            yield calls.add(event.output_index, arguments=event.delta)
        elif event.type == "error":
            yield Failure(event.code or "", event.message)
            return
        elif event.type == "response.failed":
            error = event.response.error
            yield Failure(str(error.code) if error else "", error.message if error else "the response failed")
            return
        elif event.type in {"response.completed", "response.incomplete"}:
            response: Response = event.response
            yield Answer(
                text="".join(text),
                calls=calls.calls(),
                finish=_finish(response, refused=refused, called=bool(calls.calls())),
                usage=_usage(response.usage) if response.usage else None,
                provider=provider,
                model=response.model or request.model,
                request_id=response.id,
            )
            return


def _items(message: Message) -> list[dict[str, Any]]:
    images = [
        {"type": "input_image", "image_url": f"data:{image.media_type};base64,{image.data}", "detail": "auto"}
        for image in message.images
    ]
    if message.role == "tool":
        output: Any = [{"type": "input_text", "text": message.text}, *images] if images else message.text
        return [{"type": "function_call_output", "call_id": message.call_id or "", "output": output}]
    if message.role == "assistant":
        said = [{"role": "assistant", "content": message.text}] if message.text else []
        return said + [
            {
                "type": "function_call",
                "call_id": call.id,
                "name": call.name,
                "arguments": orjson.dumps(arguments_for_history(call)).decode(),
            }
            for call in message.calls
        ]
    text = [{"type": "input_text", "text": message.text}] if message.text else []
    return [{"role": message.role, "content": [*text, *images] if images else message.text}]


def _finish(response: Response, *, refused: bool, called: bool) -> Finish:
    reason = response.incomplete_details.reason if response.incomplete_details else None
    if response.status == "incomplete":
        return "filter" if reason == "content_filter" else "length"
    if refused:
        return "refusal"
    return "tool" if called else "stop"


def _usage(usage: ResponseUsage) -> Usage:
    cached, reasoning = usage.input_tokens_details, usage.output_tokens_details
    return Usage(
        input=usage.input_tokens or 0,
        output=usage.output_tokens or 0,
        cache_read=(cached.cached_tokens or 0) if cached else 0,
        cache_write=(getattr(cached, "cache_write_tokens", None) or 0) if cached else 0,
        reasoning=(reasoning.reasoning_tokens or 0) if reasoning else 0,
    )
