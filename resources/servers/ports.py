"""Free loopback ports, chosen by the kernel.

A fixed port is how a test once wrote into another project's database: never one here. A port that was free a moment ago can
be taken before the server binds it, so whoever starts a server on it also checks that the server which answers is its own.
"""

from __future__ import annotations

import socket
from contextlib import ExitStack, closing

LOOPBACK = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """`count` different ports of the loopback address that nothing listens on."""
    with ExitStack() as sockets:
        bound = [sockets.enter_context(closing(socket.socket())) for _ in range(count)]
        for one in bound:
            one.bind((LOOPBACK, 0))
        return [one.getsockname()[1] for one in bound]


def free_port(preferred: int | None = None) -> int:
    """`preferred` if nothing listens on it (so that an address survives a restart), else one that the kernel chooses."""
    if preferred and is_free(preferred):
        return preferred
    return free_ports(1)[0]


def is_free(port: int) -> bool:
    """Whether a server could bind `port` of the loopback address now."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def accepts_connections(port: int, *, timeout: float = 1.0) -> bool:
    """Whether something listens on `port` of the loopback address."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=timeout):
            return True
    except OSError:
        return False
