"""What the sums say: shares, trends, a forecast, a monthly report, and what could be done better.

All of it is arithmetic over buckets of days; nothing is guessed where the calls do not tell.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from resources.ai.model import Usage
from resources.ai.usage.model import (
    Bucket,
    Direction,
    MonthlyReport,
    Point,
    Share,
    Summary,
    UsageAdvice,
    UsageForecast,
)
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from resources.ai.prices.book import PriceBook
    from resources.ai.usage.model import Granularity
    from resources.ai.usage.store import UsageStore

FORECAST_DAYS: Final = 30
LEAST_DAYS: Final = 7
TREND: Final = Decimal("0.1")
TOP: Final = 5

_DEAR = Decimal(1)  # below a dollar a period, nobody changes a model
_MANY_CALLS = 50
_SHORT_SHARE = 0.5
_FAILED_SHARE = 0.1
_COST_GROWTH = 1.2
_CALLS_GROWTH = 2.0
_SAVING = Decimal("0.7")  # another model has to be a third cheaper to be worth a word


class UsageAnalysis:
    """Answers questions about a tenant's usage."""

    def __init__(self, usage: UsageStore, prices: PriceBook) -> None:
        self._usage = usage
        self._prices = prices

    def summary(self, *, tenant: str, since: datetime, until: datetime) -> Summary:
        """A period in figures."""
        return _summary(self._days(tenant, since, until), since, until)

    def series(self, granularity: Granularity, *, tenant: str, since: datetime, until: datetime) -> Sequence[Point]:
        """What was used in each stretch of the period; stretches without calls are left out."""
        return _points(self._usage.buckets(granularity, tenant=tenant, since=since, until=until))

    def forecast(self, days: int, *, tenant: str, now: datetime) -> UsageForecast | None:
        """The cost of `days` to come, from the days of the last 30; None when fewer than 7 of them saw a call.

        Confidence is 1 less the coefficient of variation, and never below 0.
        """
        if days < 1:
            raise InvalidInputError(f"A forecast is for one day or more, not for {days}.", code="days_invalid")
        today = _midnight(now)
        points = _points(self._days(tenant, today - timedelta(days=FORECAST_DAYS), today))
        if len(points) < LEAST_DAYS:
            return None
        costs = [float(point.cost) for point in points]
        mean = statistics.fmean(costs)
        spread = statistics.pstdev(costs) / mean if mean else 0.0
        per_day = sum((point.cost for point in points), Decimal(0)) / len(points)
        return UsageForecast(
            days=days,
            expected=per_day * days,
            per_day=per_day,
            confidence=max(0.0, 1.0 - min(1.0, spread)),
            based_on_days=len(points),
        )

    def recommendations(self, *, tenant: str, since: datetime, until: datetime) -> Sequence[UsageAdvice]:
        """What would have been cheaper, the greatest saving first."""
        found = _recommend(self._days(tenant, since, until), self._cheaper(tenant))
        return sorted(found, key=lambda one: (-(one.saves or Decimal(0)), one.kind, one.subject))

    def monthly(self, month: date, *, tenant: str) -> MonthlyReport:
        """A month beside the one before."""
        start = datetime.combine(month.replace(day=1), time(), tzinfo=UTC)
        end = (start + timedelta(days=32)).replace(day=1)
        before = (start - timedelta(days=1)).replace(day=1)
        buckets, former = self._days(tenant, start, end), self._days(tenant, before, start)
        summary, earlier = _summary(buckets, start, end), _summary(former, before, start)
        change = None
        if earlier.total.cost:
            change = float((summary.total.cost - earlier.total.cost) / earlier.total.cost)
        return MonthlyReport(
            month=start.date(),
            summary=summary,
            change_of_cost=change,
            days=tuple(_points(buckets)),
            insights=tuple(_insights(summary, earlier)),
            recommendations=tuple(self.recommendations(tenant=tenant, since=start, until=end)),
        )

    def _days(self, tenant: str, since: datetime, until: datetime) -> Sequence[Bucket]:
        return self._usage.buckets("day", tenant=tenant, since=since, until=until)

    def _cheaper(self, tenant: str) -> Callable[[str, str, Usage], Decimal | None]:
        def price(provider: str, model: str, usage: Usage) -> Decimal | None:
            return self._prices.price(tenant, provider, model, usage).cost

        return price


