"""Budgets in memory, for tests and for one process."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from resources.ai.budgets.model import SCOPES, Budget, BudgetStatus, period_start, subject_of
from resources.ai.ledger.model import Alert, Refusal
from resources.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

    from resources.ai.model import CallContext

Charge = tuple["UUID", str, datetime]


@dataclass
class _Spend:
    spent: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)
    calls: int = 0
    unpriced: int = 0
    alerts: dict[Decimal, datetime] = field(default_factory=dict)


class MemoryBudgets:
    """Safe to share between threads. `reserve` and `charge` are for the books of calls."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._budgets: dict[UUID, Budget] = {}
        self._spends: dict[Charge, _Spend] = {}

    def put(self, budget: Budget) -> Budget:
        with self._lock:
            for known in self._budgets.values():
                if _place(known) == _place(budget):
                    budget = replace(budget, budget_id=known.budget_id)
            self._budgets[budget.budget_id] = budget
            return budget

    def remove(self, budget_id: UUID, *, tenant: str | None) -> None:
        with self._lock:
            known = self._budgets.get(budget_id)
            if known is None or known.tenant != tenant:
                raise NotFoundError(f"There is no budget {str(budget_id)!r}.")
            del self._budgets[budget_id]
            self._spends = {charge: spend for charge, spend in self._spends.items() if charge[0] != budget_id}

    def list(self, *, tenant: str | None) -> Sequence[Budget]:
        with self._lock:
            found = [budget for budget in self._budgets.values() if budget.tenant == tenant]
        return sorted(found, key=lambda budget: (SCOPES.index(budget.scope), budget.budget_id))

    def statuses(self, *, tenant: str | None, now: datetime | None = None) -> Sequence[BudgetStatus]:
        at = now or datetime.now(UTC)
        statuses = []
        for budget in self.list(tenant=tenant):
            start = period_start(budget, at)
            if start is None:
                continue
            with self._lock:
                counted = {
                    subject: spend
                    for (budget_id, subject, started), spend in sorted(
                        self._spends.items(), key=lambda item: item[0][1]
                    )
                    if budget_id == budget.budget_id and started == start
                } or {budget.subject: _Spend()}
                statuses += [
                    BudgetStatus(budget, subject, start, spend.spent, spend.reserved, spend.calls, spend.unpriced, at)
                    for subject, spend in counted.items()
                ]
        return statuses

    def reserve(
        self, provider: str, context: CallContext, amount: Decimal | None, *, refuse_unpriced: bool, at: datetime
    ) -> tuple[Charge, ...] | Refusal:
        """Reserve on all budgets that apply, or tell which one refuses."""
        with self._lock:
            charges: list[Charge] = []
            for budget in sorted(self._budgets.values(), key=lambda b: (SCOPES.index(b.scope), b.budget_id)):
                subject, start = subject_of(budget, provider, context), period_start(budget, at)
                if subject is None or start is None:
                    continue
                charge = (budget.budget_id, subject, start)
                spend = self._spends.setdefault(charge, _Spend())
                beyond = spend.spent + spend.reserved + (amount or 0) > budget.limit_usd
                if budget.hard and (beyond or (amount is None and refuse_unpriced)):
                    return Refusal(
                        budget.budget_id,
                        budget.scope,
                        subject,
                        budget.period,
                        budget.limit_usd,
                        spend.spent,
                        spend.reserved,
                        amount,
                    )
                charges.append(charge)
            for charge in charges:
                self._spends[charge].reserved += amount or 0
            return tuple(charges)

    def charge(
        self, charges: Iterable[Charge], amount: Decimal | None, cost: Decimal | None, *, at: datetime
    ) -> Sequence[Alert]:
        """Turn a reservation into spending; the thresholds that are to be told of."""
        alerts = []
        with self._lock:
            for charge in charges:
                budget, spend = self._budgets.get(charge[0]), self._spends.get(charge)
                if budget is None or spend is None:
                    continue
                spend.reserved -= amount or 0
                spend.spent += cost or 0
                spend.calls += 1
                spend.unpriced += cost is None
                reached = max((t for t in budget.thresholds if spend.spent >= t * budget.limit_usd), default=None)
                if reached is None or (reached in spend.alerts and at - spend.alerts[reached] < budget.cooldown):
                    continue
                spend.alerts[reached] = at
                place = (budget.budget_id, budget.tenant, budget.scope, charge[1], budget.period)
                alerts.append(Alert(*place, threshold=reached, limit=budget.limit_usd, spent=spend.spent))
        return alerts


def _place(budget: Budget) -> tuple[object, ...]:
    return (budget.tenant, budget.scope, budget.subject, budget.period, budget.starts_at, budget.hard)
