from __future__ import annotations

import asyncio
import heapq
import random
from collections import Counter

from resources.ai.call import CallOptions
from resources.ai.limits.limiter import RateLimiter
from resources.ai.limits.window import SPAN, Quota, Window
from resources.ai.model import CallContext, Usage
from resources.ai.provider import RateLimitedError, RateLimits
from resources.ai.providers.scripted import ScriptedProvider
from tests.resources.ai.calls.parts import answer, memory_calls, request

TENANTS = 10
TPM = 60_000


def granted(window: Window, now: float) -> list[str]:
    return [ticket.tenant for ticket in window.grant(now)]


def test_no_more_is_granted_than_the_quota_and_more_when_the_window_slides() -> None:
    window = Window(Quota(requests=2))
    for tenant in "abc":
        window.queue(tenant, 1)
    assert granted(window, 0.0) == ["a", "b"]
    assert (granted(window, 30.0), window.next_at(30.0)) == ([], SPAN)
    assert granted(window, SPAN) == ["c"]


def test_tokens_are_corrected_by_what_was_used() -> None:
    window = Window(Quota(tokens=100))
    first = window.queue("a", 80)
    second = window.queue("a", 50)
    assert list(window.grant(0.0)) == [first]
    window.settle(first, 40)
    assert list(window.grant(1.0)) == [second]


def test_the_tenant_with_the_smaller_share_goes_first() -> None:
    window = Window(Quota(tokens=100))
    for now in (0.0, 30.0):
        window.queue("greedy", 50)
        assert granted(window, now) == ["greedy"]
    for tenant in ("greedy", "modest"):
        window.queue(tenant, 50)
    assert granted(window, SPAN) == ["modest"]


def test_a_request_larger_than_the_quota_goes_alone() -> None:
    window = Window(Quota(tokens=100))
    window.queue("a", 500)
    window.queue("b", 1)
    assert granted(window, 0.0) == ["b"]
    assert granted(window, SPAN) == ["a"]


def test_who_leaves_the_queue_is_not_waited_for() -> None:
    window = Window(Quota(requests=1))
    window.queue("a", 1)
    assert granted(window, 0.0) == ["a"]
    gone = window.queue("b", 1)
    window.leave(gone)
    assert (window.waiting, window.next_at(0.0)) == (0, None)


def test_nobody_goes_while_the_provider_refuses() -> None:
    window = Window()
    window.close(0.0, 5.0)
    window.queue("a", 1)
    assert (granted(window, 4.0), window.next_at(4.0)) == ([], 5.0)
    assert granted(window, 5.0) == ["a"]


def test_what_others_use_of_the_key_is_learnt_from_headers() -> None:
    window = Window()
    window.learn(0.0, quota=Quota(tokens=100), remaining=Quota(tokens=30))
    window.queue("a", 40)
    assert granted(window, 1.0) == []
    assert granted(window, SPAN) == ["a"]


class Provider:
    """60,000 tokens in any minute, not one more, counted when a request arrives."""

    def __init__(self) -> None:
        self.arrived: list[tuple[float, int]] = []
        self.refused = 0

    def arrive(self, now: float, tokens: int) -> None:
        self.arrived = [(at, size) for at, size in self.arrived if at > now - 60]
        if sum(size for _, size in self.arrived) + tokens > TPM:
            self.refused += 1
            return
        self.arrived.append((now, tokens))


def test_ten_tenants_share_a_provider_fairly_and_use_it_up() -> None:
    """Simulated time: 20 minutes, tenants with small and with large requests, network delays of up to half a second."""
    chance, window, provider = random.Random(7), Window(Quota(tokens=TPM)), Provider()
    used: Counter[str] = Counter()
    in_order = 0
    happenings: list[tuple[float, int, str, int]] = []
    for tenant in range(TENANTS):
        for _ in range(20):
            window.queue(str(tenant), chance.randint(50, 100 * (1 + tenant)))
    now, end = 0.0, 1200.0
    while now < end:
        for ticket in window.grant(now):
            in_order += 1
            heapq.heappush(happenings, (now + chance.uniform(0.0, 0.5), in_order, ticket.tenant, ticket.tokens))
            window.queue(ticket.tenant, chance.randint(50, 100 * (1 + int(ticket.tenant))))
        wake = window.next_at(now) or end
        while happenings and happenings[0][0] <= wake:
            at, _, tenant_name, tokens = heapq.heappop(happenings)
            provider.arrive(at, tokens)
            if at > 60:
                used[tenant_name] += tokens
        now = max(wake, now + 0.01)
    shares = list(used.values())
    jain = sum(shares) ** 2 / (len(shares) * sum(share**2 for share in shares))
    assert provider.refused == 0
    assert len(shares) == TENANTS
    assert jain >= 0.95
    assert sum(shares) / (TPM * (end - 60) / 60) >= 0.95


async def test_tasks_wait_for_their_slot() -> None:
    clock = [0.0]
    limiter = RateLimiter({("p", "m"): Quota(requests=1)}, monotonic=lambda: clock[0])
    entered = []

    async def work(name: str) -> None:
        async with limiter.slot(tenant=name, provider="p", model="m", tokens=1):
            entered.append(name)

    await work("a")
    waiting = asyncio.create_task(work("b"))
    cancelled = asyncio.create_task(work("c"))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    assert entered == ["a"]
    clock[0] = SPAN
    coming = asyncio.create_task(work("d"))  # whoever comes wakes those who may go by now
    await waiting
    assert entered == ["a", "b"]
    limiter.learn(RateLimits(provider="p", model="m", requests_limit=5))
    await coming
    assert entered == ["a", "b", "d"]


async def test_a_refusal_holds_back_the_others_of_that_key_and_model() -> None:
    clock = [0.0]
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        clock[0] += seconds

    provider = ScriptedProvider([RateLimitedError("slow", retry_after=7), answer(usage=Usage(input=1))])
    calls = memory_calls(provider, limiter=RateLimiter(monotonic=lambda: clock[0]), sleep=sleep)
    await calls.complete(request(), CallContext(tenant="t"), CallOptions(timeout=60))
    assert slept == [7]
