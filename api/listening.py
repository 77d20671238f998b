"""Where the API listens, and the sockets of the processes that serve it on one port.

The kernel spreads connections evenly over their sockets (SO_REUSEPORT; of one socket for all, whoever wakes first would take most
of them). The sockets are the supervisor's: while a process is being replaced, what connects to it waits, and is not refused.
"""

from __future__ import annotations

import ipaddress
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import psutil

from resources.errors import InvalidInputError, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

BACKLOG = 2048
_CLOCKS_DIFFER = 0.5


def bind_all(host: str, port: int, count: int, *, remote: bool = False) -> tuple[socket.socket, ...]:
    """So many listening sockets on one port. Raises as `bind` does."""
    with closing(bind(host, port, remote=remote)) as probe:  # a shared port would be shared with whoever has it, too
        port = probe.getsockname()[1]
    return tuple(bind(host, port, remote=remote, shared=True) for _ in range(count))


def bind(host: str, port: int, *, remote: bool = False, shared: bool = False) -> socket.socket:
    """A listening socket. Raises UnavailableError when the port is taken.

    Without `remote` raises InvalidInputError when `host` is not loopback. `shared` ones may have the same port.
    """
    family, address = _remote_address(host, port) if remote else _loopback_address(host, port)
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        message = f"Cannot listen on {host!r}, port {port}: {error.strerror}. Choose another with AIW_API__PORT, or 0."
        raise UnavailableError(message, dependency="network", code="port_unavailable") from error
    listener.set_inheritable(False)
    return listener


def inherit(descriptor: int, *, remote: bool = False) -> socket.socket:
    """A listening socket that another process has opened. Raises as `bind` does."""
    listener = socket.socket(fileno=descriptor)
    if not remote:
        _loopback_address(*listener.getsockname()[:2])
    return listener


def has_told_its_port(port_file: Path, pid: int | None) -> bool:
    """Whether the process, and not a former one, has written there that it serves."""
    try:
        written = port_file.stat().st_mtime
        return pid is not None and written > psutil.Process(pid).create_time() - _CLOCKS_DIFFER
    except (OSError, psutil.Error):
        return False


def _remote_address(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        message = f"{host!r} is no address of this machine. Set AIW_API__HOST or --host to one."
        raise InvalidInputError(message, code="host_unknown") from error
    family, _, _, _, address = found[0]
    return family, (str(address[0]), port)


def _loopback_address(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int]]:
    literal = "127.0.0.1" if host == "localhost" else host
    try:
        address = ipaddress.ip_address(literal)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise InvalidInputError(
            f"Refusing to listen on {host!r}: with AIW_AUTH__MODE=local nobody has to log in, so only loopback addresses "
            "(127.0.0.1, ::1, localhost) are allowed. Set the mode to `required` for any other.",
            code="host_not_loopback",
        )
    return socket.AF_INET6 if address.version == 6 else socket.AF_INET, (literal, port)  # noqa: PLR2004 - IPv6
