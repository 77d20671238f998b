"""How the calls went that stand behind circuit breakers, counted for the whole process: all breakers share one tally.

What is called is told by its kind alone (`graph`, `mcp`, `web`): names of servers and hosts are tenants' own, and without end.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from typing import Final, Literal

Outcome = Literal["answered", "failed", "refused", "broken_off"]
"""`refused` = the breaker was open, nothing was sent; `broken_off` = it ended by an error that is not the dependency's."""

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets of durations, in seconds."""


def kind_of(name: str) -> str:
    """What a breaker of that name stands before: `mcp:NAME` is a server of tools, `TENANT HOST` a page that a workflow asks."""
    if " " in name:
        return "web"
    return name.partition(":")[0]


class CallTally:
    """Safe to share between threads. Read it with `read`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: Counter[tuple[str, Outcome]] = Counter()
        self._durations: dict[str, list[float]] = {}
        self._under_way: Counter[str] = Counter()
        self._moves: Counter[tuple[str, str]] = Counter()

    def begin(self, kind: str) -> None:
        """A call is sent."""
        with self._lock:
            self._under_way[kind] += 1

    def end(self, kind: str, outcome: Outcome, seconds: float) -> None:
        """A call that was sent has ended."""
        with self._lock:
            self._under_way[kind] -= 1
            self._calls[kind, outcome] += 1
            buckets = self._durations.setdefault(kind, [0.0] * (len(BOUNDS) + 2))
            buckets[bisect_left(BOUNDS, seconds)] += 1
            buckets[-1] += seconds

    def refuse(self, kind: str) -> None:
        """A call was not sent."""
        with self._lock:
            self._calls[kind, "refused"] += 1

    def move(self, kind: str, to: str) -> None:
        """A breaker has changed its state."""
        with self._lock:
            self._moves[kind, to] += 1

    def read(
        self,
    ) -> tuple[dict[tuple[str, Outcome], int], dict[str, list[float]], dict[str, int], dict[tuple[str, str], int]]:
        """Calls by kind and outcome, durations (counts of the buckets, then the sum), calls under way, changes of state."""
        with self._lock:
            durations = {kind: list(buckets) for kind, buckets in self._durations.items()}
            return dict(self._calls), durations, dict(self._under_way), dict(self._moves)


TALLY: Final = CallTally()
"""That of this process. One for all, as a log is: breakers are made wherever something is called."""
