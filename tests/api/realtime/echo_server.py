"""Says again what is said to it, behind the server and the protocol of `/ws`: what Autobahn's testsuite judges.

    python -m tests.api.realtime.echo_server [PORT]

Prints one JSON line with its address.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from api.listening import bind
from api.server import Server

if TYPE_CHECKING:
    import socket

    from starlette.types import Receive, Scope, Send

LARGEST = 32 * 1024 * 1024
"""Autobahn sends 16 MiB at once; the limit of the server itself is tested with other tests."""


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application."""
    if scope["type"] == "lifespan":
        for answer in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{answer}.complete"})
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        said = {"text": event["text"]} if event.get("text") is not None else {"bytes": event["bytes"]}
        await send({"type": "websocket.send", **said})


def echoing(listener: socket.socket) -> Server:
    """The platform's server with the echo instead of the platform."""
    server = Server(echo, listener)
    server.config.ws_max_size = LARGEST
    return server


if __name__ == "__main__":
    echoing(bind("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 0)).serve_forever()
