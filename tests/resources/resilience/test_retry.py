from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import InvalidInputError, LimitExceededError, PlatformError, UnavailableError
from resources.resilience.retry import RetryPolicy


class Flaky:
    """Raises the errors in turn, then answers."""

    def __init__(self, *errors: PlatformError) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def gone() -> UnavailableError:
    return UnavailableError("gone", dependency="it")


@pytest.mark.parametrize(
    ("kind", "delays"),
    [("exponential", [0.1, 0.2, 0.4, 0.8]), ("linear", [0.1, 0.2, 0.3, 0.4]), ("fixed", [0.1, 0.1, 0.1, 0.1])],
)
def test_pauses_grow_as_the_kind_says(kind: str, delays: list[float]) -> None:
    policy = RetryPolicy(kind=kind)  # type: ignore[arg-type]
    assert [policy.delay(tries) for tries in (1, 2, 3, 4)] == pytest.approx(delays)


@given(tries=st.integers(1, 10_000), chance=st.floats(0, 1))
def test_no_pause_is_longer_than_the_longest_and_its_jitter(tries: int, chance: float) -> None:
    policy = RetryPolicy()
    assert 0.09 <= policy.delay(tries, chance=chance) <= 33.0


def test_what_fails_twice_succeeds_at_the_third_try() -> None:
    work, pauses = Flaky(gone(), gone()), list[float]()
    assert RetryPolicy(jitter=0).call(work, wait=pauses.append) == "done"
    assert pauses == pytest.approx([0.1, 0.2])


def test_the_last_error_is_the_callers() -> None:
    work = Flaky(gone(), gone(), gone())
    with pytest.raises(UnavailableError):
        RetryPolicy().call(work, wait=lambda _: None)
    assert work.calls == 3


def test_an_error_that_will_come_again_is_not_tried_again() -> None:
    work = Flaky(InvalidInputError("wrong"))
    with pytest.raises(InvalidInputError):
        RetryPolicy().call(work, wait=lambda _: None)
    assert work.calls == 1


def test_the_time_to_come_back_is_kept_to() -> None:
    work, pauses = Flaky(LimitExceededError("slower", retry_after=7)), list[float]()
    RetryPolicy().call(work, wait=pauses.append)
    assert pauses == [7]


def test_a_time_to_come_back_beyond_patience_is_not_waited_for() -> None:
    work = Flaky(LimitExceededError("tomorrow", retry_after=86_400))
    with pytest.raises(LimitExceededError):
        RetryPolicy().call(work, wait=lambda _: None)
    assert work.calls == 1
