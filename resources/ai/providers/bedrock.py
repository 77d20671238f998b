"""Amazon Bedrock: chat through ConverseStream, embeddings through Titan.

boto3 is synchronous: a call runs in a thread of this adapter's own pool and hands over one event at a time, so a slow reader
slows the model's stream and nothing piles up. Whoever gives up a call wakes the thread by shutting the socket down.

Structured answers: by default a tool whose parameters are the schema and that the model must call; its arguments are the answer's
text. It works with every model that has tools; `structured_output="native"` uses outputConfig, which few models have.
Converse has no seed and no "no tools" choice; without tools in the conversation they are left out for the latter. Usage tells the
input without the cache; ours includes it.
"""

from __future__ import annotations

import asyncio
import base64
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

import orjson

from resources.ai.egress import check_url
from resources.ai.model import Answer, Embeddings, Finish, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from resources.ai.providers.faults import (
    FORBIDDEN,
    KEY_WRONG,
    MALFORMED,
    MODEL_UNKNOWN,
    OVERLOADED,
    QUOTA_EXHAUSTED,
    RATE_LIMITED,
    REFUSED,
    TIMEOUT,
    TRUNCATED,
    UNAVAILABLE,
    UNREACHABLE,
    Faults,
    Progress,
    fault_of_status,
    guarded,
)
from resources.ai.providers.folding import CallBuffer, arguments_for_history
from resources.ai.providers.headers import rate_limits, retry_after
from resources.ai.structured import closed
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping

    from botocore.eventstream import EventStream
    from botocore.loaders import Loader

    from resources.ai.model import ChatRequest, EmbedRequest, Message, OutputSchema, StreamEvent
    from resources.ai.provider import OnLimits
    from resources.ai.providers.faults import Fault
    from resources.ai.providers.options import ProviderOptions
    from resources.errors import PlatformError

_Result = TypeVar("_Result")

_CALLS: Final = 64
"""Calls in flight at once, each in a thread; as many connections."""

_FINISHES: Final[Mapping[str, Finish]] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool",
    "malformed_tool_use": "tool",
    "guardrail_intervened": "filter",
    "content_filtered": "filter",
    "refusal": "refusal",
}
_FAULTS: Final[Mapping[str, Fault]] = {
    "AccessDeniedException": FORBIDDEN,
    "ExpiredTokenException": KEY_WRONG,
    "IncompleteSignature": KEY_WRONG,
    "InvalidClientTokenId": KEY_WRONG,
    "InvalidSignatureException": KEY_WRONG,
    "MissingAuthenticationTokenException": KEY_WRONG,
    "UnrecognizedClientException": KEY_WRONG,
    "InternalServerException": UNAVAILABLE,
    "ModelErrorException": UNAVAILABLE,
    "ModelNotReadyException": OVERLOADED,
    "ModelStreamErrorException": UNAVAILABLE,
    "ModelTimeoutException": TIMEOUT,
    "ResourceNotFoundException": MODEL_UNKNOWN,
    "ServiceQuotaExceededException": QUOTA_EXHAUSTED,
    "ServiceUnavailableException": OVERLOADED,
    "ThrottlingException": RATE_LIMITED,
    "TooManyRequestsException": RATE_LIMITED,
    "ValidationException": REFUSED,
}
"""By AWS' error code; inside of a stream the codes begin with a small letter."""

_UNKNOWN_MODEL: Final = ("model identifier is invalid", "model id", "isn’t supported", "isn't supported")


