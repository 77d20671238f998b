"""Several processes on one database, one of them killed: its clients go on at the other, and miss and repeat nothing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from resources.realtime.model import NewMessage
from resources.realtime.postgres import PostgresMessages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.database.postgres import Database

ROOT = Path(__file__).parents[3]
SOCKETS = 40
MESSAGES = 600


@contextmanager
def process(url: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process that serves sockets, and its address."""
    command = [sys.executable, "-m", "tests.benchmarks.ws_server", url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            while (told := json.loads(server.stdout.readline()))["event"] != "api.listening":
                pass
            yield server, told["url"].replace("http", "ws", 1) + "/ws"
        finally:
            server.kill()


class Reader:
    """A client as it should be: it comes back wherever it can, and goes on after the last position that it saw."""

    def __init__(self, user: str, tenant: str, addresses: list[str]) -> None:
        self.user = user
        self.tenant = tenant
        self.addresses = addresses
        self.seen: list[int] = []
        self.position = 0
        self.ready = asyncio.Event()

    async def read(self) -> None:
        while len(self.seen) < MESSAGES:
            for address in self.addresses:
                try:
                    await self._read(f"{address}?token={self.tenant}/{self.user}/viewer")
                except (ConnectionClosed, InvalidHandshake, OSError, EOFError):
                    continue

    async def _read(self, url: str) -> None:
        async with connect(url, compression=None, proxy=None, close_timeout=1) as socket:
            await socket.send(
                json.dumps({"type": "Subscribe", "data": {"topics": ["ticks.*"], "after": self.position}})
            )
            while len(self.seen) < MESSAGES:
                frame: dict[str, Any] = json.loads(await socket.recv())
                if frame["type"] == "Broadcast":
                    self.seen.append(frame["data"]["payload"])
                    self.position = frame["data"]["position"]
                elif frame["type"] == "Status" and frame["data"]["status"] == "subscribed":
                    self.ready.set()


async def test_clients_of_a_killed_process_go_on_at_another(database: Database, database_url: str, tenant: str) -> None:
    with (
        process(database_url) as (doomed, first),
        process(database_url) as (_, second),
        closing(PostgresMessages(database)) as messages,
    ):
        readers = [Reader(f"u{number}", tenant, [first, second]) for number in range(SOCKETS // 2)]
        readers += [Reader(f"v{number}", tenant, [second, first]) for number in range(SOCKETS // 2)]
        async with asyncio.timeout(90), asyncio.TaskGroup() as group:
            for reader in readers:
                group.create_task(reader.read())
            for reader in readers:
                await reader.ready.wait()
            for number in range(MESSAGES):
                if number == MESSAGES // 2:
                    doomed.kill()
                new = NewMessage(topic=f"ticks.{number % 3}", content=number)
                await asyncio.to_thread(messages.publish, [new], tenant=tenant)
    assert Counter(tuple(reader.seen) for reader in readers) == {tuple(range(MESSAGES)): SOCKETS}
