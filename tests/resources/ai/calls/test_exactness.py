"""Every cent is found again, whichever way it is counted."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal
from typing import TYPE_CHECKING

from resources.ai.budgets.model import Budget
from resources.ai.budgets.postgres import PostgresBudgets
from resources.ai.model import CallContext, Usage
from resources.ai.provider import ProviderRefusedError, ProviderUnavailableError, RateLimitedError, StreamTruncatedError
from resources.ai.providers.scripted import ScriptedProvider
from resources.errors import PlatformError
from resources.events.postgres import PostgresEventStore
from resources.events.projections.model import Rows
from resources.events.projections.usage import AiUsage
from tests.resources.ai.calls.parts import answer, postgres_calls, request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.ai.ledger.store import CallBooks
    from resources.ai.model import Answer, ChatRequest
    from resources.database.postgres import Database
    from resources.events.model import RecordedEvent

CALLS = 120
FAILURES = (
    RateLimitedError("slow", retry_after=0),
    ProviderUnavailableError("down", dependency="scripted"),
    ProviderUnavailableError("late", dependency="scripted", code="provider_timeout"),
    StreamTruncatedError("cut", dependency="scripted"),
    ProviderRefusedError("no"),
)


def projected(events: Sequence[RecordedEvent], tenant: str) -> dict[str, tuple[object, ...]]:
    """What the read model makes of the events, by provider and model."""
    projection, rows = AiUsage(), Rows(lambda _: {})
    for event in events:
        if event.type in projection.types:
            projection.apply(event, rows)
    counted = ("requests", "unpriced", "prompt_tokens", "completion_tokens")
    return {
        key.partition("/")[2]: (*(row[name] for name in counted), Decimal(row["cost_usd"]))
        for (owner, key), row in rows.changed()
        if owner == tenant
    }


def booked(books: CallBooks, tenant: str) -> dict[str, tuple[object, ...]]:
    """The same from the books."""
    (totals,) = books.totals("model", tenant=tenant).values()
    return {
        "scripted/m": (totals.calls, totals.unpriced, totals.input_tokens, totals.output_tokens, totals.cost),
    }


async def test_sums_over_calls_runs_assets_budgets_and_events_agree(database: Database, tenant: str) -> None:
    chance = random.Random(5)
    budgets = PostgresBudgets(database)
    for scope in ("tenant", "provider", "workflow", "run"):
        budgets.put(Budget(scope, "total", Decimal(1000), tenant=tenant, thresholds=()))

    def line(asked: ChatRequest) -> Answer | Exception:
        if chance.random() < 0.3:
            return chance.choice(FAILURES)
        text = asked.messages[0].text
        usage = None if chance.random() < 0.1 else Usage(input=len(text), output=chance.randint(0, 10))
        return answer(f"answer to {text}", usage=usage)

    calls = postgres_calls(database, ScriptedProvider([line] * 1000))
    told: list[Decimal] = []

    async def call(number: int) -> None:
        context = CallContext(
            tenant=tenant,
            run_id=f"r{number % 4}",
            workflow="w",
            node_id=f"n{number % 3}",
            asset="a",
            partition=f"p{number % 5}",
        )
        try:
            result = await calls.complete(request(f"question {number % 90}"), context)
        except PlatformError:
            return
        assert result.cost is not None
        told.append(result.cost)

    for start in range(0, CALLS, 8):
        await asyncio.gather(*(call(number) for number in range(start, start + 8)))
    rows = calls.books.calls(tenant=tenant)
    total = sum(row.cost or 0 for row in rows)
    sums = {
        by: sum(t.cost for t in calls.books.totals(by, tenant=tenant).values())
        for by in ("run", "asset", "partition", "node", "tenant", "day")
    }
    assert set(sums.values()) == {total}
    by_scope: dict[str, Decimal] = {}
    for status in budgets.statuses(tenant=tenant):
        by_scope[status.budget.scope] = by_scope.get(status.budget.scope, Decimal(0)) + status.spent
        assert status.reserved == 0
    assert by_scope == dict.fromkeys(("tenant", "provider", "workflow", "run"), total)
    events = PostgresEventStore(database).read_all(stream_type="ai_interaction", tenant=tenant, limit=10_000)
    assert {event.stream.id for event in events} == {str(row.call_id) for row in rows}
    charged = [event for event in events if event.data.get("cost_usd") is not None]
    assert sum(Decimal(event.data["cost_usd"]) for event in charged) == total
    assert projected(events, tenant) == booked(calls.books, tenant)
    outcomes = {row.outcome for row in rows}
    assert outcomes == {"answered", "failed"}
    assert 0 < sum(told) <= total
    await calls.close()