class BedrockProvider:
    """Models of Amazon Bedrock in one region."""

    def __init__(self, options: ProviderOptions, *, name: str, on_limits: OnLimits | None = None) -> None:
        self.name: Final = name
        self._options = options
        self._on_limits = on_limits
        self._faults = Faults(name, options)
        self._client = _client(options, name=name)
        self._threads = ThreadPoolExecutor(_CALLS, thread_name_prefix=f"aiw-{name}")

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

    async def embed(self, request: EmbedRequest) -> Embeddings:
        if "titan-embed" not in request.model:
            raise InvalidInputError(
                f"Embeddings on Bedrock need a Titan model, not {request.model!r}.", code="model_unknown"
            )
        try:
            async with asyncio.timeout(self._options.timeouts.total):
                answers = await asyncio.gather(*(self._embed_one(text, request) for text in request.texts))
        except Exception as error:  # noqa: BLE001  # botocore lets errors of all its parts through
            self._faults.throw(self._translated(error, begun=False, model=request.model), error)
        return Embeddings(
            vectors=tuple(tuple(answer["embedding"]) for answer in answers),
            usage=Usage(input=sum(answer.get("inputTextTokenCount", 0) for answer in answers)),
            provider=self.name,
            model=request.model,
        )

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    async def _embed_one(self, text: str, request: EmbedRequest) -> dict[str, Any]:
        body: dict[str, Any] = {"inputText": text}
        if request.dimensions:
            body["dimensions"] = request.dimensions
        parameters = {"modelId": request.model, "body": orjson.dumps(body), "contentType": "application/json"}

        def call() -> dict[str, Any]:
            answer: dict[str, Any] = orjson.loads(self._client.invoke_model(**parameters)["body"].read())
            return answer

        return await self._in_thread(call)

    async def _events(self, request: ChatRequest, progress: Progress) -> AsyncGenerator[StreamEvent]:
        parameters = _parameters(request, native=self._options.structured_output == "native")
        response = await self._in_thread(lambda: self._client.converse_stream(**parameters))
        metadata = response["ResponseMetadata"]
        progress.begun = True
        self._tell_limits(metadata["HTTPHeaders"], request.model)
        stream: EventStream = response["stream"]
        events = iter(stream)
        answer_tool = request.output.name if request.output and "outputConfig" not in parameters else None
        text: list[str] = []
        calls = CallBuffer()
        answering: set[int] = set()
        stop_reason: str | None = None
        usage: Usage | None = None
        try:
            while (event := await self._in_thread(lambda: next(events, None))) is not None:
                if start := event.get("contentBlockStart"):
                    tool = start["start"].get("toolUse")
                    if tool and tool["name"] == answer_tool:
                        answering.add(start["contentBlockIndex"])
                    elif tool:
                        yield calls.add(start["contentBlockIndex"], id=tool["toolUseId"], name=tool["name"])
                elif block := event.get("contentBlockDelta"):
                    for piece in _pieces(block, calls, answering):
                        if isinstance(piece, TextDelta):
                            text.append(piece.text)
                        yield piece
                elif stop := event.get("messageStop"):
                    stop_reason = stop["stopReason"]
                elif told := event.get("metadata"):
                    usage = _usage(told["usage"])
        finally:
            _hang_up(stream)
        if stop_reason is None and self._options.strict_finish_reason:
            return
        if stop_reason == "malformed_model_output":
            raise self._faults.error(MALFORMED, model=request.model, said="the model wrote what Bedrock cannot read")
        finish = _FINISHES.get(stop_reason or "", "stop")
        yield Answer(
            text="".join(text),
            calls=calls.calls(),
            finish="stop" if finish == "tool" and answering and not calls.calls() else finish,
            usage=usage,
            provider=self.name,
            model=request.model,
            request_id=metadata.get("RequestId"),
        )

    async def _in_thread(self, call: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def _tell_limits(self, headers: Mapping[str, str], model: str) -> None:
        if self._on_limits and (limits := rate_limits(headers, provider=self.name, model=model)):
            self._on_limits(limits)

    def _translated(self, error: Exception, *, begun: bool, model: str) -> PlatformError:
        from botocore.eventstream import ParserError
        from botocore.exceptions import (
            ClientError,
            ConnectTimeoutError,
            EndpointConnectionError,
            NoCredentialsError,
            ParamValidationError,
            PartialCredentialsError,
            ReadTimeoutError,
        )
        from botocore.parsers import ResponseParserError
        from urllib3.exceptions import ReadTimeoutError as SocketTimeoutError

        said = str(error) or type(error).__name__
        if isinstance(error, ClientError):
            return self._of_code(error.response, model=model)
        match error:
            case ReadTimeoutError() | SocketTimeoutError() | ConnectTimeoutError() | TimeoutError():
                fault = TIMEOUT
            case EndpointConnectionError():
                fault = UNREACHABLE
            case NoCredentialsError() | PartialCredentialsError():
                fault = KEY_WRONG
            case ParamValidationError():
                fault = REFUSED
            case ValueError() | ParserError() | ResponseParserError():
                fault = MALFORMED
            case _:
                fault = TRUNCATED if begun else UNAVAILABLE
        return self._faults.error(fault, model=model, said=said)

    def _of_code(self, response: Mapping[str, Any], *, model: str) -> PlatformError:
        told: Mapping[str, Any] = response.get("Error", {})
        metadata: Mapping[str, Any] = response.get("ResponseMetadata", {})
        headers: Mapping[str, str] = metadata.get("HTTPHeaders", {})
        code, said = str(told.get("Code", "")), str(told.get("Message", ""))
        self._tell_limits(headers, model)
        fault = _FAULTS.get(code[:1].upper() + code[1:])
        if fault is None or fault is REFUSED:
            status = int(metadata.get("HTTPStatusCode", 500)) if fault is None else 400
            fault = fault_of_status(int(code) if code.isdigit() else status, said)
            if fault is REFUSED and any(words in said for words in _UNKNOWN_MODEL):
                fault = MODEL_UNKNOWN
        return self._faults.error(
            fault,
            model=model,
            said=said or code,
            retry_after=retry_after(headers),
            request_id=metadata.get("RequestId"),
        )


def _client(options: ProviderOptions, *, name: str) -> Any:
    import boto3
    import botocore.session
    from botocore.config import Config

    if options.region is None:
        raise InvalidInputError(f"The provider {name!r} needs a region.", code="region_missing")
    if options.base_url and options.egress is not None:
        # boto3 connects by itself: the address cannot be pinned, so only the operator may set it.
        check_url(options.base_url, options.egress)
        raise InvalidInputError(
            f"The address of {name!r} is the operator's; choose a region instead.", code="base_url_invalid"
        )
    secret = options.api_key.get_secret_value() if options.api_key else None
    if (options.access_key_id is None) != (secret is None):
        raise InvalidInputError(
            f"The provider {name!r} needs both access_key_id and api_key (the secret access key), or neither.",
            code="provider_key_missing",
        )
    core = botocore.session.Session()
    core.register_component("data_loader", _definitions())
    session = boto3.session.Session(
        botocore_session=core,
        aws_access_key_id=options.access_key_id,
        aws_secret_access_key=secret,
        aws_session_token=options.session_token.get_secret_value() if options.session_token else None,
        region_name=options.region,
    )
    return session.client(
        "bedrock-runtime",
        endpoint_url=options.base_url,
        config=Config(
            connect_timeout=options.timeouts.connect,
            read_timeout=options.timeouts.idle,
            retries={"mode": "standard", "total_max_attempts": 1},
            max_pool_connections=_CALLS,
        ),
    )


@cache
def _definitions() -> Loader:
    """AWS' descriptions of its services, read once a process: half a second of work for each client otherwise."""
    from botocore.loaders import create_loader

    return create_loader()


def _parameters(request: ChatRequest, *, native: bool) -> dict[str, Any]:
    out: dict[str, Any] = {"modelId": request.model, "messages": _turns(request.messages)}
    system = [{"text": message.text} for message in request.messages if message.role == "system" and message.text]
    if system:
        out["system"] = system
    limits = {
        "maxTokens": request.max_output_tokens,
        "temperature": request.temperature,
        "topP": request.top_p,
        "stopSequences": list(request.stop) or None,
    }
    inference = {key: value for key, value in limits.items() if value is not None}
    if inference:
        out["inferenceConfig"] = inference
    tools = [
        {"toolSpec": {"name": tool.name, "description": tool.description, "inputSchema": {"json": tool.parameters}}}
        for tool in request.tools
    ]
    in_use = any(message.calls or message.role == "tool" for message in request.messages)
    if request.tool_choice == "none" and not in_use:
        tools = []
    choice: dict[str, Any] = {"any": {}} if request.tool_choice == "required" else {"auto": {}}
    if request.output and native:
        out["outputConfig"] = {"textFormat": _native_format(request.output)}
    elif request.output:
        choice = {"any": {}} if tools else {"tool": {"name": request.output.name}}
        tools.append(
            {
                "toolSpec": {
                    "name": request.output.name,
                    "description": "Give the final answer.",
                    "inputSchema": {"json": request.output.json_schema},
                }
            }
        )
    if tools:
        out["toolConfig"] = {"tools": tools, "toolChoice": choice}
    return out


def _native_format(output: OutputSchema) -> dict[str, Any]:
    schema = orjson.dumps(closed(output.json_schema)).decode()
    return {"type": "json_schema", "structure": {"jsonSchema": {"name": output.name, "schema": schema}}}


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
        {
            "image": {
                "format": image.media_type.removeprefix("image/"),
                "source": {"bytes": base64.b64decode(image.data)},
            }
        }
        for image in message.images
    ]
    if message.text or (message.role == "tool" and not blocks):
        blocks.append({"text": message.text})
    if message.role == "tool":
        return [{"toolResult": {"toolUseId": message.call_id or "", "content": blocks}}]
    return blocks + [
        {"toolUse": {"toolUseId": call.id, "name": call.name, "input": arguments_for_history(call)}}
        for call in message.calls
    ]


