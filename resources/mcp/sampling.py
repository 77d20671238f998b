"""A server wants a model's answer while one of its tools is called (`sampling/createMessage`).

The model that its configuration names is asked, in the name of who called the tool: on the same budgets, in the same books, with
the same memo. In the newer era of the protocol the question comes within the call. In the older one it comes by itself; when
several calls are under way on the connection, nobody can tell which it belongs to, and it is booked on what they have in common.
Between calls nobody is asked.

The reason of a refusal is told by its code alone: what a budget has left is nothing that another's server has to know.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast, get_args

from mcp.types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    CreateMessageResult,
    ErrorData,
    ImageContent,
    TextContent,
)
from pydantic import ValidationError

from resources.ai.errand import Errand, current
from resources.ai.model import CallContext, ChatRequest, Image, Message
from resources.ai.providers.offline import MODEL as OFFLINE_MODEL
from resources.errors import InvalidInputError, LimitExceededError, NotPermittedError, PlatformError
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mcp.types import CreateMessageRequestParams, SamplingMessage

    from resources.ai.call import CallOptions
    from resources.ai.memo.model import MemoMode
    from resources.mcp.model import SamplingConfig

_REFUSED: Final = -1
"""What the protocol's own example says when a person refuses."""
_STOPPED: Final = {"stop": "endTurn", "length": "maxTokens"}
_MEDIA_TYPES: Final = get_args(Image.model_fields["media_type"].annotation)
_MOST_STOPS: Final = 16

log = get_logger(__name__)


class Sampling:
    """Of one connection: the calls that are under way on it, and what is answered when the server asks."""

    def __init__(self, server: str, config: SamplingConfig) -> None:
        self._server = server
        self._config = config
        self._under_way: list[Errand] = []

    @contextmanager
    def during(self) -> Iterator[None]:
        """A call of a tool."""
        errand = current()
        if errand is None:
            yield
            return
        self._under_way.append(errand)
        try:
            yield
        finally:
            self._under_way = [one for one in self._under_way if one is not errand]

    async def __call__(self, _context: Any, params: CreateMessageRequestParams) -> CreateMessageResult | ErrorData:
        """The callback of the SDK's client."""
        errands = [errand] if (errand := current()) is not None else list(self._under_way)
        if not errands:
            return ErrorData(code=INVALID_REQUEST, message="A model is asked only while a tool is called.")
        context, options = shared(errands)
        try:
            request = self._request(params)
            result = await errands[0].calls.complete(request, context, options)
        except InvalidInputError as error:
            return ErrorData(code=INVALID_PARAMS, message=error.message)
        except PlatformError as error:
            log.warning("mcp.sampling_failed", server=self._server, code=error.code, reason=error.message)
            refused = isinstance(error, NotPermittedError | LimitExceededError)
            return ErrorData(code=_REFUSED if refused else INTERNAL_ERROR, message=f"No answer: {error.code}.")
        for one in errands:
            one.note(result)
        answer = result.answer
        return CreateMessageResult(
            role="assistant",
            content=TextContent(type="text", text=answer.text),
            model=answer.model,
            stop_reason=_STOPPED.get(answer.finish, answer.finish),
        )

    def _request(self, params: CreateMessageRequestParams) -> ChatRequest:
        """Raises InvalidInputError for what is not offered."""
        if params.tools or params.tool_choice is not None:
            raise InvalidInputError("Tools are not offered to servers that ask for a model (`sampling.tools`).")
        messages = [_message(one) for one in params.messages]
        if params.system_prompt:
            messages.insert(0, Message(role="system", text=params.system_prompt))
        try:
            return ChatRequest(
                provider=self._config.provider,
                model=self._config.model or OFFLINE_MODEL,
                messages=tuple(messages),
                max_output_tokens=min(params.max_tokens, self._config.max_tokens),
                temperature=params.temperature,
                stop=tuple(params.stop_sequences or ())[:_MOST_STOPS],
            )
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise InvalidInputError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from error


def _message(said: SamplingMessage) -> Message:
    texts: list[str] = []
    images: list[Image] = []
    for part in said.content_as_list:
        match part:
            case TextContent():
                texts.append(part.text)
            case ImageContent() if part.mime_type in _MEDIA_TYPES:
                images.append(Image(media_type=cast("Any", part.mime_type), data=part.data))
            case _:
                raise InvalidInputError(f"A model is not asked with content of the type {part.type!r}.")
    return Message(role=said.role, text="\n".join(texts), images=tuple(images))


def shared(errands: Sequence[Errand]) -> tuple[CallContext, CallOptions]:
    """What calls have in common."""
    first = errands[0]
    fields = CallContext.model_fields
    same = {
        name: getattr(first.context, name)
        for name in fields
        if len({getattr(one.context, name) for one in errands}) == 1
    }
    modes: set[MemoMode] = {one.options.memo for one in errands}
    memo: MemoMode = "replay_only" if "replay_only" in modes else first.options.memo if len(modes) == 1 else "off"
    return CallContext(**same), replace(first.options, memo=memo)
