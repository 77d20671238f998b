from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as Counted
from genai_prices import calc_price
from hypothesis import given
from hypothesis import strategies as st

from resources.ai.ledger.memory import MemoryCallBooks
from resources.ai.model import Usage
from resources.ai.prices.book import PriceBook
from resources.ai.prices.forecast import forecast, forecast_partitions, forecast_runs
from resources.ai.prices.memory import MemoryPrices
from resources.ai.prices.model import PriceOverride
from resources.errors import InvalidInputError
from tests.contracts.call_books import record_of

BEFORE, AFTER = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 7, 1, tzinfo=UTC)
A_MILLION = Usage(input=1_000_000, output=1_000_000)


def override(provider: str, model: str, since: datetime, price: int, *, tenant: str | None = None) -> PriceOverride:
    return PriceOverride(provider, model, since, Decimal(price), Decimal(price), tenant=tenant)


@pytest.mark.parametrize(
    ("provider", "model", "usage", "cost"),
    [
        ("openai", "gpt-4o-mini", Usage(input=10_000, output=100, cache_read=8_000), "0.00096"),
        (
            "anthropic",
            "claude-sonnet-4-5",
            Usage(input=10_000, output=100, cache_read=8_000, cache_write=1_000),
            "0.01065",
        ),
        ("openai", "text-embedding-3-small", Usage(input=1_000_000), "0.02"),
        ("azure", "gpt-4o", Usage(input=1_000_000), "2.5"),
    ],
)
def test_bundled_prices_are_those_of_the_vendor(provider: str, model: str, usage: Usage, cost: str) -> None:
    priced = PriceBook().price("t", provider, model, usage)
    assert priced.cost == Decimal(cost)
    assert (priced.price_source or "").startswith("genai-prices@")


@pytest.mark.parametrize("provider", ["bedrock", "gemini"])
def test_our_names_of_vendors_are_known_to_the_tables(provider: str) -> None:
    model = {"bedrock": "amazon.nova-pro-v1:0", "gemini": "gemini-2.5-pro"}[provider]
    assert (PriceBook().price("t", provider, model, A_MILLION).cost or 0) > 0


@pytest.mark.parametrize(("provider", "model"), [("openai", "no-such-model"), ("my-server", "gpt-4o")])
def test_what_is_not_known_costs_none(provider: str, model: str) -> None:
    priced = PriceBook().price("t", provider, model, A_MILLION)
    assert (priced.cost, priced.price_source) == (None, None)


def test_a_configured_name_has_its_kinds_prices() -> None:
    book = PriceBook(vendors={"eu": "bedrock", "mine": "openai"})
    assert (book.price("t", "mine", "gpt-4o", A_MILLION).cost or 0) > 0
    assert (book.price("t", "eu", "amazon.nova-pro-v1:0", A_MILLION).cost or 0) > 0


def test_models_on_this_machine_are_free_and_say_so() -> None:
    priced = PriceBook().price("t", "offline", "extractive-v1", A_MILLION)
    assert (priced.cost, priced.price_source) == (Decimal(0), "free")


def test_an_override_counts_from_its_day_and_the_tenants_own_goes_first() -> None:
    store = MemoryPrices()
    for added in (
        override("openai", "gpt-4o", BEFORE, 1),
        override("openai", "gpt-4o", AFTER, 2),
        override("openai", "gpt-4o", BEFORE, 3, tenant="big"),
        override("openai", "gpt-4o", BEFORE, 4),
    ):
        store.add(added)
    book = PriceBook(store)
    assert book.price("t", "openai", "gpt-4o", A_MILLION, at=AFTER).cost == 4
    assert book.price("t", "openai", "gpt-4o", A_MILLION, at=BEFORE).cost == 8
    assert book.price("big", "openai", "gpt-4o", A_MILLION, at=AFTER).cost == 6
    assert book.price("t", "openai", "gpt-4o", A_MILLION, at=AFTER).price_source == "override@2"


def test_overrides_are_read_again_after_a_while() -> None:
    clock, store = [0.0], MemoryPrices()
    book = PriceBook(store, monotonic=lambda: clock[0])
    assert book.price("t", "mine", "m", A_MILLION).cost is None
    store.add(override("mine", "m", BEFORE, 1))
    assert book.price("t", "mine", "m", A_MILLION).cost is None
    clock[0] = 31.0
    assert book.price("t", "mine", "m", A_MILLION).cost == 2


