"""Who of several gets the next piece of work: agents that registered, connections to replicas of a server. Pure: whatever is
random or counted is given.

The strategies choose among the healthy ones; only where there is none, among the degraded.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

Strategy = Literal["round_robin", "least_connections", "weighted", "random", "response_time"]


class Candidate(Protocol):
    """Who can be chosen. `connections` is what it works on already; `response_ms` None = it was never measured."""

    @property
    def connections(self) -> int: ...

    @property
    def weight(self) -> float: ...

    @property
    def response_ms(self) -> float | None: ...

    def status(self, now: datetime) -> str: ...


AnyCandidate = TypeVar("AnyCandidate", bound=Candidate)


def choose(
    agents: Sequence[AnyCandidate], strategy: Strategy, *, now: datetime, turn: int, chance: float
) -> AnyCandidate | None:
    """The one that is next, of those that can do it; None when there is none.

    `turn` counts the choices so far, `chance` is from 0 to 1 (without 1).
    """
    healthy = [agent for agent in agents if agent.status(now) == "healthy"]
    candidates = healthy or list(agents)
    if not candidates:
        return None
    match strategy:
        case "round_robin":
            return candidates[turn % len(candidates)]
        case "least_connections":
            return min(candidates, key=lambda agent: agent.connections / agent.weight)
        case "weighted":
            return by_chance(candidates, [agent.weight for agent in candidates], chance)
        case "random":
            return candidates[int(chance * len(candidates))]
        case "response_time":
            # Who was never measured is tried first, or it never would be.
            return min(candidates, key=lambda agent: agent.response_ms or 0.0)


def by_chance(candidates: Sequence[AnyCandidate], weights: Sequence[float], chance: float) -> AnyCandidate:
    """One of them, as often as its weight says. `chance` is from 0 to 1 (without 1)."""
    sums = list(accumulate(weights))
    return next(one for one, until in zip(candidates, sums, strict=True) if chance * sums[-1] < until)
