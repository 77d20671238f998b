"""The server's side of the WebSocket protocol: uvicorn's, with what it lacks.

Its log of handshakes holds the whole address, and with it the token; so it is silenced (`request.finished` is ours). And a
connection that nobody reads is cut off when its task has ended, instead of waiting for a buffer that never empties.
"""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from asyncio.transports import BaseTransport
    from typing import Any

_LOGGER = logging.getLogger("api.websocket")
_LOGGER.setLevel(logging.WARNING)
_SILENT_MILLISECONDS = 60_000


class SocketProtocol(WebSocketsSansIOProtocol):
    """For `uvicorn.Config(ws=...)`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.logger = _LOGGER
        self.conn.logger = _LOGGER

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            # A peer that has vanished is given up, even while it is being written to.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENT_MILLISECONDS)

    async def run_asgi(self) -> None:
        await super().run_asgi()
        if not self.writable.is_set():
            self.transport.abort()
