"""Who gets the next piece of work."""

from __future__ import annotations

import uuid
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, get_args

import pytest

from resources.registry.balancing import Strategy, choose
from resources.registry.model import LATE_AFTER, LOST_AFTER, Agent, Health, Registration, able

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def agent(name: str, *, weight: float = 1.0, connections: int = 0, ms: float | None = None) -> Agent:
    registration = Registration(name, "https://x.example", ("a",), weight)
    return Agent("t", uuid.uuid4(), registration, NOW, NOW, connections=connections, health=Health(response_ms=ms))


def chosen(agents: Sequence[Agent], strategy: Strategy, *, turn: int = 0, chance: float = 0.0) -> str | None:
    found = choose(agents, strategy, now=NOW, turn=turn, chance=chance)
    return None if found is None else found.registration.name


@pytest.mark.parametrize("strategy", get_args(Strategy))
def test_of_nobody_nobody_is_chosen(strategy: Strategy) -> None:
    assert chosen([], strategy) is None


def test_round_robin_takes_turns() -> None:
    agents = [agent("a"), agent("b"), agent("c")]
    assert [chosen(agents, "round_robin", turn=turn) for turn in range(5)] == ["a", "b", "c", "a", "b"]


def test_least_connections_counts_what_each_can_bear() -> None:
    agents = [agent("a", connections=3), agent("b", connections=5, weight=2)]
    assert chosen(agents, "least_connections") == "b"


def test_weighted_shares_by_weight() -> None:
    agents = [agent("a", weight=1), agent("b", weight=3)]
    shares = Counter(chosen(agents, "weighted", chance=part / 100) for part in range(100))
    assert shares == {"a": 25, "b": 75}


def test_random_reaches_everybody_alike() -> None:
    agents = [agent("a"), agent("b"), agent("c"), agent("d")]
    shares = Counter(chosen(agents, "random", chance=part / 100) for part in range(100))
    assert shares == dict.fromkeys("abcd", 25)


def test_response_time_prefers_the_fastest_and_tries_the_unknown() -> None:
    agents = [agent("a", ms=50), agent("b", ms=20)]
    assert chosen(agents, "response_time") == "b"
    assert chosen([*agents, agent("new")], "response_time") == "new"


@pytest.mark.parametrize("strategy", get_args(Strategy))
def test_the_degraded_are_chosen_only_where_nobody_is_healthy(strategy: Strategy) -> None:
    tired = replace(agent("a"), reported="degraded")
    assert chosen([agent("b"), tired], strategy, chance=0.999) == "b"
    assert chosen([tired], strategy) == "a"


def test_who_is_able_takes_work_and_the_healthy_come_first() -> None:
    late = replace(agent("a"), last_seen=NOW - LATE_AFTER - timedelta(seconds=1))
    lost = replace(agent("b"), last_seen=NOW - LOST_AFTER - timedelta(seconds=1))
    down = replace(agent("c"), health=Health(down=True))
    draining = replace(agent("d"), reported="draining")
    found = able([late, lost, down, draining, agent("e")], ["a"], now=NOW)
    assert [it.registration.name for it in found] == ["e", "a"]
    assert able([agent("e")], ["a", "b"], now=NOW) == []


def test_three_failures_take_it_down_and_two_answers_bring_it_up() -> None:
    health, seen = Health(), []
    for answer in (5.0, None, None, None, 5.0, None, 5.0, 5.0):
        health = health.after(answer)
        seen.append(health.down)
    assert seen == [False, False, False, True, True, True, True, False]
    assert health.availability == 0.5
