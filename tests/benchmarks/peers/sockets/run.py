"""A server that echoes texts, and tells all what begins with "!": the same on each library. `python run.py KIND FD`.

Kinds: `uvicorn` and `wsproto` (both with the application below), `picows`; and `ours`, from the platform's own environment.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import uvloop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Send = Callable[[dict[str, Any]], Awaitable[None]]

_senders: set[Send] = set()


async def application(scope: dict[str, Any], receive: Callable[[], Awaitable[dict[str, Any]]], send: Send) -> None:
    """ASGI."""
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    _senders.add(send)
    try:
        while (event := await receive())["type"] == "websocket.receive":
            answer = {"type": "websocket.send", "text": event["text"]}
            for to in tuple(_senders) if event["text"].startswith("!") else (send,):
                await to(answer)
    finally:
        _senders.discard(send)


def serve_asgi(kind: str, listener: socket.socket) -> None:
    """On uvicorn."""
    import uvicorn

    protocols: dict[str, Any] = {"uvicorn": "websockets-sansio", "wsproto": "wsproto"}
    if kind == "ours":
        from api.realtime.protocol import SocketProtocol

        protocols["ours"] = SocketProtocol
    config = uvicorn.Config(
        application,
        loop="uvloop",
        http="h11",
        ws=protocols[kind],
        ws_per_message_deflate=False,
        ws_ping_interval=30.0,
        ws_ping_timeout=60.0,
        lifespan="off",
        access_log=False,
        log_level="critical",
        server_header=False,
    )
    uvicorn.Server(config).run(sockets=[listener])


async def serve_picows(listener: socket.socket) -> None:
    """On picows, which knows no ASGI."""
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

    open_: set[WSTransport] = set()

    class Echo(WSListener):  # type: ignore[misc]  # it has no types here
        def on_ws_connected(self, transport: WSTransport) -> None:
            open_.add(transport)

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.TEXT:
                text = frame.get_payload_as_bytes()
                for to in tuple(open_) if text.startswith(b"!") else (transport,):
                    to.send(WSMsgType.TEXT, text)

        def on_ws_disconnected(self, transport: WSTransport) -> None:
            open_.discard(transport)

    def listener_of(_: WSUpgradeRequest) -> Echo:
        return Echo()

    server = await ws_create_server(listener_of, sock=listener)
    await server.serve_forever()


if __name__ == "__main__":
    kind_, listener_ = sys.argv[1], socket.socket(fileno=int(sys.argv[2]))
    listener_.listen(4096)
    os.write(1, b"ready\n")
    if kind_ == "picows":
        uvloop.run(serve_picows(listener_))
    else:
        serve_asgi(kind_, listener_)
