"""Processes that call at the same time, against one database. Started by the tests as `python -m`, one JSON line comes back.

race URL TENANT PROCESSES CALLS   forks so many processes that spend as fast as they can; {"answered": n, "refused": n}
loop URL TENANT JOURNAL CALLS     that many calls one after another; the provider writes a line for each to the journal
kill URL TENANT FOLDER CALLS      for each of so many calls a loop that is killed while that one is in flight, and begun again;
                                  [{"sent": […], "texts": […]}, …]
same URL TENANT JOURNAL           one call, the same for whoever starts this
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from resources.ai.budgets.model import BudgetExceededError
from resources.ai.call import CallOptions
from resources.ai.model import Answer, CallContext, TextDelta, Usage
from resources.ai.providers.scripted import ScriptedProvider
from resources.database.postgres import Database
from tests.resources.ai.calls.parts import answer, postgres_calls, prices, request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from resources.ai.model import ChatRequest, StreamEvent

TOKENS_PER_DOLLAR = 10_000
LEASE = 0.6
KILLED_AT_ONCE = 10


class Journalled:
    """Writes a line when it is called, and answers a little later."""

    name = "scripted"

    def __init__(self, journal: Path, *, seconds: float, last: int | None = None) -> None:
        self._journal = journal
        self._seconds = seconds
        self._left = last

    async def stream(self, asked: ChatRequest) -> AsyncGenerator[StreamEvent]:
        text = asked.messages[0].text
        with self._journal.open("a") as file:
            file.write(f"{text}\n")
        if self._left is not None:
            self._left -= 1
            if not self._left:
                os.kill(os.getpid(), signal.SIGKILL)
        yield TextDelta(text="answer to ")
        await asyncio.sleep(self._seconds)
        yield answer(f"answer to {text}")

    async def close(self) -> None:
        """Nothing is held."""


def race(url: str, tenant: str, processes: int, count: int) -> None:
    """The children wait for each other, so that all spend at once."""
    start_read, start_write = os.pipe()
    told_read, told_write = os.pipe()
    for number in range(processes):
        if os.fork() == 0:
            os.close(start_write)
            os.read(start_read, 1)
            os.write(told_write, asyncio.run(spend(url, tenant, number, count)))
            os._exit(0)
    os.close(start_write)  # go
    os.close(told_write)
    for _ in range(processes):
        os.wait()
    told = b""
    while part := os.read(told_read, 65536):
        told += part
    lines = [json.loads(line) for line in told.splitlines()]
    assert len(lines) == processes, "a process died"
    tell({key: sum(line[key] for line in lines) for key in ("answered", "refused")})


def tell(found: object) -> None:
    """One line for whoever started this."""
    sys.stdout.write(json.dumps(found) + "\n")


async def spend(url: str, tenant: str, number: int, count: int) -> bytes:
    """Calls of random size, each below what is reserved for it."""
    chance = random.Random(number)

    def line(asked: ChatRequest) -> Answer:
        most = len(asked.messages[0].text) + 32
        return answer(usage=Usage(input=chance.randint(1, most), output=chance.randint(0, 10)))

    database = Database(url, pool_size=1, connect_timeout=60)
    calls = postgres_calls(
        database,
        ScriptedProvider([line] * count),
        prices=prices(tokens_per_dollar=TOKENS_PER_DOLLAR),
        threads=1,
        lease=120.0,
    )
    answered = refused = 0
    for turn in range(count):
        try:
            await calls.complete(request(f"{number} {turn} {'x' * 50}"), CallContext(tenant=tenant, run_id=str(number)))
            answered += 1
        except BudgetExceededError:
            refused += 1
        await asyncio.sleep(0)
    await calls.close()
    database.close()
    return json.dumps({"answered": answered, "refused": refused}).encode() + b"\n"


async def loop(url: str, tenant: str, journal: Path, count: int, *, last: int | None = None) -> list[str]:
    """The texts; with `last` the process does not survive so many calls of the provider."""
    database = Database(url, pool_size=2, connect_timeout=60)
    calls = postgres_calls(database, Journalled(journal, seconds=0.02, last=last), lease=LEASE)
    texts = []
    for turn in range(count):
        result = await calls.complete(request(f"call {turn}"), CallContext(tenant=tenant, run_id="loop"))
        texts.append(result.answer.text)
    await calls.close()
    database.close()
    return texts


def kill(url: str, tenant: str, folder: Path, count: int) -> None:
    """Several at once: they wait for leases rather than work."""
    found = []
    for first in range(1, count + 1, KILLED_AT_ONCE):
        boundaries = range(first, min(first + KILLED_AT_ONCE, count + 1))

        def play(boundary: int, *, last: int | None) -> bytes:
            journal = folder / f"journal-{boundary}"
            return json.dumps(asyncio.run(loop(url, f"{tenant}-{boundary}", journal, count, last=last))).encode()

        killed = [forked(partial(play, boundary, last=boundary)) for boundary in boundaries]
        assert all(signal_of(child) == signal.SIGKILL for child in killed)
        finishers = [forked(partial(play, boundary, last=None)) for boundary in boundaries]
        for boundary, child in zip(boundaries, finishers, strict=True):
            with os.fdopen(child.told, "rb") as told:
                texts = json.loads(told.read())
            os.waitpid(child.pid, 0)
            found.append({"sent": (folder / f"journal-{boundary}").read_text().splitlines(), "texts": texts})
    tell(found)


class Child(NamedTuple):
    pid: int
    told: int


def forked(work: Callable[[], bytes]) -> Child:
    """Have a child work, and read what it says from `told`."""
    told_read, told_write = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(told_read)
        status = 1
        try:
            os.write(told_write, work())
            status = 0
        finally:
            os._exit(status)
    os.close(told_write)
    return Child(pid, told_read)


def signal_of(child: Child) -> int:
    """What ended it."""
    os.close(child.told)
    return os.WTERMSIG(os.waitpid(child.pid, 0)[1])


async def same(url: str, tenant: str, journal: Path) -> None:
    calls = postgres_calls(Database(url, pool_size=2), Journalled(journal, seconds=0.3), lease=LEASE)
    result = await calls.complete(request("the same"), CallContext(tenant=tenant), CallOptions(timeout=20))
    tell({"text": result.answer.text, "memo": result.memo})


if __name__ == "__main__":
    what, *given = sys.argv[1:]
    match what:
        case "race":
            race(given[0], given[1], int(given[2]), int(given[3]))
        case "loop":
            tell(asyncio.run(loop(given[0], given[1], Path(given[2]), int(given[3]), last=int(given[4]))))
        case "kill":
            kill(given[0], given[1], Path(given[2]), int(given[3]))
        case "same":
            sys.stdin.readline()
            asyncio.run(same(given[0], given[1], Path(given[2])))
