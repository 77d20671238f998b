"""Which library speaks WebSocket: what an echo and a message to all cost a server, and what a socket weighs, side by side.

The clients are the same bare ones for each, in this process. What is compared is CPU seconds of the server's process, which a
busy machine changes least; servers take turns, so that what changes hits all.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

from tests.benchmarks import harness
from tests.benchmarks.harness import PEERS, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.benchmarks.harness import Report

PEER = "sockets"
KINDS = ("ours", "uvicorn", "wsproto", "picows")
_HELD = 1000
_SOCKETS = 200
_TEXT = b"x" * 300
_HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
_PATIENCE = 120.0


def compare(report: Report, *, quick: bool) -> None:
    """Add the figures of each library to the report: ours, and its peers'."""
    python = harness.peer_python(PEER)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    for _ in range(3 if quick else 5):
        for kind in KINDS:
            with _serving(python, kind) as (port, process):
                figures = asyncio.run(_measure(port, process, messages=20 if quick else 100))
            report.add(figures, peer=None if kind == "ours" else kind)


@contextmanager
def _serving(python: Path, kind: str) -> Iterator[tuple[int, psutil.Process]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        descriptor = listener.fileno()
        program = str(PEERS / PEER / "run.py") if kind != "ours" else "-mtests.benchmarks.peers.sockets.run"
        command = [sys.executable if kind == "ours" else str(python), program, kind, str(descriptor)]
        server = subprocess.Popen(command, cwd=ROOT, pass_fds=[descriptor], stdout=subprocess.PIPE)
        try:
            assert server.stdout is not None
            server.stdout.readline()
            yield listener.getsockname()[1], psutil.Process(server.pid)
        finally:
            server.terminate()
            server.wait(30)
            assert server.stdout is not None
            server.stdout.close()


async def _measure(port: int, process: psutil.Process, *, messages: int) -> dict[str, float]:
    def cpu() -> float:
        return sum(process.cpu_times()[:2])

    async with asyncio.timeout(_PATIENCE):
        first = await _Client.open(port)
        await first.say(b"warm")
        empty = process.memory_info().rss
        clients = [first]
        while len(clients) < _HELD:
            clients += await asyncio.gather(*(_Client.open(port) for _ in range(100)))
        weight = (process.memory_info().rss - empty) / 1024 / len(clients)
        for client in clients[_SOCKETS:]:
            client.close()
        del clients[_SOCKETS:]
        for client in clients:  # and the server has seen that the others are gone
            await client.say(b"still there")

        began = cpu()
        await asyncio.gather(*(client.echo(messages) for client in clients))
        echo = (cpu() - began) / (messages * _SOCKETS)

        began = cpu()
        for _ in range(messages):
            await first.say(b"!" + _TEXT, wait=False)
            await asyncio.gather(*(client.hear() for client in clients))
        told = (cpu() - began) / (messages * _SOCKETS)
        for client in clients:
            client.close()
    return {"echo_cpu_us": echo * 1e6, "to_all_cpu_us": told * 1e6, "kb_per_idle_socket": weight}


class _Client:
    """Texts of up to 65,535 bytes, masked with zeros."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> _Client:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(_HANDSHAKE)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in answer[:20], answer
        return cls(reader, writer)

    async def say(self, text: bytes, *, wait: bool = True) -> None:
        size = len(text)
        head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
        self._writer.write(head + b"\0\0\0\0" + text)
        if wait:
            await self.hear()

    async def hear(self) -> None:
        head = await self._reader.readexactly(2)
        size = head[1] if head[1] < 126 else int.from_bytes(await self._reader.readexactly(2), "big")
        await self._reader.readexactly(size)

    async def echo(self, messages: int) -> None:
        for _ in range(messages):
            await self.say(_TEXT)

    def close(self) -> None:
        self._writer.transport.abort()