def _summary(buckets: Sequence[Bucket], since: datetime, until: datetime) -> Summary:
    total = _share(None, buckets, None)
    days = max(Decimal(1), Decimal(str((until - since) / timedelta(days=1))))
    return Summary(
        since=since,
        until=until,
        total=total,
        providers=_shares(buckets, lambda bucket: bucket.provider, total.cost),
        models=_shares(buckets, lambda bucket: f"{bucket.provider}/{bucket.model}", total.cost),
        users=_shares(buckets, lambda bucket: bucket.user, total.cost),
        workflows=_shares(buckets, lambda bucket: bucket.workflow, total.cost),
        cost_per_day=total.cost / days,
        cost_per_call=total.cost / total.calls if total.calls else None,
        trend=_trend(buckets, since, until),
    )


def _shares(buckets: Iterable[Bucket], name: Callable[[Bucket], str | None], total: Decimal) -> tuple[Share, ...]:
    groups: dict[str | None, list[Bucket]] = defaultdict(list)
    for bucket in buckets:
        groups[name(bucket)].append(bucket)
    shares = [_share(key, group, total) for key, group in groups.items()]
    return tuple(sorted(shares, key=lambda share: (-share.cost, -share.calls, share.name or "")))


def _share(name: str | None, buckets: Sequence[Bucket], total: Decimal | None) -> Share:
    def add(field: str) -> int:
        return sum(getattr(bucket, field) for bucket in buckets)

    calls, hits, timed = add("calls"), add("hits"), add("timed")
    made = calls - hits
    tokens = add("input_tokens") + add("output_tokens")
    cost = sum((bucket.cost for bucket in buckets), Decimal(0))
    milliseconds = sum(bucket.latency_ms for bucket in buckets)
    whole = cost if total is None else total
    return Share(
        name=name,
        calls=calls,
        hits=hits,
        failed=add("failed"),
        input_tokens=add("input_tokens"),
        output_tokens=add("output_tokens"),
        cost=cost,
        saved_cost=sum((bucket.saved_cost for bucket in buckets), Decimal(0)),
        unpriced=add("unpriced"),
        share_of_cost=float(cost / whole) if whole else None,
        error_rate=add("failed") / made if made else None,
        tokens_per_call=tokens / made if made else None,
        latency_ms=milliseconds / timed if timed else None,
        tokens_per_second=add("timed_tokens") * 1000 / milliseconds if milliseconds else None,
    )


def _points(buckets: Iterable[Bucket]) -> list[Point]:
    groups: dict[datetime, list[Bucket]] = defaultdict(list)
    for bucket in buckets:
        groups[bucket.at].append(bucket)
    return [
        Point(
            at=at,
            calls=sum(bucket.calls for bucket in group),
            input_tokens=sum(bucket.input_tokens for bucket in group),
            output_tokens=sum(bucket.output_tokens for bucket in group),
            cost=sum((bucket.cost for bucket in group), Decimal(0)),
        )
        for at, group in sorted(groups.items())
    ]


def _trend(buckets: Iterable[Bucket], since: datetime, until: datetime) -> Direction:
    middle = since + (until - since) / 2
    halves = [Decimal(0), Decimal(0)]
    for bucket in buckets:
        halves[bucket.at >= middle] += bucket.cost
    first, second = halves
    if not first:
        return "rising" if second else "unknown"
    change = (second - first) / first
    return "rising" if change > TREND else "falling" if change < -TREND else "steady"


