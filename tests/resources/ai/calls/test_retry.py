from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.ai.provider import (
    ProviderRefusedError,
    ProviderUnavailableError,
    RateLimitedError,
    StreamTruncatedError,
)
from resources.ai.retry import RetryPolicy

DOWN = ProviderUnavailableError("down", dependency="p")


@given(seed=st.integers(), last=st.floats(0, 100), attempt=st.integers(1, 3))
def test_pauses_are_jittered_within_bounds(seed: int, last: float, attempt: int) -> None:
    policy = RetryPolicy(random=random.Random(seed))
    pause = policy.pause(DOWN, attempt=attempt, last=last)
    assert pause is not None
    assert policy.base <= pause <= min(policy.cap, max(policy.base, 3 * last))


@pytest.mark.parametrize("error", [DOWN, StreamTruncatedError("cut", dependency="p"), RateLimitedError("slow")])
def test_what_may_pass_is_tried_again(error: ProviderUnavailableError) -> None:
    policy = RetryPolicy()
    assert policy.pause(error, attempt=3, last=0.5) is not None
    assert policy.pause(error, attempt=4, last=0.5) is None


@pytest.mark.parametrize(
    "error",
    [ProviderRefusedError("no"), RateLimitedError("used up", code="provider_quota_exhausted")],
    ids=["refused", "quota"],
)
def test_what_does_not_pass_is_not(error: ProviderRefusedError) -> None:
    assert RetryPolicy().pause(error, attempt=1, last=0.5) is None


@pytest.mark.parametrize(("asked", "pause"), [(7.0, 7.0), (30.0, 30.0), (31.0, None)])
def test_the_providers_wish_is_kept_to(asked: float, pause: float | None) -> None:
    policy = RetryPolicy()
    assert policy.pause(RateLimitedError("slow", retry_after=asked), attempt=1, last=0.5) == pause
    overloaded = ProviderUnavailableError("busy", dependency="p", retry_after=asked)
    assert policy.pause(overloaded, attempt=1, last=0.5) == pause
