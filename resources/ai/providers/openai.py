"""OpenAI, and every server that speaks its chat completions: Azure, Gemini's compatible endpoint, Ollama, vLLM, gateways.

Chat completions are the base because all of them speak it; the Responses API is an option (`responses.py`). A stream that ends
without a finish reason is half an answer, and the SDK does not say so; here it is an error. Servers differ in small things only,
which `Dialect` lists.

Facts of the SDK (3.54): it retries twice by default (off here), reads `OPENAI_*` from the environment (kept out here: a tenant's
calls must not carry the operator's organisation), and lets JSON errors of a stream through unwrapped.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import orjson

from resources.ai.model import (
    Answer,
    Embeddings,
    Finish,
    ReasoningDelta,
    TextDelta,
    Usage,
)
from resources.ai.provider import ProviderUnavailableError
from resources.ai.providers import responses
from resources.ai.providers.faults import (
    CONTEXT_OVERFLOW,
    FORBIDDEN,
    KEY_WRONG,
    MODEL_UNKNOWN,
    OVERLOADED,
    QUOTA_EXHAUSTED,
    RATE_LIMITED,
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
from resources.ai.structured import openai_strict, unbounded
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    import httpx2
    from openai import AsyncOpenAI, AsyncStream
    from openai.types import CreateEmbeddingResponse

    from resources.ai.model import ChatRequest, EmbedRequest, Message, OutputSchema, StreamEvent
    from resources.ai.provider import OnLimits
    from resources.ai.providers.faults import Fault
    from resources.ai.providers.options import ProviderOptions
    from resources.errors import PlatformError


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a server of this family does differently."""

    base_url: str | None = None
    """The vendor's own address; without one it must be an option."""
    needs_key: bool = True
    max_tokens: str = "max_tokens"
    strict_schemas: bool = False
    """It takes OpenAI's strict mode; others constrain the decoding by the schema as it is."""
    unbounded_lists: bool = False
    """It refuses schemas whose limits unroll into too many states, such as several lists of so many items."""


OPENAI: Final = Dialect("https://api.openai.com/v1", max_tokens="max_completion_tokens", strict_schemas=True)
AZURE: Final = Dialect(max_tokens="max_completion_tokens", strict_schemas=True)
GEMINI: Final = Dialect("https://generativelanguage.googleapis.com/v1beta/openai/", unbounded_lists=True)
COMPATIBLE: Final = Dialect(needs_key=False)

_FINISHES: Final[Mapping[str, Finish]] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool",
    "function_call": "tool",
    "content_filter": "filter",
}
_FAULTS: Final[Mapping[str, Fault]] = {
    "context_length_exceeded": CONTEXT_OVERFLOW,
    "exceed_context_size_error": CONTEXT_OVERFLOW,
    "string_above_max_length": CONTEXT_OVERFLOW,
    "model_not_found": MODEL_UNKNOWN,
    "DeploymentNotFound": MODEL_UNKNOWN,
    "invalid_api_key": KEY_WRONG,
    "insufficient_quota": QUOTA_EXHAUSTED,
    "billing_hard_limit_reached": QUOTA_EXHAUSTED,
    "unsupported_country_region_territory": FORBIDDEN,
    "rate_limit_exceeded": RATE_LIMITED,
    "server_error": UNAVAILABLE,
    "slow_down": OVERLOADED,
    "overloaded_error": OVERLOADED,
}
"""By the `code` or `type` of the error's body."""

_NO_KEY: Final = "none"
"""For servers without keys: the SDK would look for the operator's own otherwise."""

_FILTERED: Final = frozenset({"content_filter", "content_policy_violation", "responsible_ai_policy_violation"})
"""Errors that are the answer of a filter."""