def test_cached_input_has_a_price_of_its_own() -> None:
    price = PriceOverride("p", "m", BEFORE, Decimal(10), Decimal(20), Decimal(1), Decimal("12.5"))
    usage = Usage(input=1_000_000, output=0, cache_read=500_000, cache_write=100_000)
    assert price.cost(usage) == Decimal(4) + Decimal("0.5") + Decimal("1.25")


@given(
    tokens=st.integers(0, 10**6),
    read=st.floats(0, 1),
    written=st.floats(0, 1),
    model=st.sampled_from(["claude-sonnet-4-5"]),
)
def test_no_use_of_the_cache_costs_more_than_the_worst_case(
    tokens: int, read: float, written: float, model: str
) -> None:
    from_cache = int(tokens * read)
    to_cache = int((tokens - from_cache) * written)
    book = PriceBook()
    worst = book.worst_case("t", "anthropic", model, Usage(input=tokens, output=50)).cost
    real = Usage(input=tokens, output=50, cache_read=from_cache, cache_write=to_cache)
    cost = book.price("t", "anthropic", model, real).cost
    assert worst is not None
    assert cost is not None
    assert cost <= worst


@given(
    tokens=st.integers(0, 10**7),
    read=st.integers(0, 10**6),
    written=st.integers(0, 10**6),
    output=st.integers(0, 10**6),
    place=st.sampled_from(
        [
            ("openai", "gpt-4o-mini"),
            ("openai", "gpt-5.2"),
            ("anthropic", "claude-haiku-4-5"),
            ("anthropic", "claude-sonnet-4-5"),
            ("aws", "amazon.nova-pro-v1:0"),
            ("google", "gemini-2.5-pro"),
            ("deepseek", "deepseek-chat"),
        ]
    ),
)
def test_the_short_way_to_a_price_leads_to_the_same(
    tokens: int, read: int, written: int, output: int, place: tuple[str, str]
) -> None:
    usage = Usage(input=tokens + read + written, output=output, cache_read=read, cache_write=written)
    now = datetime.now(UTC)
    counted = Counted(
        input_tokens=usage.input, output_tokens=output, cache_read_tokens=read, cache_write_tokens=written
    )
    table = calc_price(counted, model_ref=place[1], provider_id=place[0], genai_request_timestamp=now).total_price
    assert PriceBook().price("t", *place, usage, at=now).cost == table


def test_a_forecast_is_a_range_around_what_the_like_has_cost() -> None:
    history = [Decimal("0.012"), Decimal("0.014"), Decimal("0.013"), Decimal("0.016"), None]
    found = forecast(history, 340)
    assert found is not None
    assert found.low < found.expected < found.high
    assert found.low > 340 * Decimal("0.012")
    assert found.high < 340 * Decimal("0.016")
    assert (found.known, found.unpriced) == (4, 1)
    assert str(found).startswith("these 340 will cost $4.")
    assert forecast(history, 340) == found


def test_a_forecast_without_a_history_is_unknown() -> None:
    assert forecast([None], 5) is None
    with pytest.raises(InvalidInputError):
        forecast([Decimal(1)], 0)


def test_a_backfill_is_forecast_from_the_books_as_if_nothing_were_recorded() -> None:
    books = MemoryCallBooks()
    for number in range(10):
        books.settle(record_of("t", asset="a", partition=str(number), workflow="w", run_id="r", cost=Decimal(1)))
    saved = {"memo": "hit", "cost": Decimal(0), "saved_cost": Decimal(1)}
    books.settle(record_of("t", asset="a", partition="10", workflow="w", run_id="s", **saved))
    books.settle(record_of("t", asset="other", partition="0", cost=Decimal(1000)))
    partitions = forecast_partitions(books, 5, tenant="t", asset="a")
    assert partitions is not None
    assert partitions.low == partitions.high == 5
    assert partitions.known == 11
    runs = forecast_runs(books, 1, tenant="t", workflow="w")
    assert runs is not None
    assert [runs.low, runs.high] == [Decimal(1), Decimal(10)]
    assert forecast_runs(books, 1, tenant="t", workflow="unknown") is None


def test_small_sums_are_not_rounded_away() -> None:
    assert "$0.00" not in str(forecast([Decimal("0.000001")], 3)).replace("$0.000003", "")
