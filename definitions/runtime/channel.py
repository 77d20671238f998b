"""Messages between the processes of a pool: JSON objects, one a line, over a Unix socket."""

from __future__ import annotations

import json
import socket
from typing import Any

Message = dict[str, Any]


class Channel:
    """One end of a socket pair. Sending to, and reading from, a peer that is gone is not an error: `closed` says so."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._buffer = b""
        self.closed = False

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, **message: Any) -> bool:
        """False when the peer is gone."""
        return self._send(json.dumps(message).encode() + b"\n")

    def send_socket(self, sock: socket.socket) -> bool:
        """Hand a socket to the peer, which gets it with `receive_socket`. False when the peer is gone."""
        try:
            socket.send_fds(self._socket, [b"+"], [sock.fileno()])
        except OSError:
            self.closed = True
        return not self.closed

    def receive_socket(self) -> socket.socket | None:
        """Wait for a socket from the peer; None when the peer is gone."""
        try:
            payload, descriptors, _, _ = socket.recv_fds(self._socket, 1, 1)
        except OSError:
            payload, descriptors = b"", []
        if not payload or not descriptors:
            self.closed = True
            return None
        return socket.socket(fileno=descriptors[0])

    def receive(self) -> list[Message]:
        """Wait until something arrives; all complete messages so far. Empty when the peer is gone or a line is unfinished."""
        try:
            chunk = self._socket.recv(65536)
        except OSError:
            chunk = b""
        if not chunk:
            self.closed = True
            return []
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        self.closed = True
        self._socket.close()

    def _send(self, line: bytes) -> bool:
        try:
            self._socket.sendall(line)
        except OSError:
            self.closed = True
        return not self.closed


def pair() -> tuple[Channel, socket.socket]:
    """A channel and the socket of its other end."""
    ours, theirs = socket.socketpair()
    return Channel(ours), theirs
