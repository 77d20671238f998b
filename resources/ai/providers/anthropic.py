"""Anthropic's Messages API.

Facts of the SDK (2.12): retries twice by default (off here); lets httpx2 and JSON errors of a stream through unwrapped; ends
silently where a stream is cut; emits a span of its own for each call (off here: ours counts the tokens once); sampling parameters
are gone from its signature, but older models still take them (sent in the body when a request asks for them). There is no seed.
Usage tells the input without the cache; ours includes it.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, cast

from resources.ai.model import Answer, Finish, ReasoningDelta, TextDelta, Usage
from resources.ai.providers.faults import (
    CONTEXT_OVERFLOW,
    FORBIDDEN,
    KEY_WRONG,
    MODEL_UNKNOWN,
    OVERLOADED,
    QUOTA_EXHAUSTED,
    RATE_LIMITED,
    TIMEOUT,
    UNAVAILABLE,
    Faults,
    Progress,
    fault_of_status,
    guarded,
    ours_behind,
)
from resources.ai.providers.folding import CallBuffer, arguments_for_history
from resources.ai.providers.headers import rate_limits, retry_after
from resources.ai.providers.http import fault_of_transport, headers_of, http_client, key_of
from resources.ai.structured import closed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    import httpx2
    from anthropic import AsyncAnthropic, AsyncStream
    from anthropic.types import RawMessageStreamEvent

    from resources.ai.model import ChatRequest, Message, StreamEvent
    from resources.ai.provider import OnLimits
    from resources.ai.providers.faults import Fault
    from resources.ai.providers.options import ProviderOptions
    from resources.errors import PlatformError

ADDRESS: Final = "https://api.anthropic.com"
MAX_OUTPUT_TOKENS: Final = 4096
"""When the request does not say; the API demands a number."""

_FINISHES: Final[Mapping[str, Finish]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool",
    "refusal": "refusal",
}
_FAULTS: Final[Mapping[str, Fault]] = {
    "authentication_error": KEY_WRONG,
    "billing_error": QUOTA_EXHAUSTED,
    "permission_error": FORBIDDEN,
    "not_found_error": MODEL_UNKNOWN,
    "rate_limit_error": RATE_LIMITED,
    "request_too_large": CONTEXT_OVERFLOW,
    "timeout_error": TIMEOUT,
    "api_error": UNAVAILABLE,
    "overloaded_error": OVERLOADED,
}
"""By the `type` of the error's body, also of an error inside of a stream."""

_EFFORTS: Final = {"minimal": "low", "low": "low", "medium": "medium", "high": "high"}


class AnthropicProvider:
    """Claude. It belongs to the event loop that first uses it."""

    def __init__(self, options: ProviderOptions, *, name: str, on_limits: OnLimits | None = None) -> None:
        self.name: Final = name
        self._options = options
        self._on_limits = on_limits
        self._faults = Faults(name, options)
        self._client = _client(options, name=name)

    def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent]:
        progress = Progress()
        return guarded(
            self._events(request, progress),
            progress,
            faults=self._faults,
            model=request.model,
            total=self._options.timeouts.total,
            translate=lambda error, begun: self._translated(error, begun=begun, model=request.model),
        )

    async def close(self) -> None:
        await self._client.close()

    async def _events(self, request: ChatRequest, progress: Progress) -> AsyncGenerator[StreamEvent]:
        create = cast("Any", self._client.messages.create)
        stream: AsyncStream[RawMessageStreamEvent] = await create(**_parameters(request))
        progress.begun = True
        self._tell_limits(stream.response.headers, request.model)
        text: list[str] = []
        calls = CallBuffer()
        stop_reason: str | None = None
        counts: dict[str, int] = {}
        model, request_id = request.model, stream.response.headers.get("request-id")
        async with stream, aclosing(cast("AsyncGenerator[RawMessageStreamEvent]", aiter(stream))) as events:
            async for event in events:
                match event.type:
                    case "message_start":
                        model, request_id = event.message.model or model, request_id or event.message.id
                        counts |= _counts(event.message.usage)
                    case "content_block_start" if event.content_block.type == "tool_use":
                        yield calls.add(event.index, id=event.content_block.id, name=event.content_block.name)
                    case "content_block_delta":
                        match event.delta.type:
                            case "text_delta":
                                text.append(event.delta.text)
                                yield TextDelta(text=event.delta.text)
                            case "thinking_delta":
                                yield ReasoningDelta(text=event.delta.thinking)
                            case "input_json_delta":
                                yield calls.add(event.index, arguments=event.delta.partial_json)
                    case "message_delta":
                        stop_reason = event.delta.stop_reason or stop_reason
                        counts |= _counts(event.usage)
        if stop_reason is None and self._options.strict_finish_reason:
            return
        yield Answer(
            text="".join(text),
            calls=calls.calls(),
            finish=_FINISHES.get(stop_reason or "", "stop"),
            usage=_usage(counts),
            provider=self.name,
            model=model,
            request_id=request_id,
        )

    def _tell_limits(self, headers: httpx2.Headers, model: str) -> None:
        if self._on_limits and (limits := rate_limits(headers, provider=self.name, model=model)):
            self._on_limits(limits)

    def _translated(self, error: Exception, *, begun: bool, model: str) -> PlatformError:
        import anthropic

        if ours := ours_behind(error):
            return ours
        if not isinstance(error, anthropic.APIStatusError):
            fault = fault_of_transport(error, begun=begun)
            return self._faults.error(fault, model=model, said=str(error.__cause__ or error) or type(error).__name__)
        self._tell_limits(error.response.headers, model)
        said = error.api_message or error.message
        kind = str(error.type)
        status = 400 if kind == "invalid_request_error" else error.status_code  # in a stream every error has status 200
        fault = _FAULTS.get(kind) or fault_of_status(status, said)
        return self._faults.error(
            fault, model=model, said=said, retry_after=retry_after(error.response.headers), request_id=error.request_id
        )


