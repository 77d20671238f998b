"""A tool called over every transport, in both eras, by one caller and by sixteen; beside the bare SDK and fastmcp.

    python -m tests.benchmarks.mcp [--quick] [--json FILE]

The caller is the SDK's client, the same for all. `<transport>_<era>_<callers>_` p50_ms, p99_ms, per_second, and the milliseconds
of CPU that the server (`server_cpu_ms`) and the caller (`client_cpu_ms`) spent on a call. stdio is the server's own process here,
not the relay to a platform that `aiw mcp serve` is. `<transport>_modern_1_pool_adds_cpu_ms` is what a pool of connections costs
the caller besides.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Literal

import httpx2
import psutil
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from resources.mcp.model import ServerConfig
from resources.mcp.pool import Pool
from resources.mcp.websocket import websocket_client
from resources.servers.ports import accepts_connections, free_port
from tests.benchmarks.harness import PEERS, ROOT, Report, peer_python, run, version_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

Era = Literal["modern", "legacy"]

ERAS: dict[Era, Literal["2026-07-28", "legacy"]] = {"modern": "2026-07-28", "legacy": "legacy"}
CALLERS = (1, 16)
P50_MS = 5.0
POOLED: tuple[Literal["http", "websocket"], ...] = ("http", "websocket")
POOL_MS = 0.3
_ROUNDS = 10
_START = 60.0


class Target:
    """One implementation: how its servers are started."""

    def __init__(self, name: str, command: list[str], transports: tuple[str, ...]) -> None:
        self.name = name
        self.command = command
        self.transports = transports
        self.port = 0
        self.pid = 0

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        self.port = free_port()
        with subprocess.Popen([*self.command, "http", str(self.port)], cwd=ROOT, stderr=subprocess.DEVNULL) as process:
            try:
                deadline = time.monotonic() + _START
                while not accepts_connections(self.port):
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise RuntimeError(f"The server of {self.name} did not start.")
                    time.sleep(0.1)
                self.pid = process.pid
                yield
            finally:
                process.terminate()

    @contextlib.asynccontextmanager
    async def client(self, transport: str, era: Era) -> AsyncIterator[tuple[Client, int]]:
        """A client, and the process that serves it."""
        address = f"127.0.0.1:{self.port}/mcp"
        async with contextlib.AsyncExitStack() as stack:
            before = {child.pid for child in psutil.Process().children()}
            if transport == "http":
                http = await stack.enter_async_context(httpx2.AsyncClient(trust_env=False, timeout=60))
                server: Any = streamable_http_client(f"http://{address}", http_client=http)
            elif transport == "websocket":
                server = websocket_client(f"ws://{address}/ws")
            else:
                server = StdioServerParameters(
                    command=self.command[0], args=[*self.command[1:], "stdio"], cwd=str(ROOT)
                )
            client = await stack.enter_async_context(Client(server, mode=ERAS[era]))
            started = [child.pid for child in psutil.Process().children() if child.pid not in before]
            yield client, started[0] if transport == "stdio" else self.pid


def cpu(pid: int) -> float:
    """Seconds that a process has worked."""
    return float(sum(psutil.Process(pid).cpu_times()[:2]))


async def measured(target: Target, transport: str, era: Era, calls: int) -> dict[str, float]:
    """The figures of one transport in one era."""
    figures: dict[str, float] = {}
    async with target.client(transport, era) as (client, pid):
        await client.list_tools()
        for number in range(20):
            await client.call_tool("add", {"a": number, "b": 1})
        for callers in CALLERS:
            taken: list[float] = []
            left = iter(range(calls))

            async def caller(taken: list[float] = taken, left: Iterator[int] = left) -> None:
                for number in left:
                    began = time.perf_counter()
                    found = await client.call_tool("add", {"a": number, "b": 1})
                    taken.append(time.perf_counter() - began)
                    if found.structured_content != {"result": number + 1}:
                        raise RuntimeError(f"{target.name} cannot add: {found}")

            server_before, own_before, began = cpu(pid), time.process_time(), time.perf_counter()
            await asyncio.gather(*(caller() for _ in range(callers)))
            seconds = time.perf_counter() - began
            key = f"{transport}_{era}_{callers}_"
            figures |= {
                f"{key}p50_ms": 1000 * statistics.median(taken),
                f"{key}p99_ms": 1000 * statistics.quantiles(taken, n=100)[98],
                f"{key}per_second": calls / seconds,
                f"{key}server_cpu_ms": 1000 * (cpu(pid) - server_before) / calls,
                f"{key}client_cpu_ms": 1000 * (time.process_time() - own_before) / calls,
            }
    return figures


async def pooled(target: Target, transport: Literal["http", "websocket"], calls: int) -> dict[str, float]:
    """What a call costs the caller through a pool, and straight through the SDK's client, by turns in small rounds."""
    scheme, path = ("http", "/mcp") if transport == "http" else ("ws", "/mcp/ws")
    url = f"{scheme}://127.0.0.1:{target.port}{path}"
    pool = Pool(ServerConfig(name="bench", transport=transport, urls=(url,), era=ERAS["modern"]))
    spent = {"pool": 0.0, "direct": 0.0}
    try:
        async with target.client(transport, "modern") as (client, _):
            await client.list_tools()
            for number in range(20):
                await pool.call("add", {"a": number, "b": 1})
                await client.call_tool("add", {"a": number, "b": 1})
            for _ in range(_ROUNDS):
                before = time.process_time()
                for number in range(calls // _ROUNDS):
                    await client.call_tool("add", {"a": number, "b": 1})
                spent["direct"] += time.process_time() - before
                before = time.process_time()
                for number in range(calls // _ROUNDS):
                    if (await pool.call("add", {"a": number, "b": 1})).structured != {"result": number + 1}:
                        raise RuntimeError("The pool cannot add.")
                spent["pool"] += time.process_time() - before
    finally:
        await pool.close()
    made = calls // _ROUNDS * _ROUNDS
    key = f"{transport}_modern_1_pool_"
    return {
        f"{key}client_cpu_ms": 1000 * spent["pool"] / made,
        f"{key}adds_cpu_ms": 1000 * (spent["pool"] - spent["direct"]) / made,
    }


def work(report: Report, quick: bool) -> None:
    """Ours, the SDK and fastmcp by turns."""
    here = [sys.executable, "-m", "tests.benchmarks.mcp_servers"]
    own = Target("ours", [*here, "ours"], ("http", "websocket", "stdio"))
    bare = Target("sdk", [*here, "sdk"], ("http", "stdio"))
    fastmcp = Target("fastmcp", [str(peer_python("fastmcp")), str(PEERS / "fastmcp" / "run.py")], ("http", "stdio"))
    report.versions |= version_of("mcp")
    calls, rounds = (150, 1) if quick else (600, 3)
    with own.serving(), bare.serving(), fastmcp.serving():
        for _ in range(rounds):
            for transport in own.transports:
                for era in ERAS:
                    for target in (own, bare, fastmcp):
                        if transport in target.transports:
                            found = asyncio.run(measured(target, transport, era, calls))
                            report.add(dict(found), peer=None if target is own else target.name)
            for pooled_over in POOLED:
                report.add(asyncio.run(pooled(own, pooled_over, calls)))
    for transport in POOLED:
        key = f"{transport}_modern_1_pool_adds_cpu_ms"
        report.bar(key, report.median(key), POOL_MS, better="less")
    for transport in own.transports:
        for era in ERAS:
            for callers in CALLERS:
                key = f"{transport}_{era}_{callers}_"
                if era == "modern" and callers == 1:
                    report.bar(f"{key}p50_ms", report.median(f"{key}p50_ms"), P50_MS, better="less")
                if transport not in bare.transports:
                    continue
                rate = f"{key}per_second"
                for peer, least in (("sdk", 0.9), ("fastmcp", 1.0)):
                    ratio = report.median(rate) / report.median(rate, peer=peer)
                    report.bar(f"{key}calls, times {peer}", ratio, least, better="more")


if __name__ == "__main__":
    run("mcp", work)
