"""When to try again: how long to wait, how often, and after which errors."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from resources.errors import LimitExceededError, PlatformError

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def _says_so(error: PlatformError) -> bool:
    return error.retryable


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Tries and pauses. `attempts` counts the first try too; pauses are in seconds, `jitter` is a part of the pause."""

    attempts: int = 3
    first: float = 0.1
    longest: float = 30.0
    factor: float = 2.0
    jitter: float = 0.1
    kind: Literal["exponential", "linear", "fixed"] = "exponential"

    def delay(self, tries: int, *, chance: float = 0.5) -> float:
        """Seconds to wait after that many tries: at most `longest`, give or take the jitter. `chance` is from 0 to 1."""
        match self.kind:
            case "exponential":
                # The exponent is bounded, because a float is.
                grown = self.first * self.factor ** min(tries - 1, 64)
            case "linear":
                grown = self.first * tries
            case "fixed":
                grown = self.first
        return min(self.longest, grown) * (1 + self.jitter * (2 * chance - 1))

    def call(
        self,
        work: Callable[[], T],
        *,
        wait: Callable[[float], None],
        retryable: Callable[[PlatformError], bool] = _says_so,
    ) -> T:
        """What `work` gives, tried again after errors that are `retryable`; the last error is the caller's.

        A refusal that names the time to come back is obeyed; when that is beyond the longest pause, it is raised at once.
        """
        tries = 1
        while True:
            try:
                return work()
            except PlatformError as error:
                asked = error.retry_after if isinstance(error, LimitExceededError) else None
                if tries >= self.attempts or not retryable(error) or (asked or 0.0) > self.longest:
                    raise
                pause = max(self.delay(tries, chance=random.random()), asked or 0.0)  # noqa: S311  jitter, not a secret
            wait(pause)
            tries += 1
