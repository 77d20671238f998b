"""A process full of WebSocket clients that cost next to nothing, so that what is measured is the server.

Speaks just as much of RFC 6455 as it takes: unmasked texts come in, texts masked with zeros go out. Asked by the benchmark over
standard input, one JSON a line.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from typing import Any, cast

import orjson
import uvloop

_PATIENCE = 120.0
_HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Client(asyncio.Protocol):
    """One socket. Notes the position and the delay of each message on a topic."""

    def __init__(self, owner: Clients, number: int) -> None:
        self.owner = owner
        self.number = number
        self.buffer = b""
        self.open = False
        self.transport: asyncio.Transport | None = None
        self.position = 0
        self.repeated = 0
        self.count = 0
        self.subscribed: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's own, which is no subclass
        path = f"/ws?token=bench/u{self.number}/viewer"
        self.transport.write(_HANDSHAKE.format(path=path).encode())

    def say(self, frame: dict[str, Any]) -> None:
        body = orjson.dumps(frame)
        size = len(body)
        head = bytes([0x81, 0x80 | size]) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
        assert self.transport is not None
        self.transport.write(head + b"\0\0\0\0" + body)

    def data_received(self, data: bytes) -> None:
        data = self.buffer + data
        if not self.open:
            head, found, data = data.partition(b"\r\n\r\n")
            if not found:
                self.buffer = head
                return
            if b" 101 " not in head[:20]:
                self.fail(head[:60].decode())
                return
            self.open = True
            self.say({"type": "Subscribe", "data": self.owner.wanted(self)})
        while len(data) >= 2:
            size, start = data[1], 2
            if size == 126:
                size, start = int.from_bytes(data[2:4], "big"), 4
            if len(data) < start + size:
                break
            if data[0] == 0x81:
                self.take(data[start : start + size])
            elif data[0] == 0x89:
                self.transport.write(b"\x8a" + bytes([0x80 | size]) + b"\0\0\0\0" + data[start : start + size])  # type: ignore[union-attr]  # it is open
            data = data[start + size :]
        self.buffer = data

    def take(self, text: bytes) -> None:
        frame = orjson.loads(text)
        if frame["type"] == "Broadcast":
            position = frame["data"]["position"]
            self.repeated += position <= self.position
            self.position = position
            self.count += 1
            self.owner.heard(time.time() - frame["data"]["payload"]["t"])
        elif frame["type"] == "Status" and frame["data"]["status"] == "subscribed" and self.subscribed is not None:
            self.subscribed.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self.fail(f"closed: {error}")

    def fail(self, reason: str) -> None:
        self.owner.lost += 1
        if self.subscribed is not None and not self.subscribed.done():
            self.subscribed.set_exception(ConnectionError(reason))


class Clients:
    """All sockets of this process."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.topics = 0
        self.delays: list[float] = []
        self.expected = 0
        self.done = asyncio.Event()
        self.lost = 0

    def wanted(self, client: Client) -> dict[str, Any]:
        topics = ["all", f"topic.{client.number % self.topics}"]
        return {"topics": topics, "after": client.position} if client.position else {"topics": topics}

    def heard(self, delay: float) -> None:
        self.delays.append(delay)
        if len(self.delays) >= self.expected:
            self.done.set()

    async def open(self, *, port: int, first: int, count: int, topics: int, at_once: int = 100) -> dict[str, Any]:
        """Open sockets; those that are known come back after the last position that they saw."""
        self.topics = topics
        known = self.clients or [Client(self, number) for number in range(first, first + count)]
        self.clients = known
        gate = asyncio.Semaphore(at_once)
        loop = asyncio.get_running_loop()

        async def connect(client: Client) -> None:
            async with gate:
                client.open, client.buffer = False, b""
                client.subscribed = loop.create_future()
                await loop.create_connection(lambda: client, "127.0.0.1", port)
                await client.subscribed

        began = time.perf_counter()
        async with asyncio.timeout(_PATIENCE):
            await asyncio.gather(*map(connect, known))
        self.lost = 0
        return {"seconds": time.perf_counter() - began, "opened": len(known)}

    async def expect(self, *, messages: int) -> dict[str, Any]:
        """From now on so many messages are to come, all sockets together."""
        self.delays, self.expected = [], messages
        self.done.clear()
        return {}

    async def wait(self) -> dict[str, Any]:
        """Until all have come; milliseconds that they took."""
        if self.expected:
            try:
                async with asyncio.timeout(_PATIENCE):
                    await self.done.wait()
            except TimeoutError:
                pass
        await asyncio.sleep(0.2)  # would there be more of them?
        delays = sorted(self.delays)
        return {
            "came": len(delays),
            "delays": [round(delay * 1000, 2) for delay in delays[:: max(1, len(delays) // 2000)]],
            "last": round(delays[-1] * 1000, 2) if delays else 0,
            "repeated": sum(client.repeated for client in self.clients),
            "lost": self.lost,
        }


async def main() -> None:
    """Answer requests until there are no more."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    clients, loop = Clients(), asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        request = json.loads(line)
        answer = await getattr(clients, request.pop("do"))(**request)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(main())
