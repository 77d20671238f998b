"""A live API on a real socket, in a thread of the test process."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from api.listening import bind
from api.server import Server

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from starlette.types import ASGIApp


class _ReadyServer(Server):
    """Says when it serves."""

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        super().__init__(app, listener)
        self.ready = threading.Event()

    def announce(self) -> None:
        self.ready.set()


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serve `app` on a port of the kernel's choice for the length of the block; gives the address."""
    server = _ReadyServer(app, bind("127.0.0.1", 0))
    thread = threading.Thread(target=server.serve_forever, name="api-under-test")
    thread.start()
    try:
        assert server.ready.wait(20), "the API did not start"
        yield server.url
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the API did not stop"
