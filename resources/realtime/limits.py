"""Token buckets, one behind the other: the process, the user, the connection."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class TokenBucket:
    """`rate` tokens a second, `burst` at most."""

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, *, now: float | None = None) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = time.monotonic() if now is None else now

    def wait(self, now: float) -> float:
        """Seconds until there is a token; 0 = there is one. Takes none."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = now
        return 0.0 if self._tokens >= 1.0 else (1.0 - self._tokens) / self._rate

    def take(self) -> None:
        """Take a token, after `wait` told that there is one."""
        self._tokens -= 1.0

    @property
    def full(self) -> bool:
        return self._tokens >= self._burst


class Limiter:
    """All buckets of one process. A message takes a token of each, or of none."""

    def __init__(
        self,
        *,
        everybody: tuple[float, float] = (20_000, 40_000),
        user: tuple[float, float] = (200, 400),
        connection: tuple[float, float] = (100, 200),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._everybody = TokenBucket(*everybody, now=clock())
        self._user = user
        self._connection = connection
        self._users: dict[tuple[str, str], TokenBucket] = {}

    def bucket(self) -> TokenBucket:
        """A connection's own bucket."""
        return TokenBucket(*self._connection, now=self._clock())

    def take(self, tenant: str, user: str, connection: TokenBucket) -> float:
        """0.0, and a token taken of each; or the seconds to wait."""
        now = self._clock()
        of_user = self._users.get((tenant, user))
        if of_user is None:
            of_user = self._users[tenant, user] = TokenBucket(*self._user, now=now)
        buckets = (self._everybody, of_user, connection)
        wait = max(bucket.wait(now) for bucket in buckets)
        if wait > 0.0:
            return wait
        for bucket in buckets:
            bucket.take()
        return 0.0

    def sweep(self) -> None:
        """Forget users whose bucket is full again."""
        now = self._clock()
        for key, bucket in tuple(self._users.items()):
            bucket.wait(now)
            if bucket.full:
                del self._users[key]
