"""Who of several agents gets the next piece of work. Pure: whatever is random or counted is given.

The strategies choose among the healthy ones; only where there is none, among the degraded.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from resources.registry.model import Agent

Strategy = Literal["round_robin", "least_connections", "weighted", "random", "response_time"]


def choose(agents: Sequence[Agent], strategy: Strategy, *, now: datetime, turn: int, chance: float) -> Agent | None:
    """The one that is next, of agents that `able` has found; None when there is none.

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
            return min(candidates, key=lambda agent: agent.connections / agent.registration.weight)
        case "weighted":
            sums = list(accumulate(agent.registration.weight for agent in candidates))
            return next(agent for agent, until in zip(candidates, sums, strict=True) if chance * sums[-1] < until)
        case "random":
            return candidates[int(chance * len(candidates))]
        case "response_time":
            # Who was never measured is tried first, or it never would be.
            return min(candidates, key=lambda agent: agent.health.response_ms or 0.0)