def _client(options: ProviderOptions, *, name: str) -> AsyncAnthropic:
    import anthropic

    http = http_client(options)
    client = anthropic.AsyncAnthropic(
        api_key=key_of(options, provider=name),
        base_url=options.base_url or ADDRESS,
        max_retries=0,
        timeout=http.timeout,
        http_client=http,
        open_telemetry=False,
    )
    client._custom_headers = headers_of(options)  # noqa: SLF001  # the only place where ANTHROPIC_CUSTOM_HEADERS can be taken out
    return client


def _parameters(request: ChatRequest) -> dict[str, Any]:
    out: dict[str, Any] = {
        "model": request.model,
        "max_tokens": request.max_output_tokens or MAX_OUTPUT_TOKENS,
        "messages": _turns(request.messages),
        "stream": True,
    }
    system = "\n\n".join(message.text for message in request.messages if message.role == "system" and message.text)
    if system:
        out["system"] = system
    if request.tools:
        out["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            for tool in request.tools
        ]
        out["tool_choice"] = {"type": "any" if request.tool_choice == "required" else request.tool_choice}
    if request.stop:
        out["stop_sequences"] = list(request.stop)
    config: dict[str, Any] = {}
    if request.output:
        config["format"] = {"type": "json_schema", "schema": closed(request.output.json_schema)}
    if request.reasoning_effort:
        config["effort"] = _EFFORTS[request.reasoning_effort]
        if request.tool_choice != "required":  # the API does not let a model think that must call a tool
            out["thinking"] = {"type": "adaptive", "display": "summarized"}
    if config:
        out["output_config"] = config
    sampling = {"temperature": request.temperature, "top_p": request.top_p}
    body = {key: value for key, value in sampling.items() if value is not None}
    if body:
        out["extra_body"] = body
    return out


def _turns(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """User and assistant in turns: a tool's answer is the user's, and neighbours of one role are one turn."""
    turns: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "system":
            continue
        role = "assistant" if message.role == "assistant" else "user"
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"].extend(_blocks(message))
        else:
            turns.append({"role": role, "content": _blocks(message)})
    return turns


def _blocks(message: Message) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = [
        {"type": "image", "source": {"type": "base64", "media_type": image.media_type, "data": image.data}}
        for image in message.images
    ]
    if message.text:  # the API refuses an empty block
        blocks.append({"type": "text", "text": message.text})
    if message.role == "tool":
        return [{"type": "tool_result", "tool_use_id": message.call_id or "", "content": blocks}]
    return blocks + [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments_for_history(call)}
        for call in message.calls
    ]


def _counts(usage: Any) -> dict[str, int]:
    names = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    return {name: count for name in names if (count := getattr(usage, name, None)) is not None}


def _usage(counts: dict[str, int]) -> Usage | None:
    if not counts:
        return None
    read, written = counts.get("cache_read_input_tokens", 0), counts.get("cache_creation_input_tokens", 0)
    return Usage(
        input=counts.get("input_tokens", 0) + read + written,
        output=counts.get("output_tokens", 0),
        cache_read=read,
        cache_write=written,
    )