class OpenAIProvider:
    """Chat and embeddings over one client. It belongs to the event loop that first uses it."""

    def __init__(
        self, options: ProviderOptions, *, name: str, dialect: Dialect = OPENAI, on_limits: OnLimits | None = None
    ) -> None:
        self.name: Final = name
        self._options = options
        self._dialect = dialect
        self._on_limits = on_limits
        self._faults = Faults(name, options)
        self._client = _client(options, name=name, dialect=dialect)

    def stream(self, request: ChatRequest) -> AsyncGenerator[StreamEvent]:
        call = self._responses if self._options.api == "responses" else self._chat
        progress = Progress()
        return guarded(
            call(request, progress),
            progress,
            faults=self._faults,
            model=request.model,
            total=self._options.timeouts.total,
            translate=lambda error, begun: self._translated(error, begun=begun, model=request.model),
        )

    async def embed(self, request: EmbedRequest) -> Embeddings:
        create = cast("Any", self._client.embeddings.create)
        parameters = {"dimensions": request.dimensions} if request.dimensions else {}
        try:
            async with asyncio.timeout(self._options.timeouts.total):
                answer: CreateEmbeddingResponse = await create(
                    model=request.model, input=list(request.texts), encoding_format="float", **parameters
                )
            rows = {one.index: tuple(one.embedding) for one in answer.data}
            vectors = tuple(rows[index] for index in range(len(request.texts)))
        except Exception as error:  # noqa: BLE001  # the SDK lets errors of all its parts through
            outcome = self._translated(error, begun=False, model=request.model)
            if isinstance(outcome, Answer):
                raise self._faults.error(fault_of_status(400, ""), model=request.model, said=str(error)) from None
            self._faults.throw(outcome, error)
        usage = Usage(input=answer.usage.prompt_tokens) if answer.usage else None
        return Embeddings(vectors=vectors, usage=usage, provider=self.name, model=answer.model or request.model)

    async def close(self) -> None:
        await self._client.close()

    async def _chat(self, request: ChatRequest, progress: Progress) -> AsyncGenerator[StreamEvent]:
        # What the SDK would do besides costs more than all else of a call: a model of each chunk, and a copy of the request.
        import openai

        stream: AsyncStream[object] = await self._client.post(
            "/chat/completions",
            body=self._chat_parameters(request),
            options={"security": {"bearer_auth": True}},
            cast_to=object,
            stream=True,
            stream_cls=openai.AsyncStream[object],
        )
        progress.begun = True
        self._tell_limits(stream.response.headers, request.model)
        text: list[str] = []
        calls = CallBuffer()
        finish: str | None = None
        usage: Usage | None = None
        refused = False
        model, request_id = request.model, stream.response.headers.get("x-request-id")
        async with stream, aclosing(cast("AsyncGenerator[dict[str, Any]]", aiter(stream))) as chunks:
            async for chunk in chunks:
                model, request_id = chunk.get("model") or model, request_id or chunk.get("id")
                usage = _usage(chunk["usage"]) if chunk.get("usage") else usage
                for choice in chunk.get("choices") or ():
                    finish = choice.get("finish_reason") or finish
                    delta = choice.get("delta")
                    if not delta:  # of servers that send none with the finish reason
                        continue
                    thought = delta.get("reasoning_content") or delta.get("reasoning")
                    if isinstance(thought, str):
                        yield ReasoningDelta(text=thought)
                    refused = refused or bool(delta.get("refusal"))
                    if piece := delta.get("content") or delta.get("refusal"):
                        text.append(piece)
                        yield TextDelta(text=piece)
                    for call in delta.get("tool_calls") or ():
                        function = call.get("function") or {}
                        yield calls.add(
                            call.get("index"),
                            id=call.get("id"),
                            name=function.get("name"),
                            arguments=function.get("arguments") or "",
                        )
        if finish is None and self._options.strict_finish_reason:
            return
        yield Answer(
            text="".join(text),
            calls=calls.calls(),
            finish=_finish(finish, refused=refused, called=bool(calls.calls())),
            usage=usage,
            provider=self.name,
            model=model,
            request_id=request_id,
        )

    async def _responses(self, request: ChatRequest, progress: Progress) -> AsyncGenerator[StreamEvent]:
        create = cast("Any", self._client.responses.create)
        stream = await create(**responses.parameters(request, output_format=_format(request.output, self._dialect)))
        progress.begun = True
        self._tell_limits(stream.response.headers, request.model)
        async with stream, aclosing(responses.events(stream, request, provider=self.name)) as events:
            async for event in events:
                if isinstance(event, responses.Failure):
                    fault = _FAULTS.get(event.code, UNAVAILABLE)
                    raise self._faults.error(fault, model=request.model, said=event.message)
                yield event

    def _chat_parameters(self, request: ChatRequest) -> dict[str, Any]:
        parameters: dict[str, Any] = {
            "model": request.model,
            "messages": list(_messages(request.messages)),
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.tools:
            parameters["tools"] = [
                {
                    "type": "function",
                    "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
                }
                for tool in request.tools
            ]
            parameters["tool_choice"] = request.tool_choice
        if request.output:
            parameters["response_format"] = {
                "type": "json_schema",
                "json_schema": _format(request.output, self._dialect),
            }
        optional = {
            self._dialect.max_tokens: request.max_output_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
            "stop": list(request.stop) or None,
            "reasoning_effort": request.reasoning_effort,
        }
        return parameters | {key: value for key, value in optional.items() if value is not None}

    def _tell_limits(self, headers: httpx2.Headers, model: str) -> None:
        if self._on_limits and (limits := rate_limits(headers, provider=self.name, model=model)):
            self._on_limits(limits)

    def _translated(self, error: Exception, *, begun: bool, model: str) -> PlatformError | Answer:
        import openai

        if ours := ours_behind(error):
            return ours
        if not isinstance(error, openai.APIError) or isinstance(error, openai.APIConnectionError):
            if isinstance(error, KeyError):  # a vector is missing
                return ProviderUnavailableError(
                    f"{self.name!r} left texts without vectors.", dependency=self.name, code="provider_unavailable"
                )
            return self._faults.error(fault_of_transport(error, begun=begun), model=model, said=_words(error))
        words = {str(word) for word in (error.code, error.type) if word}
        response = error.response if isinstance(error, openai.APIStatusError) else None
        request_id = response.headers.get("x-request-id") if response else None
        if response is not None:
            self._tell_limits(response.headers, model)
        if words & _FILTERED:
            return Answer(finish="filter", usage=None, provider=self.name, model=model, request_id=request_id)
        status = response.status_code if response else 500
        fault = next((_FAULTS[word] for word in words if word in _FAULTS), None)
        return self._faults.error(
            fault or fault_of_status(status, error.message),
            model=model,
            said=error.message,
            retry_after=retry_after(response.headers) if response else None,
            request_id=request_id,
        )


def _client(options: ProviderOptions, *, name: str, dialect: Dialect) -> AsyncOpenAI:
    import openai

    address = options.base_url or dialect.base_url
    if address is None:
        raise InvalidInputError(f"The provider {name!r} needs a base_url.", code="base_url_missing")
    key = key_of(options, provider=name) if dialect.needs_key or options.api_key else _NO_KEY
    http = http_client(options)
    client: AsyncOpenAI
    if options.api_version:
        client = openai.AsyncAzureOpenAI(
            azure_endpoint=address, api_version=options.api_version, api_key=key, max_retries=0, http_client=http
        )
    else:
        client = openai.AsyncOpenAI(
            api_key=key, base_url=address, max_retries=0, timeout=http.timeout, http_client=http
        )
    # What the SDK has read of the environment is the operator's, not this provider's.
    client.organization, client.project, client.admin_api_key = options.organisation, None, None
    client._custom_headers = headers_of(options)  # noqa: SLF001  # the only place where OPENAI_CUSTOM_HEADERS can be taken out
    return client


def _messages(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """The conversation in OpenAI's form. Pictures of a tool's answer follow the answers as the user's: tools cannot show any."""
    out: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []
    for message in messages:
        if message.role != "tool" and shown:
            out.append({"role": "user", "content": shown})
            shown = []
        match message.role:
            case "tool":
                out.append({"role": "tool", "tool_call_id": message.call_id or "", "content": message.text})
                shown.extend(_images(message))
            case "assistant":
                turn: dict[str, Any] = {"role": "assistant", "content": message.text or None}
                if message.calls:
                    turn["tool_calls"] = [
                        {
                            "id": call.id,
                            "type": "function",
                            "function": {
                                "name": call.name,
                                "arguments": orjson.dumps(arguments_for_history(call)).decode(),
                            },
                        }
                        for call in message.calls
                    ]
                out.append(turn)
            case role:
                images = _images(message)
                text = [{"type": "text", "text": message.text}] if message.text else []
                out.append({"role": role, "content": [*text, *images] if images else message.text})
    if shown:
        out.append({"role": "user", "content": shown})
    return out


def _images(message: Message) -> list[dict[str, Any]]:
    return [
        {"type": "image_url", "image_url": {"url": f"data:{image.media_type};base64,{image.data}"}}
        for image in message.images
    ]


def _format(output: OutputSchema | None, dialect: Dialect) -> dict[str, Any] | None:
    if output is None:
        return None
    strict = openai_strict(output.json_schema) if dialect.strict_schemas else None
    if strict is None:
        schema = unbounded(output.json_schema) if dialect.unbounded_lists else output.json_schema
        return {"name": output.name, "schema": schema}
    return {"name": output.name, "schema": strict, "strict": True}


def _finish(reason: str | None, *, refused: bool, called: bool) -> Finish:
    finish = _FINISHES.get(reason or "", "stop")
    if finish in {"length", "filter"}:
        return finish
    if refused:
        return "refusal"
    return "tool" if called else "stop"  # some servers say stop beside a call


def _usage(usage: Mapping[str, Any]) -> Usage:
    cached, reasoning = usage.get("prompt_tokens_details") or {}, usage.get("completion_tokens_details") or {}
    return Usage(
        input=usage.get("prompt_tokens") or 0,
        output=usage.get("completion_tokens") or 0,
        cache_read=cached.get("cached_tokens") or 0,
        cache_write=cached.get("cache_write_tokens") or 0,
        reasoning=reasoning.get("reasoning_tokens") or 0,
    )


def _words(error: BaseException) -> str:
    cause = error.__cause__
    return f"{error}" + (f" ({cause})" if cause is not None and str(cause) else "") or type(error).__name__
