"""The server's side of the WebSocket protocol: uvicorn's, with what it lacks.

Its log of handshakes holds the whole address, and with it the token; so it is silenced (`request.finished` is ours). A
connection that nobody reads is cut off when its task has ended, instead of waiting for a buffer that never empties. An
application may bound what it is sent (the extension `aiw.message_limit`), so that the excess is never gathered. And who ends
the conversation in the middle of a message is answered as it said, as Autobahn's testsuite wants it (7.1.5).
"""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Opcode
from websockets.server import ServerProtocol

if TYPE_CHECKING:
    from asyncio.transports import BaseTransport
    from typing import Any

    from websockets.frames import Frame
    from websockets.http11 import Request

MESSAGE_LIMIT = "aiw.message_limit"
"""An extension of the scope: a function that is called with the largest number of bytes of a message."""

_LOGGER = logging.getLogger("api.websocket")
_LOGGER.setLevel(logging.WARNING)
_LOGGER.addFilter(lambda record: "Invalid UTF-8" not in record.msg)  # a page of traceback for what any client may send
_SILENT_MILLISECONDS = 60_000


class _Conversation(ServerProtocol):
    def recv_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.CLOSE:
            self.current_size = None  # of a message that stays unfinished
        super().recv_frame(frame)


class SocketProtocol(WebSocketsSansIOProtocol):
    """For `uvicorn.Config(ws=...)`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.logger = _LOGGER
        self.conn = _Conversation(
            extensions=self.conn.available_extensions, max_size=self.config.ws_max_size, logger=_LOGGER
        )

    def connection_made(self, transport: BaseTransport) -> None:
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            # A peer that has vanished is given up, even while it is being written to.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENT_MILLISECONDS)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            extensions: dict[str, Any] = self.scope["extensions"]
            extensions[MESSAGE_LIMIT] = self._limit

    def _limit(self, most: int) -> None:
        self.conn.max_message_size = most

    async def run_asgi(self) -> None:
        await super().run_asgi()
        if not self.writable.is_set():
            self.transport.abort()
