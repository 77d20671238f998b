"""The client's end of MCP over WebSocket: a transport that the SDK's `Client` takes as it is."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from resources.ai.egress import checked_address
from resources.errors import PlatformError
from resources.mcp.limits import checked
from resources.mcp.transport import SUBPROTOCOL, decode, duplex, encode

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from mcp.shared.message import SessionMessage

    from resources.ai.egress import EgressPolicy
    from resources.mcp.transport import Streams

MAX_FRAME = 4 * 1024 * 1024
"""Answers may be larger than what is asked."""


@asynccontextmanager
async def websocket_client(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    heartbeat: float = 30.0,
    patience: float = 5.0,
    limit: int = MAX_FRAME,
    policy: EgressPolicy | None = None,
    lost: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[Streams]:
    """A connection to `url` (ws or wss): `async with Client(websocket_client(url)) as client`.

    Pings every `heartbeat` seconds; one that is not answered within `patience` ends the connection, and so does a message of more
    than `limit` bytes; `lost` is told why. With a `policy` it connects to the very address that was checked, and is
    not led elsewhere.
    """
    async with connect(
        url,
        subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]  # their NewType of str
        additional_headers=dict(headers or {}),
        compression=None,
        max_size=limit,
        ping_interval=heartbeat,
        ping_timeout=patience,
        proxy=None,
        **await _pinned(url, policy),
    ) as socket:

        async def receive() -> SessionMessage | Exception | None:
            try:
                text = await socket.recv()
            except ConnectionClosed as error:
                lost(f"the connection was closed: {error}")
                return None
            try:
                return decode(checked(text, limit=limit))
            except (PlatformError, ValueError) as error:
                return error

        async def send(message: SessionMessage) -> None:
            try:
                await socket.send(encode(message))
            except ConnectionClosed as error:
                raise ConnectionResetError(f"The server at {url!r} has closed the connection.") from error

        async with duplex(receive, send) as streams:
            yield streams


async def _pinned(url: str, policy: EgressPolicy | None) -> dict[str, Any]:
    if policy is None:
        return {}
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    return {"host": await checked_address(parts.hostname or "", port, policy), "port": port}
