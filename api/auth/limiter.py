"""Rate limits: token buckets, of which a request takes one token each for its address, its principal and its tenant.

Buckets are per process, unless there is a store that all processes share: then a process leases a handful of tokens at a time
(a tenth of the burst), so that most requests still ask nobody. What a lease overshoots is at most that handful a process.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.settings import LimitSettings
    from resources.tenants.model import Principal

_IDLE_SECONDS = 300.0
_MOST_BUCKETS = 100_000


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_minute` in the long run, `burst` at once."""

    per_minute: int
    burst: int

    @property
    def per_second(self) -> float:
        return self.per_minute / 60


@dataclass(slots=True)  # frozen ones take three times as long to make
class Decision:
    """Whether a request may go on; `retry_after` is in seconds, 0 when it may."""

    name: str
    rate: Rate
    remaining: int
    retry_after: float

    @property
    def allowed(self) -> bool:
        return self.retry_after == 0

    def headers(self) -> list[tuple[bytes, bytes]]:
        """`RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers), and what clients knew before them."""
        reset = max(1, round(self.retry_after or (self.rate.burst - self.remaining) / self.rate.per_second))
        policy, limit = _policy(self.name, self.rate.per_minute)
        return [
            policy,
            (b"ratelimit", f'"{self.name}";r={self.remaining};t={reset}'.encode()),
            limit,
            (b"x-ratelimit-remaining", b"%d" % self.remaining),
            (b"x-ratelimit-reset", b"%d" % reset),
        ]


@lru_cache(maxsize=1024)
def _policy(name: str, per_minute: int) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
    policy = f'"{name}";q={per_minute};w=60'.encode()
    return (b"ratelimit-policy", policy), (b"x-ratelimit-limit", b"%d" % per_minute)


class Rates:
    """The rates that hold at present; `change` makes others hold from the next request on."""

    def __init__(self, limits: LimitSettings) -> None:
        self.change(limits)

    def change(self, limits: LimitSettings) -> None:
        self.principal = Rate(limits.principal_per_minute, limits.principal_burst)
        self.tenant = Rate(limits.tenant_per_minute, limits.tenant_burst)
        self.address = Rate(limits.address_per_minute, limits.address_burst)

    def of_tenant(self, principal: Principal) -> Rate:
        """That of the principal's tenant, which may have one of its own."""
        own = principal.limits.requests_per_minute
        return self.tenant if own is None else Rate(own, max(1, min(own, self.tenant.burst)))


class SharedBuckets(Protocol):
    """Buckets that several processes draw from."""

    def lease(self, key: str, *, per_second: float, burst: int, tokens: int) -> int:
        """Take up to so many tokens; gives how many there were. Raises UnavailableError."""


class Buckets:
    """Of one process; only for the event loop, which is why it needs no lock."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, str], list[float]] = {}

    def take(self, name: str, key: str, rate: Rate, tokens: int = 1) -> Decision:
        """Take tokens of the bucket `name` / `key`: all that are asked for, or none."""
        now = self._clock()
        bucket = self._buckets.get((name, key))
        if bucket is None:
            if len(self._buckets) >= _MOST_BUCKETS:
                self._drop_idle(now)
            bucket = self._buckets[name, key] = [float(rate.burst), now]
        held = bucket[0] + (now - bucket[1]) * rate.per_minute / 60
        if held > rate.burst:
            held = float(rate.burst)
        bucket[1] = now
        if held >= tokens:
            bucket[0] = held - tokens
            return Decision(name, rate, int(held - tokens), 0)
        bucket[0] = held
        return Decision(name, rate, 0, (tokens - held) / rate.per_second)

    def _drop_idle(self, now: float) -> None:
        kept = {key: it for key, it in self._buckets.items() if now - it[1] < _IDLE_SECONDS}
        # An attack with many addresses must not take all memory: the busiest are those seen last.
        newest = sorted(kept.items(), key=lambda item: item[1][1])[-_MOST_BUCKETS // 2 :]
        self._buckets = dict(newest)


class Leases:
    """Tokens that were leased from `shared`, by bucket. For the event loop; `lease` alone asks somebody."""

    def __init__(self, shared: SharedBuckets) -> None:
        self._shared = shared
        self._held: dict[tuple[str, str], int] = {}

    def take(self, name: str, key: str, rate: Rate) -> Decision | None:
        """Take a leased token; None when there is none left, and `lease` must be called."""
        held = self._held.get((name, key), 0)
        if held < 1:
            return None
        self._held[name, key] = held - 1
        return Decision(name, rate, held - 1, 0)

    def lease(self, name: str, key: str, rate: Rate) -> Decision:
        """Lease tokens, and take one. Raises UnavailableError."""
        got = self._shared.lease(
            f"{name}:{key}", per_second=rate.per_second, burst=rate.burst, tokens=max(1, rate.burst // 10)
        )
        if got < 1:
            return Decision(name, rate, 0, 1 / rate.per_second)
        if len(self._held) >= _MOST_BUCKETS:
            self._held.clear()
        self._held[name, key] = self._held.get((name, key), 0) + got - 1
        return Decision(name, rate, got - 1, 0)