def _pieces(
    block: dict[str, Any], calls: CallBuffer, answering: set[int]
) -> Iterator[TextDelta | ReasoningDelta | ToolCallDelta]:
    delta, index = block["delta"], block["contentBlockIndex"]
    if "text" in delta:
        yield TextDelta(text=delta["text"])
    elif "toolUse" in delta:
        written = delta["toolUse"]["input"]
        yield TextDelta(text=written) if index in answering else calls.add(index, arguments=written)
    elif thought := delta.get("reasoningContent", {}).get("text"):
        yield ReasoningDelta(text=thought)


def _usage(counts: Mapping[str, int]) -> Usage:
    read, written = counts.get("cacheReadInputTokens", 0), counts.get("cacheWriteInputTokens", 0)
    return Usage(
        input=counts["inputTokens"] + read + written,
        output=counts["outputTokens"],
        cache_read=read,
        cache_write=written,
    )


def _hang_up(stream: EventStream) -> None:
    """End the stream; a thread that waits for its next event wakes up."""
    raw: Any = stream._raw_stream  # noqa: SLF001  # the only way to the socket that the waiting thread reads
    shutdown = getattr(raw, "shutdown", None)
    if shutdown is not None:
        with suppress(OSError, RuntimeError, ValueError):  # already closed
            shutdown()
    stream.close()
