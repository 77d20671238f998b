"""The one retry policy: what is tried again, when, and for how long.

Vendors' SDKs retry nothing. Only what may pass by itself is tried again: too fast, overloaded, unreachable, broken off. Waits
are jittered without correlation (Brooker 2015, "Exponential Backoff And Jitter"), and a `Retry-After` is kept to. Each attempt
is reserved on the budgets anew.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from resources.ai.provider import ProviderUnavailableError, RateLimitedError

if TYPE_CHECKING:
    from resources.errors import PlatformError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Seconds. A provider that asks for more patience than `cap` is not waited for."""

    attempts: int = 4
    base: float = 0.5
    cap: float = 30.0
    random: random.Random = field(default_factory=random.Random, repr=False, compare=False)

    def pause(self, error: PlatformError, *, attempt: int, last: float) -> float | None:
        """How long to wait before the next attempt; None = give up. `last` is the pause before this one."""
        if attempt >= self.attempts or not may_pass(error):
            return None
        asked = retry_after(error)
        if asked is not None and asked > self.cap:
            return None
        jittered = min(self.cap, self.random.uniform(self.base, max(self.base, last * 3)))
        return jittered if asked is None else min(self.cap, max(asked, jittered if asked == 0 else asked))


def may_pass(error: PlatformError) -> bool:
    """Whether the same request may succeed later."""
    return isinstance(error, RateLimitedError | ProviderUnavailableError) and error.retryable


def retry_after(error: PlatformError) -> float | None:
    """What the provider asked for, in seconds."""
    asked = error.retry_after if isinstance(error, RateLimitedError) else error.details.get("retry_after")
    return float(asked) if isinstance(asked, int | float) else None
