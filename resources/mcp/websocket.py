"""The client's end of MCP over WebSocket: a transport that the SDK's `Client` takes as it is."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from resources.errors import PlatformError
from resources.mcp.limits import checked
from resources.mcp.transport import SUBPROTOCOL, decode, duplex, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from mcp.shared.message import SessionMessage

    from resources.mcp.transport import Streams

MAX_FRAME = 4 * 1024 * 1024
"""Answers may be larger than what is asked."""


@asynccontextmanager
async def websocket_client(
    url: str, *, headers: Mapping[str, str] | None = None, heartbeat: float = 30.0, patience: float = 5.0
) -> AsyncIterator[Streams]:
    """A connection to `url` (ws or wss): `async with Client(websocket_client(url)) as client`.

    Pings every `heartbeat` seconds; one that is not answered within `patience` ends the connection.
    """
    async with connect(
        url,
        subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]  # their NewType of str
        additional_headers=dict(headers or {}),
        compression=None,
        max_size=MAX_FRAME,
        ping_interval=heartbeat,
        ping_timeout=patience,
        proxy=None,
    ) as socket:

        async def receive() -> SessionMessage | Exception | None:
            try:
                text = await socket.recv()
            except ConnectionClosed:
                return None
            try:
                return decode(checked(text, limit=MAX_FRAME))
            except (PlatformError, ValueError) as error:
                return error

        async def send(message: SessionMessage) -> None:
            try:
                await socket.send(encode(message))
            except ConnectionClosed as error:
                raise ConnectionResetError(f"The server at {url!r} has closed the connection.") from error

        async with duplex(receive, send) as streams:
            yield streams
