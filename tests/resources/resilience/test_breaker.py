from __future__ import annotations

import pytest

from resources.errors import InvalidInputError, UnavailableError
from resources.resilience.breaker import Breakers, CircuitBreaker


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class BrokenError(Exception):
    pass


def fail() -> None:
    raise BrokenError


def is_failure(error: Exception) -> bool:
    return isinstance(error, BrokenError)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker("it", clock=clock)


def failing(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        with pytest.raises(BrokenError):
            breaker.call(fail, failed=is_failure)


def working(breaker: CircuitBreaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.call(lambda: None, failed=is_failure)


def test_five_failures_open_it_and_calls_are_refused_without_being_made(breaker: CircuitBreaker) -> None:
    failing(breaker, 5)
    assert breaker.state == "open"
    with pytest.raises(UnavailableError, match="left alone"):
        breaker.call(lambda: pytest.fail("called"), failed=is_failure)


def test_a_success_forgets_the_failures_before(breaker: CircuitBreaker) -> None:
    failing(breaker, 4)
    working(breaker)
    failing(breaker, 4)
    assert breaker.state == "closed"


def test_failures_further_apart_than_the_window_do_not_open_it(breaker: CircuitBreaker, clock: Clock) -> None:
    for _ in range(10):
        failing(breaker, 1)
        clock.now += 20
    assert breaker.state == "closed"


def test_two_successes_after_a_minute_close_it(breaker: CircuitBreaker, clock: Clock) -> None:
    failing(breaker, 5)
    clock.now += 60
    assert breaker.state == "half_open"
    states = []
    for _ in range(2):
        working(breaker)
        states.append(breaker.state)
    assert states == ["half_open", "closed"]


def test_a_failure_while_half_open_opens_it_for_another_minute(breaker: CircuitBreaker, clock: Clock) -> None:
    failing(breaker, 5)
    clock.now += 60
    working(breaker)
    failing(breaker, 1)
    clock.now += 59
    assert breaker.state == "open"


def test_only_one_call_at_a_time_finds_out(breaker: CircuitBreaker, clock: Clock) -> None:
    failing(breaker, 5)
    clock.now += 60

    def probing() -> None:
        with pytest.raises(UnavailableError):
            breaker.call(lambda: pytest.fail("called"), failed=is_failure)

    breaker.call(probing, failed=is_failure)


def test_what_a_call_from_before_the_opening_ends_with_says_nothing(breaker: CircuitBreaker, clock: Clock) -> None:
    with breaker.guard(is_failure):
        failing(breaker, 5)
        clock.now += 61
        probe = breaker.guard(is_failure)
        probe.__enter__()
    with pytest.raises(UnavailableError):
        working(breaker)
    probe.__exit__(None, None, None)
    states = [breaker.state]
    working(breaker)
    assert [*states, breaker.state] == ["half_open", "closed"]


def test_errors_that_are_no_failures_say_nothing(breaker: CircuitBreaker, clock: Clock) -> None:
    def refuse() -> None:
        raise InvalidInputError("wrong")

    failing(breaker, 5)
    clock.now += 60
    for _ in range(3):
        with pytest.raises(InvalidInputError):
            breaker.call(refuse, failed=is_failure)
    assert breaker.state == "half_open"


def test_names_have_breakers_of_their_own(clock: Clock) -> None:
    breakers = Breakers(clock=clock)
    failing(breakers.of("a"), 5)
    assert (breakers.of("a").state, breakers.of("b").state) == ("open", "closed")


def test_the_number_of_breakers_is_bounded(clock: Clock) -> None:
    breakers = Breakers(clock=clock, most=2)
    first = breakers.of("a")
    for name in ("b", "a", "c"):
        breakers.of(name)
    assert breakers.of("a") is first
