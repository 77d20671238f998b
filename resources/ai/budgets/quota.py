"""What a tenant may spend in all, as a budget of the platform's: the tenant sees it, and cannot change it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.ai.budgets.model import Budget

if TYPE_CHECKING:
    from decimal import Decimal

    from resources.ai.budgets.model import BudgetStatus
    from resources.ai.budgets.store import BudgetStore


def limit_spending(budgets: BudgetStore, tenant: str, usd_per_month: Decimal | None) -> None:
    """Let the tenant spend so much a month (UTC); None = as much as it likes. Raises UnavailableError."""
    if usd_per_month is not None:
        budgets.put(Budget("tenant", "month", usd_per_month, subject=tenant))
        return
    for budget in budgets.list(tenant=None):
        if _is_quota(budget, tenant):
            budgets.remove(budget.budget_id, tenant=None)


def spending_of(budgets: BudgetStore, tenant: str) -> BudgetStatus | None:
    """How the tenant's quota stands this month; None when it has none."""
    return next((one for one in budgets.statuses(tenant=None) if _is_quota(one.budget, tenant)), None)


def _is_quota(budget: Budget, tenant: str) -> bool:
    whose = (budget.tenant, budget.scope, budget.subject, budget.unit, budget.period, budget.hard)
    return whose == (None, "tenant", tenant, "usd", "month", True)
