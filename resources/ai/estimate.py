"""How many tokens a request has, before anybody has counted them.

`most` is a bound, for reservations: no tokenizer makes more tokens than the text has bytes, and what vendors wrap around a
message, a tool or an image is allowed for. `about` is a guess, for rate limits, where the provider's count soon corrects it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson

from resources.ai.model import EmbedRequest, Usage

if TYPE_CHECKING:
    from resources.ai.model import ChatRequest

_PER_REQUEST: Final = 600  # vendors add a system prompt of their own when there are tools
_PER_MESSAGE: Final = 16
_PER_IMAGE: Final = 6000
_BYTES_PER_TOKEN: Final = 4


def most(request: ChatRequest | EmbedRequest) -> Usage:
    """No request of this kind is billed for more. `max_output_tokens` must be set."""
    content, parts, images = _sizes(request)
    wrapped = content + _PER_MESSAGE * parts + _PER_IMAGE * images
    output = getattr(request, "max_output_tokens", None) or 0
    return Usage(input=wrapped + (_PER_REQUEST if getattr(request, "tools", ()) else _PER_MESSAGE), output=output)


def about(request: ChatRequest | EmbedRequest) -> int:
    """A guess at input and output together."""
    content, parts, images = _sizes(request)
    output = getattr(request, "max_output_tokens", None) or 0
    return content // _BYTES_PER_TOKEN + 4 * parts + _PER_IMAGE // 4 * images + output


def _sizes(request: ChatRequest | EmbedRequest) -> tuple[int, int, int]:
    """Bytes of text, number of wrapped parts, number of images."""
    if isinstance(request, EmbedRequest):
        return sum(len(text.encode()) for text in request.texts), len(request.texts), 0
    content = parts = images = 0
    for message in request.messages:
        content += len(message.text.encode())
        parts += 1 + len(message.calls)
        images += len(message.images)
        for call in message.calls:
            content += len(call.name.encode()) + len(call.raw.encode() or orjson.dumps(call.arguments))
    for tool in request.tools:
        content += len(tool.description.encode()) + len(orjson.dumps(tool.parameters)) + len(tool.name)
        parts += 1
    if request.output is not None:
        content += len(orjson.dumps(request.output.json_schema))
    return content, parts, images
