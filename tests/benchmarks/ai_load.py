"""The workload of the benchmark of calls, for our side and the peers': plain Python, as each has an environment of its own."""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

PROMPT = "Tell me about topic number {number}, in about twenty words, and say nothing else. " * 4


def text(number: int) -> str:
    """A prompt that no other call has."""
    return PROMPT.format(number=number)


async def measure(
    call: Callable[[str], Awaitable[float | None]], *, first: int, count: int, concurrent: int
) -> dict[str, float]:
    """Milliseconds a call: of the clock at some percentiles, and of this process's CPU. `call` returns its first token's time."""
    times: list[float] = []
    firsts: list[float] = []
    numbers = iter(range(first, first + count))

    async def work() -> None:
        for number in numbers:
            started = time.perf_counter()
            seen = await call(text(number))
            times.append((time.perf_counter() - started) * 1000)
            if seen is not None:
                firsts.append((seen - started) * 1000)

    gc.collect()
    before = time.process_time()
    await asyncio.gather(*(work() for _ in range(concurrent)))
    cpu = (time.process_time() - before) * 1000 / count
    times.sort()
    firsts.sort()
    found = {f"p{share}_ms": times[min(len(times) - 1, len(times) * share // 100)] for share in (50, 95, 99)}
    if firsts:
        found["first_ms"] = firsts[len(firsts) // 2]
    return found | {"cpu_ms": cpu}


def serve(sides: Mapping[str, Callable[[str], Awaitable[float | None]]]) -> None:
    """Answer the harness: one JSON line in, one out."""

    async def loop() -> None:
        for line in sys.stdin:
            asked: dict[str, Any] = json.loads(line)
            found = await measure(
                sides[asked["do"]], first=asked["first"], count=asked["count"], concurrent=asked["concurrent"]
            )
            sys.stdout.write(json.dumps(found) + "\n")
            sys.stdout.flush()

    asyncio.run(loop())
