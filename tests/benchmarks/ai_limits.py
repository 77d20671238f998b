"""Budgets and rate limits under many processes: a race for one dollar, and a provider that ten tenants share.

python -m tests.benchmarks.ai_limits DATABASE_URL PLACE SECONDS: one of the processes that share it, a JSON line a tenant.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from resources.ai.budgets.model import Budget
from resources.ai.budgets.postgres import PostgresBudgets
from resources.ai.limits.limiter import RateLimiter
from resources.ai.limits.postgres import PostgresWindows
from resources.ai.limits.window import Quota
from resources.database.migrations import migrate
from resources.database.postgres import Database
from resources.servers.postgres import EmbeddedPostgres
from tests.benchmarks.harness import ROOT

if TYPE_CHECKING:
    from tests.benchmarks.harness import Number

RACERS, RACER_CALLS = 200, 3
PROCESSES, TENANTS = 4, 10
SPEED: Final = 10.0
"""How much faster than a real one the provider's minute goes by."""
MINUTE: Final = 60.0 / SPEED
MARGIN: Final = 1.0 / SPEED
TOKENS: Final = 60_000


def race() -> dict[str, Number]:
    """So many processes spend one dollar as fast as they can."""
    settings = {"max_connections": str(RACERS + 50), "shared_buffers": "64MB"}
    with (
        tempfile.TemporaryDirectory(prefix="aiw-bench-") as folder,
        EmbeddedPostgres(Path(folder), settings=settings) as server,
    ):
        database = Database(server.url)
        migrate(database)
        budgets = PostgresBudgets(database)
        budgets.put(Budget("tenant", "total", Decimal(1), tenant="race"))
        command = [sys.executable, "-m", "tests.resources.ai.calls.crowd", "race", server.url, "race"]
        subprocess.run(
            [*command, str(RACERS), str(RACER_CALLS)], cwd=ROOT, check=True, capture_output=True, timeout=240
        )
        (status,) = budgets.statuses(tenant="race")
        database.close()
    return {"race_spent_usd": float(status.spent), "race_overspent_usd": float(max(status.spent - 1, Decimal(0)))}


def shared(url: str, *, seconds: float) -> dict[str, Number]:
    """Four processes ask a provider that counts what arrives; judged is what comes after its first minute."""
    place = f"bench-{time.time_ns()}"
    command = [sys.executable, "-m", "tests.benchmarks.ai_limits", url, place, str(seconds)]
    arrived: list[tuple[float, str, int]] = []
    with ExitStack() as stack:
        processes = [
            stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT))
            for _ in range(PROCESSES)
        ]
        for process in processes:
            told, _ = process.communicate(timeout=seconds + 120)
            arrived += [(at, tenant, tokens) for at, tenant, tokens in json.loads(told.splitlines()[-1])]
    return _judged(sorted(arrived))


def _judged(arrived: list[tuple[float, str, int]]) -> dict[str, Number]:
    """What a provider would have refused: more than its tokens in any of its minutes."""
    refused = 0
    window: list[tuple[float, int]] = []
    for at, _, tokens in arrived:
        window = [(then, size) for then, size in window if then > at - MINUTE]
        within = sum(size for _, size in window)
        if within + tokens > TOKENS:
            refused += 1
        else:
            window.append((at, tokens))
    first = arrived[0][0] + MINUTE
    # Whole minutes alone: the tokens of a minute may all arrive at its beginning, so that a part of one tells nothing.
    minutes = int((arrived[-1][0] - first) // MINUTE)
    if not minutes:
        raise RuntimeError("There is no whole minute after the first: the processes ran for too short a time.")
    used: Counter[str] = Counter()
    for at, tenant, tokens in arrived:
        if first < at <= first + minutes * MINUTE:
            used[tenant] += tokens
    shares = [used[str(tenant)] for tenant in range(TENANTS)]
    return {
        "shared_refused": refused,
        "shared_used": sum(shares) / (TOKENS * minutes),
        "shared_jain": sum(shares) ** 2 / (TENANTS * sum(share**2 for share in shares)),
    }


async def _process(url: str, place: str, seconds: float) -> list[tuple[float, str, int]]:
    """Every tenant asks for as much as it gets: small requests some, large ones others."""
    database = Database(url, pool_size=TENANTS)
    windows = PostgresWindows(database, span=MINUTE + MARGIN)
    limiter = RateLimiter({(place, "m"): Quota(tokens=TOKENS)}, shared=windows, span=MINUTE + MARGIN)
    chance, arrived = random.Random(place), list[tuple[float, str, int]]()
    end = time.time() + seconds

    async def tenant(number: int) -> None:
        while time.time() < end:
            tokens = chance.randint(50, 300 * (1 + number))
            try:
                async with asyncio.timeout(end - time.time()):
                    async with limiter.slot(tenant=str(number), provider=place, model="m", tokens=tokens):
                        arrived.append((time.time(), str(number), tokens))
            except TimeoutError:
                return

    await asyncio.gather(*(tenant(number) for number in range(TENANTS)))
    database.close()
    return arrived


if __name__ == "__main__":
    found = asyncio.run(_process(sys.argv[1], sys.argv[2], float(sys.argv[3])))
    sys.stdout.write(json.dumps(found) + "\n")
