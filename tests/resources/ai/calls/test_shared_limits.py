"""Limits of a provider that several processes keep to together."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING

from resources.ai.limits.limiter import RateLimiter
from resources.ai.limits.postgres import PostgresWindows
from resources.ai.limits.window import Quota
from resources.ai.provider import RateLimits

if TYPE_CHECKING:
    from uuid import UUID

    from resources.database.postgres import Database

LIMIT = Quota(tokens=100)


def take(windows: PostgresWindows, place: str, tenant: str, tokens: int, quota: Quota = LIMIT) -> float:
    return windows.take(place, uuid.uuid4(), tenant=tenant, tokens=tokens, quota=quota)


def test_what_one_process_takes_another_cannot(database: Database, tenant: str) -> None:
    one, other = PostgresWindows(database), PostgresWindows(database)
    assert take(one, tenant, "a", 60) == 0
    assert take(other, tenant, "b", 60) > 0
    assert take(other, tenant, "b", 40) == 0


def test_requests_are_counted_too(database: Database, tenant: str) -> None:
    windows = PostgresWindows(database)
    assert [take(windows, tenant, "a", 1, Quota(requests=2)) > 0 for _ in range(3)] == [False, False, True]


def test_a_slot_is_free_again_when_the_window_has_moved_on(database: Database, tenant: str) -> None:
    windows = PostgresWindows(database, span=0.2)
    assert take(windows, tenant, "a", 100) == 0
    deadline = time.monotonic() + 30
    while (seconds := take(windows, tenant, "a", 100)) and time.monotonic() < deadline:
        time.sleep(min(seconds, 0.1))
    assert seconds == 0


def test_who_was_granted_least_goes_before_those_who_had_more(database: Database, tenant: str) -> None:
    windows = PostgresWindows(database)
    assert take(windows, tenant, "rich", 50) == 0
    assert take(windows, tenant, "poor", 60) > 0
    assert take(windows, tenant, "rich", 10) > 0
    assert take(windows, tenant, "poor", 50) == 0


def test_what_was_really_used_counts(database: Database, tenant: str) -> None:
    windows, grant = PostgresWindows(database), uuid.uuid4()
    assert windows.take(tenant, grant, tenant="a", tokens=100, quota=LIMIT) == 0
    windows.settle(grant, 30)
    assert take(windows, tenant, "a", 70) == 0


def test_what_others_use_of_the_key_is_learnt_and_not_counted_twice(database: Database, tenant: str) -> None:
    windows = PostgresWindows(database)
    assert take(windows, tenant, "a", 20) == 0
    windows.learn(tenant, used=70)
    windows.learn(tenant, used=70)
    assert take(windows, tenant, "a", 31) > 0
    assert take(windows, tenant, "a", 30) == 0


def test_a_refusal_holds_back_all_processes(database: Database, tenant: str) -> None:
    PostgresWindows(database).close(tenant, 60)
    assert take(PostgresWindows(database), tenant, "a", 1) > 0


class Recorded:
    """Notes what it is told, and lets who asks wait once."""

    def __init__(self) -> None:
        self.waits = [0.001, 0.0]
        self.taken: list[str] = []
        self.told: list[tuple[object, ...]] = []

    def take(self, place: str, grant: UUID, *, tenant: str, tokens: int, quota: Quota) -> float:
        del grant, tokens, quota
        self.taken.append(f"{place} {tenant}")
        return self.waits.pop(0)

    def settle(self, grant: UUID, tokens: int) -> None:
        del grant
        self.told.append(("settled", tokens))

    def learn(self, place: str, *, used: int) -> None:
        self.told.append(("learnt", place, used))

    def close(self, place: str, seconds: float) -> None:
        self.told.append(("closed", place, seconds))


async def told(shared: Recorded, count: int) -> list[tuple[object, ...]]:
    """What is told by the way comes a little later."""
    for _ in range(6000):
        if len(shared.told) >= count:
            break
        await asyncio.sleep(0.005)
    return shared.told


async def test_a_known_limit_is_kept_to_together() -> None:
    shared = Recorded()
    limiter = RateLimiter({("p", "m"): Quota(tokens=100)}, shared=shared)
    async with limiter.slot(tenant="t", provider="p", model="m", tokens=10) as slot:
        slot.settle(7)
    assert shared.taken == ["p/m t", "p/m t"]
    assert await told(shared, 1) == [("settled", 7)]


async def test_where_no_limit_is_known_nothing_is_shared() -> None:
    shared = Recorded()
    async with RateLimiter(shared=shared).slot(tenant="t", provider="p", model="m", tokens=10) as slot:
        slot.settle(7)
    assert (shared.taken, shared.told) == ([], [])


async def test_what_a_provider_says_is_told_to_all() -> None:
    shared = Recorded()
    limiter = RateLimiter(shared=shared)
    limiter.learn(RateLimits(provider="p", model="m", tokens_limit=100, tokens_remaining=30))
    assert await told(shared, 1) == [("learnt", "p/m", 70)]
    limiter.refused("p", "m", 3.0)
    assert await told(shared, 2) == [("learnt", "p/m", 70), ("closed", "p/m", 3.0)]
