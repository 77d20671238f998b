from __future__ import annotations

from datetime import UTC, datetime

import pytest

from resources.ai.providers.headers import rate_limits, retry_after

NOW = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1s", 1.0), ("6m0s", 360.0), ("20ms", 0.02), ("1h2m3.5s", 3723.5), ("7.66", 7.66), ("soon", None)],
)
def test_resets_of_openai_are_durations(text: str, seconds: float | None) -> None:
    limits = rate_limits(
        {"x-ratelimit-reset-tokens": text, "x-ratelimit-limit-tokens": "9"}, provider="p", model="m", now=NOW
    )
    assert limits is not None
    assert limits.tokens_reset == (None if seconds is None else pytest.approx(seconds))


def test_resets_of_anthropic_are_times() -> None:
    headers = {"anthropic-ratelimit-requests-reset": "2026-11-22T12:00:30Z"}
    limits = rate_limits(headers, provider="p", model="m", now=NOW)
    assert limits is not None
    assert limits.requests_reset == 30.0


def test_headers_without_limits_say_nothing() -> None:
    assert rate_limits({"content-type": "text/plain"}, provider="p", model="m", now=NOW) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "2", "retry-after-ms": "150"}, 0.15),
        ({"retry-after": "Sun, 22 Nov 2026 12:00:09 GMT"}, 9.0),
        ({"retry-after": "Sun, 22 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "whenever"}, None),
        ({}, None),
    ],
)
def test_a_wait_is_seconds_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, now=NOW) == seconds
