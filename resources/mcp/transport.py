"""MCP over any pipe that carries whole texts, such as a WebSocket: one JSON-RPC message a text, either way.

The SDK speaks to a transport through a pair of streams; `duplex` makes such a pair of two functions. Both ends use it, so what
one encodes the other decodes. WebSockets are an extension of ours: MCP itself knows stdio and streamable HTTP.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCMessage
from pydantic import TypeAdapter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from typing import Any, TypeAlias

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    Streams: TypeAlias = tuple[
        MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]
    ]

SUBPROTOCOL = "mcp"
"""What both ends of a WebSocket call it."""

_MESSAGE: TypeAdapter[Any] = TypeAdapter(JSONRPCMessage)
_BUFFER = 32


def encode(message: SessionMessage) -> str:
    """The message as one text."""
    text: str = message.message.model_dump_json(by_alias=True, exclude_unset=True)
    return text


def decode(message: object) -> SessionMessage:
    """A message of decoded JSON. Raises ValueError when it is none of JSON-RPC."""
    return SessionMessage(_MESSAGE.validate_python(message, by_name=False))


@asynccontextmanager
async def duplex(
    receive: Callable[[], Awaitable[SessionMessage | Exception | None]],
    send: Callable[[SessionMessage], Awaitable[None]],
) -> AsyncIterator[Streams]:
    """The two streams of a connection. `receive` gives None when the other end is gone, `send` raises ConnectionError then.

    An exception that is received is handed on, for the SDK to ignore or to report.
    """
    to_sdk, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](_BUFFER)
    outgoing, from_sdk = anyio.create_memory_object_stream[SessionMessage](_BUFFER)

    async def read() -> None:
        async with to_sdk:
            try:
                while (message := await receive()) is not None:
                    await to_sdk.send(message)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return  # the SDK listens no more

    async def write() -> None:
        async with from_sdk:
            try:
                async for message in from_sdk:
                    await send(message)
            except ConnectionError:
                return  # the reader hears of it too

    async with incoming, outgoing, anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        tasks.start_soon(write)
        try:
            yield incoming, outgoing
        finally:
            tasks.cancel_scope.cancel()
