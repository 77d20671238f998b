from __future__ import annotations

import csv
import io
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import uuid_utils.compat as uuid_utils

from resources.ai.ledger.model import CallRecord
from resources.ai.ledger.postgres import PostgresCallBooks
from resources.ai.model import CallContext, Usage
from resources.ai.prices.book import PriceBook
from resources.ai.usage.analysis import UsageAnalysis
from resources.ai.usage.export import COLUMNS, export
from resources.ai.usage.memory import MemoryUsage
from resources.ai.usage.postgres import PostgresUsage
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.ai.usage.store import UsageStore

    Book = Callable[..., CallRecord]

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
END = START + timedelta(days=28)


@pytest.fixture(params=["memory", "postgres"])
def kept(request: pytest.FixtureRequest, tenant: str) -> tuple[UsageStore, Book]:
    """A store, and how a call gets into its books."""
    if request.param == "memory":
        usage: UsageStore = MemoryUsage()
    else:
        usage = PostgresUsage(request.getfixturevalue("database"))

    def book(at: datetime = START, *, cost: str | None = "1", tokens: int = 1000, **fields: Any) -> CallRecord:
        names = ("user", "workflow", "run_id", "asset", "partition")
        context = {name: fields.pop(name) for name in names if name in fields}
        record = CallRecord(
            call_id=uuid_utils.uuid7(),
            kind="chat",
            outcome="answered",
            memo="miss",
            fingerprint="f",
            provider="openai",
            model="gpt-4o",
            context=CallContext(tenant=fields.pop("tenant", tenant), **context),
            usage=Usage(input=tokens - tokens // 4, output=tokens // 4),
            cost=None if cost is None else Decimal(cost),
            latency_ms=500.0,
            created_at=at,
        )
        record = replace(record, **fields)
        if isinstance(usage, MemoryUsage):
            usage.calls.append(record)
        else:
            PostgresCallBooks(request.getfixturevalue("database")).settle(record)
        return record

    return usage, book


@pytest.fixture
def book(kept: tuple[UsageStore, Book]) -> Book:
    return kept[1]


@pytest.fixture
def usage(kept: tuple[UsageStore, Book]) -> UsageStore:
    return kept[0]


@pytest.fixture
def analysis(usage: UsageStore) -> UsageAnalysis:
    return UsageAnalysis(usage, PriceBook())


def test_calls_are_summed_by_hour_day_week_and_month(usage: UsageStore, book: Book, tenant: str) -> None:
    for offset in (
        timedelta(minutes=5),
        timedelta(minutes=50),
        timedelta(hours=3),
        timedelta(days=1),
        timedelta(days=8),
    ):
        book(START + offset)
    counts = {
        granularity: [bucket.calls for bucket in usage.buckets(granularity, tenant=tenant, since=START, until=END)]
        for granularity in ("hour", "day", "week", "month")
    }
    assert counts == {"hour": [2, 1, 1, 1], "day": [3, 1, 1], "week": [4, 1], "month": [5]}


def test_what_is_unknown_failed_or_recalled_is_counted_apart(usage: UsageStore, book: Book, tenant: str) -> None:
    book(cost=None)
    book(cost="0", outcome="failed", tokens=40)
    book(cost="0", memo="hit", saved_cost=Decimal("2.5"), latency_ms=1.0)
    (bucket,) = usage.buckets("day", tenant=tenant, since=START, until=END)
    assert (bucket.calls, bucket.unpriced, bucket.failed, bucket.hits, bucket.short) == (3, 1, 1, 1, 1)
    assert (bucket.cost, bucket.saved_cost) == (Decimal(0), Decimal("2.5"))
    assert (bucket.timed, bucket.latency_ms) == (2, 1000.0)


def test_the_period_is_half_open_and_other_tenants_are_not_seen(usage: UsageStore, book: Book, tenant: str) -> None:
    book(START - timedelta(microseconds=1))
    book(START)
    book(END)
    book(START, tenant=f"{tenant}-other")
    assert sum(bucket.calls for bucket in usage.buckets("day", tenant=tenant, since=START, until=END)) == 1
    assert len(list(usage.records(tenant=tenant, since=START, until=END))) == 1


def test_a_summary_adds_up_to_the_last_digit(analysis: UsageAnalysis, book: Book, tenant: str) -> None:
    book(cost="0.000001", user="ada", workflow="w1")
    book(cost="0.000002", user="bob", workflow="w1", model="gpt-4o-mini")
    book(cost="0.1", user="ada", provider="anthropic", model="claude")
    summary = analysis.summary(tenant=tenant, since=START, until=END)
    assert summary.total.cost == Decimal("0.100003")
    for shares in (summary.providers, summary.models, summary.users, summary.workflows):
        assert sum((share.cost for share in shares), Decimal(0)) == summary.total.cost
    assert [share.name for share in summary.models] == ["anthropic/claude", "openai/gpt-4o-mini", "openai/gpt-4o"]
    assert summary.total.tokens_per_call == 1000
    assert summary.total.tokens_per_second == 500
    assert summary.cost_per_call == Decimal("0.100003") / 3


@pytest.mark.parametrize(
    ("first", "second", "trend"),
    [
        ("10", "11.1", "rising"),
        ("10", "10.9", "steady"),
        ("10", "8", "falling"),
        ("0", "1", "rising"),
        ("0", "0", "unknown"),
    ],
)
def test_the_trend_compares_the_halves(
    analysis: UsageAnalysis, book: Book, tenant: str, first: str, second: str, trend: str
) -> None:
    book(START, cost=first)
    book(END - timedelta(days=1), cost=second)
    assert analysis.summary(tenant=tenant, since=START, until=END).trend == trend


def test_a_forecast_needs_a_week_of_days(analysis: UsageAnalysis, book: Book, tenant: str) -> None:
    for day in range(6):
        book(START + timedelta(days=day), cost="2")
    now = START + timedelta(days=20)
    assert analysis.forecast(10, tenant=tenant, now=now) is None
    book(START + timedelta(days=6), cost="2")
    forecast = analysis.forecast(10, tenant=tenant, now=now)
    assert forecast is not None
    assert (forecast.expected, forecast.per_day, forecast.confidence) == (Decimal(20), Decimal(2), 1.0)
    with pytest.raises(InvalidInputError):
        analysis.forecast(0, tenant=tenant, now=now)


def test_uneven_days_are_trusted_less(analysis: UsageAnalysis, book: Book, tenant: str) -> None:
    for day in range(8):
        book(START + timedelta(days=day), cost="4" if day % 2 else "0")
    forecast = analysis.forecast(1, tenant=tenant, now=START + timedelta(days=10))
    assert forecast is not None
    assert forecast.confidence == 0.0
    assert forecast.expected == Decimal(2)


def test_a_smaller_model_is_recommended_with_what_it_would_have_saved(
    analysis: UsageAnalysis, book: Book, tenant: str
) -> None:
    for _ in range(50):
        book(cost="0.1", tokens=20_000)
    (found,) = analysis.recommendations(tenant=tenant, since=START, until=END)
    mini = PriceBook().price(tenant, "openai", "gpt-4o-mini", Usage(input=50 * 15_000, output=50 * 5_000)).cost
    assert mini is not None
    assert (found.kind, found.subject, found.saves) == ("cheaper_model", "openai/gpt-4o", Decimal(5) - mini)


def test_short_failing_and_unpriced_calls_are_pointed_out(analysis: UsageAnalysis, book: Book, tenant: str) -> None:
    for number in range(50):
        book(cost=None if number == 0 else "0", tokens=40, outcome="failed" if number < 10 else "answered", model="m")
    kinds = {found.kind for found in analysis.recommendations(tenant=tenant, since=START, until=END)}
    assert kinds == {"batching", "failures", "prices"}


def test_a_quiet_month_gives_no_advice(analysis: UsageAnalysis, book: Book, tenant: str) -> None:
    book()
    assert analysis.recommendations(tenant=tenant, since=START, until=END) == []


def test_a_month_is_told_beside_the_one_before(analysis: UsageAnalysis, book: Book, tenant: str) -> None:
    book(datetime(2026, 2, 10, tzinfo=UTC), cost="1")
    for day in (3, 4, 5):
        book(datetime(2026, 3, day, tzinfo=UTC), cost="1", model="gpt-5")
    report = analysis.monthly(date(2026, 3, 1), tenant=tenant)
    assert (report.summary.total.cost, report.change_of_cost) == (Decimal(3), 2.0)
    assert [point.at.day for point in report.days] == [3, 4, 5]
    assert [insight for insight in report.insights if "grown by 200%" in insight]
    assert [insight for insight in report.insights if "openai/gpt-5 is new" in insight]
    assert [insight for insight in report.insights if "twice as many" in insight]


def test_the_books_are_exported_in_order(usage: UsageStore, book: Book, tenant: str) -> None:
    later = book(START + timedelta(hours=1), cost=None, user="=cmd|'/c calc'!A1")
    first = book(START, cost="0.0000012")
    records = list(usage.records(tenant=tenant, since=START, until=END))
    rows = list(csv.DictReader(io.StringIO(b"".join(export(records, "csv")).decode())))
    assert [row["id"] for row in rows] == [str(first.call_id), str(later.call_id)]
    assert (rows[0]["cost_usd"], rows[1]["cost_usd"]) == ("0.0000012", "")
    assert rows[1]["user_id"].startswith("'=")
    lines = [orjson.loads(line) for line in export(records, "jsonl")]
    assert [tuple(line) for line in lines] == [COLUMNS, COLUMNS]
    assert lines[1]["cost_usd"] is None
