"""What models were asked and what it cost, day by day: an asset whose numbers the UI plots over its partitions.

The books of calls are complete at any time (`aiw ai usage`); a partition is what they said about a day. Materialised again, it
says the same, unless calls of processes that died were settled since.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import dagster as dg

from assets.documents import OWNERS
from assets.failures import RETRY_POLICY, failures
from assets.partitions import partition_of, tenant_of
from resources.ai.accounts import AiAccounts
from resources.ai.budgets.model import BudgetStatus, amount_of
from resources.ai.usage.model import Share

DAYS: Final = dg.DailyPartitionsDefinition(start_date="2026-01-01", end_offset=1)
"""In UTC, today included: it can be looked at before it is over."""

_UNHEALTHY: Final = frozenset({"exceeded", "depleted"})


@dg.asset(
    key=["usage", "daily"],
    partitions_def=DAYS,
    group_name="usage",
    kinds={"python", "postgres"},
    owners=OWNERS,
    retry_policy=RETRY_POLICY,
    description="Calls of models in one day (UTC): cost, tokens, errors, and which models they were.",
)
def daily_usage(
    context: dg.AssetExecutionContext, accounts: dg.ResourceParam[AiAccounts]
) -> dg.MaterializeResult[None]:
    """Add up the day."""
    since = datetime.fromisoformat(partition_of(context.run)).replace(tzinfo=UTC)
    with failures():
        found = accounts.usage.summary(tenant=tenant_of(context.run), since=since, until=since + timedelta(days=1))
    total = found.total
    metadata: dict[str, Any] = {
        "calls": dg.MetadataValue.int(total.calls),
        "recalled": dg.MetadataValue.int(total.hits),
        "failed": dg.MetadataValue.int(total.failed),
        "error_rate": dg.MetadataValue.float(total.error_rate or 0.0),
        "input_tokens": dg.MetadataValue.int(total.input_tokens),
        "output_tokens": dg.MetadataValue.int(total.output_tokens),
        "cost_usd": dg.MetadataValue.float(float(total.cost)),
        "saved_usd": dg.MetadataValue.float(float(total.saved_cost)),
        "unpriced_calls": dg.MetadataValue.int(total.unpriced),
        "models": dg.MetadataValue.md(table("model", found.models)),
        "workflows": dg.MetadataValue.md(table("workflow", found.workflows)),
    }
    if total.latency_ms is not None:
        metadata["latency_ms"] = dg.MetadataValue.float(round(total.latency_ms, 3))
    return dg.MaterializeResult(metadata=metadata)


@dg.asset_check(
    asset=daily_usage,
    name="budgets_are_healthy",
    description="No budget of the tenant or the platform is spent to 95 % of its limit",
)
def check_budgets(
    context: dg.AssetCheckExecutionContext, accounts: dg.ResourceParam[AiAccounts]
) -> dg.AssetCheckResult:
    """How the budgets stand now, whatever the partition."""
    with failures():
        statuses = [
            *accounts.budgets.statuses(tenant=None),
            *accounts.budgets.statuses(tenant=tenant_of(context.run)),
        ]
    unhealthy = [status for status in statuses if status.health in _UNHEALTHY]
    return dg.AssetCheckResult(
        passed=not unhealthy,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(unhealthy)} of {len(statuses)} budgets are spent." if unhealthy else None,
        metadata={
            "budgets": dg.MetadataValue.md(_budgets(statuses)),
            "spent": dg.MetadataValue.int(len(unhealthy)),
        },
    )


def table(kind: str, shares: Iterable[Share]) -> str:
    """A Markdown table, the dearest first."""
    rows = [
        f"| {share.name or '(none)'} | {share.calls} | {share.input_tokens + share.output_tokens} | {share.cost:f} | "
        f"{'' if share.error_rate is None else f'{share.error_rate:.1%}'} |"
        for share in shares
    ]
    return "\n".join([f"| {kind} | calls | tokens | US dollars | errors |", "|---|--:|--:|--:|--:|", *rows])


def _budgets(statuses: Sequence[BudgetStatus]) -> str:
    rows = [
        f"| {status.budget.scope} | {status.subject} | {status.budget.period} | "
        f"{amount_of(status.spent, status.budget.unit)} | {amount_of(status.budget.limit, status.budget.unit)} | "
        f"{status.health} |"
        for status in statuses
    ]
    head = "| scope | subject | period | spent | limit | health |"
    return "\n".join([head, "|---|---|---|--:|--:|---|", *rows]) if rows else "There are no budgets."
