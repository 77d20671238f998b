"""Circuit breakers: after some failures in a row, a dependency is left alone for a while.

closed → (5 failures within 60 s, no success between them) → open → (60 s) → half open → (2 successes) → closed; a failure while
half open opens it again. While half open, one call at a time is let through. The state is this process's own.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from resources.errors import UnavailableError
from resources.resilience.tally import TALLY, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
State = Literal["closed", "open", "half_open"]
CIRCUIT_OPEN: Final = "circuit_open"
"""The code of the refusal."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """The numbers; times are in seconds."""

    failures: int = 5
    window: float = 60.0
    open_for: float = 60.0
    successes: int = 2


_DEFAULT = BreakerPolicy()


class CircuitBreaker:
    """Stands before one dependency. Safe to share between threads."""

    def __init__(
        self, name: str, *, policy: BreakerPolicy = _DEFAULT, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self._kind = kind_of(name)
        self._policy = policy
        self._clock = clock
        self._lock = threading.Lock()
        self._failed_at: deque[float] = deque(maxlen=policy.failures)
        self._opened_at: float | None = None
        self._openings = 0
        self._successes = 0
        self._probing = False

    @property
    def state(self) -> State:
        """Closed = calls pass, open = they are refused, half_open = one at a time finds out."""
        with self._lock:
            return self._state()

    def call(self, work: Callable[[], T], *, failed: Callable[[Exception], bool]) -> T:
        """What `work` gives. `failed` tells which errors are the dependency's; others say nothing about it.

        Raises UnavailableError (`circuit_open`) without calling while the breaker is open.
        """
        with self.guard(failed):
            return work()

    @contextmanager
    def guard(self, failed: Callable[[Exception], bool]) -> Iterator[None]:
        """The same around a block, which may be one of a coroutine."""
        era = self._enter()
        TALLY.begin(self._kind)
        started = time.perf_counter()
        try:
            yield
        except BaseException as error:
            guilty = isinstance(error, Exception) and failed(error)
            TALLY.end(self._kind, "failed" if guilty else "broken_off", time.perf_counter() - started)
            self._leave(era, success=False if guilty else None)
            raise
        TALLY.end(self._kind, "answered", time.perf_counter() - started)
        self._leave(era, success=True)

    def _state(self) -> State:
        if self._opened_at is None:
            return "closed"
        return "open" if self._clock() - self._opened_at < self._policy.open_for else "half_open"

    def _enter(self) -> int:
        """How often it had opened when the call began. Raises UnavailableError."""
        with self._lock:
            state = self._state()
            if state == "closed":
                return self._openings
            if state == "half_open" and not self._probing:
                self._probing = True
                if not self._successes:
                    TALLY.move(self._kind, "half_open")
                return self._openings
            assert self._opened_at is not None
            left = max(0.0, self._opened_at + self._policy.open_for - self._clock())
        TALLY.refuse(self._kind)
        raise UnavailableError(
            f"{self.name!r} failed {self._policy.failures} times and is left alone for another {left:.0f} s.",
            dependency=self.name,
            code=CIRCUIT_OPEN,
        )

    def _leave(self, era: int, *, success: bool | None) -> None:
        with self._lock:
            if era != self._openings:
                return  # it began before the breaker opened, and says nothing about now
            state = self._state()
            self._probing = False
            if success is None:
                return
            if success:
                self._succeeded(state)
            else:
                self._failed(state)

    def _succeeded(self, state: State) -> None:
        self._failed_at.clear()
        if state == "half_open":
            self._successes += 1
            if self._successes >= self._policy.successes:
                self._opened_at = None
                TALLY.move(self._kind, "closed")

    def _failed(self, state: State) -> None:
        now = self._clock()
        self._failed_at.append(now)
        full = len(self._failed_at) == self._policy.failures and now - self._failed_at[0] <= self._policy.window
        if state == "half_open" or full:
            self._opened_at, self._successes = now, 0
            self._openings += 1
            self._failed_at.clear()
            TALLY.move(self._kind, "open")


class Breakers:
    """A breaker for each name; of too many, the one that was not asked for longest is forgotten."""

    def __init__(
        self,
        *,
        policy: BreakerPolicy = _DEFAULT,
        most: int = 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._most = most
        self._clock = clock
        self._lock = threading.Lock()
        self._breakers: OrderedDict[str, CircuitBreaker] = OrderedDict()

    def of(self, name: str) -> CircuitBreaker:
        """The breaker of that name."""
        with self._lock:
            breaker = self._breakers.get(name)
            if breaker is None:
                breaker = self._breakers[name] = CircuitBreaker(name, policy=self._policy, clock=self._clock)
                if len(self._breakers) > self._most:
                    self._breakers.popitem(last=False)
            self._breakers.move_to_end(name)
            return breaker

    def states(self) -> dict[str, State]:
        """The state of each, by name."""
        with self._lock:
            known = list(self._breakers.values())
        return {breaker.name: breaker.state for breaker in known}
