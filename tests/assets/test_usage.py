"""The usage of a day as an asset, and its budgets as a check."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest

from assets.partitions import TENANT_TAG
from assets.usage import check_budgets, daily_usage
from definitions.schedules import report_daily
from resources.ai.accounts import AiAccounts
from resources.ai.budgets.model import Budget
from tests.contracts.call_books import opening_of, record_of

if TYPE_CHECKING:
    from resources.database.postgres import Database

DAY = "2026-05-04"
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.fixture
def accounts(database: Database) -> AiAccounts:
    return AiAccounts.open(database)


def materialised(accounts: AiAccounts, tenant: str, day: str = DAY) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [daily_usage, check_budgets],
        partition_key=day,
        resources={"accounts": dg.ResourceDefinition.hardcoded_resource(accounts)},
        tags={TENANT_TAG: tenant},
    )


def shown(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = result.get_asset_materialization_events()
    return {name: value.value for name, value in event.materialization.metadata.items()}


def test_a_day_is_what_the_books_say_about_it(accounts: AiAccounts, tenant: str) -> None:
    for number in range(4):
        accounts.books.settle(record_of(tenant, created_at=NOON, model=f"m{number % 2}", cost=Decimal("0.125")))
    accounts.books.settle(
        record_of(tenant, created_at=NOON, outcome="failed", usage=None, cost=None, error_code="server")
    )
    accounts.books.settle(record_of(tenant, created_at=NOON.replace(day=5)))
    found = shown(materialised(accounts, tenant))
    numbers = ("calls", "failed", "unpriced_calls", "input_tokens", "output_tokens", "cost_usd", "error_rate")
    assert [found[name] for name in numbers] == [5, 1, 1, 40, 20, 0.5, 0.2]
    totals = accounts.books.totals("day", tenant=tenant)[DAY]
    assert (totals.calls, float(totals.cost)) == (found["calls"], found["cost_usd"])
    assert "| openai/m0 | 2 | 30 | 0.250 | 0.0% |" in found["models"]


def test_a_day_without_calls_has_numbers_too(accounts: AiAccounts, tenant: str) -> None:
    found = shown(materialised(accounts, tenant))
    assert (found["calls"], found["cost_usd"], found["error_rate"]) == (0, 0.0, 0.0)
    assert "latency_ms" not in found


@pytest.mark.parametrize(("spent", "passed"), [("0.90", True), ("0.96", False)])
def test_a_budget_that_is_nearly_spent_is_warned_of(
    accounts: AiAccounts, tenant: str, spent: str, passed: bool
) -> None:
    accounts.budgets.put(Budget("tenant", "total", Decimal(1), tenant=tenant, thresholds=()))
    record = record_of(tenant, cost=Decimal(spent))
    accounts.books.open(opening_of(record))
    accounts.books.settle(record)
    (check,) = materialised(accounts, tenant).get_asset_check_evaluations()
    assert (check.passed, check.severity) == (passed, dg.AssetCheckSeverity.WARN)
    assert f"| tenant | {tenant} | total | ${spent} | $1 |" in str(check.metadata["budgets"].value)


def test_each_night_the_day_that_is_over_is_added_up() -> None:
    night = datetime(2026, 5, 5, 0, 11, tzinfo=UTC)
    with dg.build_schedule_context(scheduled_execution_time=night) as context:
        request = report_daily(context)
    assert isinstance(request, dg.RunRequest)
    assert (request.partition_key, request.run_key) == (DAY, DAY)