def _insights(summary: Summary, former: Summary) -> Iterable[str]:
    cost, before = summary.total.cost, former.total.cost
    if before and cost > before * Decimal(str(_COST_GROWTH)):
        yield f"The cost has grown by {(cost / before - 1):.0%}, from ${before:.2f} to ${cost:.2f}."
    if former.total.calls and summary.total.calls > former.total.calls * _CALLS_GROWTH:
        yield f"There were {summary.total.calls} calls, more than twice as many as the {former.total.calls} before."
    known = {share.name for share in former.models}
    if former.total.calls:
        for share in summary.models:
            if share.name not in known:
                yield f"{share.name} is new: {share.calls} calls."
    if summary.total.saved_cost:
        yield f"Recorded answers have saved ${summary.total.saved_cost:.2f}."


_SMALLER: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "openai": (("gpt-4o-mini", "gpt-4o"), ("gpt-4.1-mini", "gpt-4.1"), ("gpt-5-mini", "gpt-5")),
    "anthropic": (("claude-haiku-4-5", "claude-sonnet"), ("claude-haiku-4-5", "claude-opus")),
    "gemini": (("gemini-2.5-flash", "gemini-2.5-pro"),),
}
"""Provider → (a smaller model, what the names of the larger ones begin with)."""


def _recommend(buckets: Sequence[Bucket], price: Callable[[str, str, Usage], Decimal | None]) -> Iterable[UsageAdvice]:
    for (provider, model), group in _by_model(buckets).items():
        yield from _cheaper_model(provider, model, group, price)
        made = group.calls - group.hits
        if made >= _MANY_CALLS and group.short > made * _SHORT_SHARE:
            message = (
                f"{group.short} of {made} calls of {model} have fewer than 100 tokens. Ask several things at once."
            )
            yield UsageAdvice(kind="batching", subject=f"{provider}/{model}", message=message, saves=None)
        if made >= _MANY_CALLS and group.failed > made * _FAILED_SHARE:
            message = f"{group.failed} of {made} calls of {model} failed. Look at their errors, or add a fallback."
            yield UsageAdvice(kind="failures", subject=f"{provider}/{model}", message=message, saves=None)
        if group.unpriced:
            message = f"{group.unpriced} calls of {model} have no price. Add one, so that budgets can count them."
            yield UsageAdvice(kind="prices", subject=f"{provider}/{model}", message=message, saves=None)


def _cheaper_model(
    provider: str, model: str, group: Bucket, price: Callable[[str, str, Usage], Decimal | None]
) -> Iterable[UsageAdvice]:
    if group.cost < _DEAR or group.calls < _MANY_CALLS:
        return
    used = Usage(input=group.input_tokens, output=group.output_tokens)
    for smaller, larger in _SMALLER.get(provider, ()):
        if not model.startswith(larger) or model.startswith(smaller):
            continue
        cost = price(provider, smaller, used)
        if cost is not None and cost < group.cost * _SAVING:
            saves = group.cost - cost
            message = (
                f"{smaller} would have done the {group.calls} calls of {model} for ${cost:.2f}, not ${group.cost:.2f}."
            )
            yield UsageAdvice(kind="cheaper_model", subject=f"{provider}/{model}", message=message, saves=saves)
            return


def _by_model(buckets: Iterable[Bucket]) -> dict[tuple[str, str], Bucket]:
    groups: dict[tuple[str, str], list[Bucket]] = defaultdict(list)
    for bucket in buckets:
        groups[bucket.provider, bucket.model].append(bucket)
    summed = ("calls", "hits", "failed", "short", "unpriced", "input_tokens", "output_tokens", "cost", "saved_cost")
    return {
        key: group[0].model_copy(
            update={
                field: sum((getattr(one, field) for one in group), type(getattr(group[0], field))(0))
                for field in summed
            }
        )
        for key, group in groups.items()
    }


def _midnight(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
