"""What the headers of a response say about rate limits, in the dialects of OpenAI (and those who follow it) and Anthropic.

OpenAI: `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`, resets as durations (`1s`, `6m0s`, `20ms`).
Anthropic: `anthropic-ratelimit-{requests,tokens}-{limit,remaining,reset}`, resets as RFC 3339 times. `Retry-After` is seconds or
an HTTP date (RFC 9110 10.2.3); `retry-after-ms` is finer and wins.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from resources.ai.provider import RateLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)")
_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def rate_limits(
    headers: Mapping[str, str], *, provider: str, model: str, now: datetime | None = None
) -> RateLimits | None:
    """The limits that `headers` (case-insensitive) speak of, or None when they do not."""
    now = now or datetime.now(UTC)

    def value(what: str, of: str) -> str | None:
        return headers.get(f"x-ratelimit-{what}-{of}") or headers.get(f"anthropic-ratelimit-{of}-{what}")

    limits = RateLimits(
        provider=provider,
        model=model,
        requests_limit=_count(value("limit", "requests")),
        requests_remaining=_count(value("remaining", "requests")),
        requests_reset=_wait(value("reset", "requests"), now),
        tokens_limit=_count(value("limit", "tokens")),
        tokens_remaining=_count(value("remaining", "tokens")),
        tokens_reset=_wait(value("reset", "tokens"), now),
        retry_after=retry_after(headers, now=now),
    )
    return None if limits == RateLimits(provider=provider, model=model) else limits


def retry_after(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Seconds to wait, or None when the response does not say."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None or text is None:
        return seconds
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return _until(at, now or datetime.now(UTC))


def _count(text: str | None) -> int | None:
    number = _number(text)
    return None if number is None else int(number)


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def _wait(text: str | None, now: datetime) -> float | None:
    if text is None:
        return None
    seconds = _number(text)
    if seconds is not None:
        return seconds
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text:
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    try:
        return _until(datetime.fromisoformat(text), now)
    except ValueError:
        return None


def _until(at: datetime, now: datetime) -> float:
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - now).total_seconds())
