"""Usage, budgets and prices, over HTTP and at the shell."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import uuid_utils.compat as uuid_utils
from typer.testing import CliRunner

from api.cli.app import app
from resources.ai.ledger.model import CallRecord
from resources.ai.ledger.postgres import PostgresCallBooks
from resources.ai.model import CallContext, Usage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

    from resources.database.postgres import Database

NOW = datetime.now(UTC)


@pytest.fixture
def book(database: Database, tenant: str) -> Callable[..., None]:
    def book(cost: str | None = "0.25", *, days_ago: float = 1, **context: Any) -> None:
        record = CallRecord(
            call_id=uuid_utils.uuid7(),
            kind="chat",
            outcome="answered",
            memo="miss",
            fingerprint="f",
            provider="openai",
            model="gpt-4o",
            context=CallContext(tenant=tenant, **context),
            usage=Usage(input=900, output=100),
            cost=None if cost is None else Decimal(cost),
            prompt_version="greeting@2",
            created_at=NOW - timedelta(days=days_ago),
        )
        PostgresCallBooks(database).settle(record)

    return book


def get(http: httpx.Client, path: str, **parameters: Any) -> Any:
    answer = http.get(f"/api/v1{path}", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_period_in_figures(http: httpx.Client, book: Callable[..., None]) -> None:
    book(run_id="r1", workflow="w")
    book("0.000001", run_id="r1", workflow="w")
    book(None, run_id="r2")
    book(days_ago=40)
    found = get(http, "/usage/summary")
    assert (found["total"]["calls"], found["total"]["unpriced"]) == (3, 1)
    assert Decimal(found["total"]["cost"]) == Decimal("0.250001")
    by_run = {one["name"]: Decimal(one["cost"]) for one in get(http, "/usage/totals", by="run")}
    assert by_run["r1"] == Decimal("0.250001")
    assert [one["calls"] for one in get(http, "/usage/series", by="month", since="2020-01-01T00:00:00Z")] != []
    (call,) = get(http, "/usage/calls", run_id="r2")
    assert (call["cost"], call["prompt_version"], call["context"]) == (None, "greeting@2", {"run_id": "r2"})


def test_what_more_of_the_like_will_cost(http: httpx.Client, book: Callable[..., None]) -> None:
    assert get(http, "/usage/estimate", units=10, workflow="w") is None
    for number in range(20):
        book(f"0.0{number % 3 + 1}", run_id=f"r{number}", workflow="w")
    found = get(http, "/usage/estimate", units=340, workflow="w")
    assert Decimal(found["low"]) <= Decimal(found["expected"]) <= Decimal(found["high"])
    assert 340 * Decimal("0.01") < Decimal(found["expected"]) < 340 * Decimal("0.03")
    assert found["text"].startswith("these 340 runs will cost $")
    assert http.get("/api/v1/usage/estimate", params={"units": 1}).status_code == 400


def test_a_forecast_and_a_report(http: httpx.Client, book: Callable[..., None]) -> None:
    assert get(http, "/usage/forecast") is None
    for day in range(1, 9):
        book("2", days_ago=day)
    assert Decimal(get(http, "/usage/forecast", days=7)["expected"]) == Decimal(14)
    month = f"{NOW - timedelta(days=1):%Y-%m}"
    assert get(http, f"/usage/months/{month}")["summary"]["total"]["calls"] >= 1


@pytest.mark.parametrize(
    "path",
    [
        "/usage/summary?since=2026-01-02&until=2026-01-01",
        "/usage/summary?since=1900-01-01T00:00:00Z",
        "/usage/months/2026-13",
    ],
)
def test_periods_that_are_none(http: httpx.Client, path: str) -> None:
    assert http.get(f"/api/v1{path}").status_code in {400, 422}


def test_the_books_are_exported(http: httpx.Client, book: Callable[..., None]) -> None:
    book(run_id="r1")
    answer = http.get("/api/v1/usage/export")
    assert answer.headers["content-type"].startswith("text/csv")
    assert [row["run_id"] for row in csv.DictReader(io.StringIO(answer.text))] == ["r1"]
    lines = http.get("/api/v1/usage/export", params={"format": "jsonl"}).text.splitlines()
    assert [orjson.loads(line)["run_id"] for line in lines] == ["r1"]


def test_a_budget_is_set_changed_and_removed(http: httpx.Client, tenant: str) -> None:
    made = http.put("/api/v1/budgets", json={"limit": "1.50", "period": "day"}).json()
    assert (made["scope"], made["subject"], made["limit"]) == ("tenant", tenant, "1.50")
    changed = http.put("/api/v1/budgets", json={"limit": "2", "period": "day"}).json()
    assert changed["budget_id"] == made["budget_id"]
    (status,) = get(http, "/budgets/status")
    assert (Decimal(status["remaining"]), status["health"]) == (Decimal(2), "healthy")
    assert http.delete(f"/api/v1/budgets/{made['budget_id']}").status_code == 204
    assert http.delete(f"/api/v1/budgets/{made['budget_id']}").status_code == 404
    assert get(http, "/budgets") == []


@pytest.mark.parametrize(
    "body",
    [
        {"limit": "-1"},
        {"limit": "NaN"},
        {"limit": "1", "scope": "global"},
        {"limit": "1", "period": "custom"},
        {"limit": "1", "thresholds": ["0"]},
        {"limit": "1", "period": "fortnight"},
    ],
)
def test_budgets_that_cannot_be(http: httpx.Client, body: dict[str, Any]) -> None:
    assert http.put("/api/v1/budgets", json=body).status_code in {400, 422}


def test_a_price_of_ones_own_counts(http: httpx.Client) -> None:
    asked = {"provider": "openai", "model": "house-model", "input": 1_000_000, "output": 0}
    assert get(http, "/prices/quote", **asked)["cost"] is None
    body = {"provider": "openai", "model": "house-model", "input_mtok": "3", "output_mtok": "9", "note": "contract"}
    assert http.post("/api/v1/prices", json=body).status_code == 201
    assert Decimal(get(http, "/prices/quote", **asked)["cost"]) == Decimal(3)
    (listed,) = [one for one in get(http, "/prices") if one["own"]]
    assert (listed["model"], listed["note"]) == ("house-model", "contract")


def test_money_at_the_shell(api_url: str, book: Callable[..., None], tmp_path: Path) -> None:
    def aiw(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["--api-url", api_url, "ai", *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    book(run_id="r1", workflow="w")
    assert "1 calls" in aiw("usage")
    assert json.loads(aiw("usage", "--json"))["total"]["calls"] == 1
    assert "greeting@2" in aiw("calls", "--run", "r1")
    assert "these 10 runs will cost" in aiw("estimate", "10", "--workflow", "w")
    assert "nothing can be foretold" in aiw("forecast")
    assert "nothing to say" in aiw("advice")
    aiw("export", "--to", str(tmp_path / "calls.csv"))
    assert "r1" in (tmp_path / "calls.csv").read_text()
    assert "$5.00 a month" in aiw("budgets", "set", "5")
    (budget,) = json.loads(aiw("budgets", "status", "--json"))
    assert "healthy" in aiw("budgets", "status")
    aiw("budgets", "remove", budget["budget"]["budget_id"])
    assert "nobody knows" in aiw("prices", "show", "openai", "no-such-model-at-all")
    aiw("prices", "add", "openai", "no-such-model-at-all", "--input", "1", "--output", "2")
    assert "$3.00" in aiw("prices", "show", "openai", "no-such-model-at-all")
    assert "no-such-model-at-all" in aiw("prices", "list")
    assert "1 calls" in aiw("report", f"{NOW - timedelta(days=1):%Y-%m}")
