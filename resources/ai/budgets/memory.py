"""Budgets in memory, for tests and for one process."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

from resources.ai.budgets.model import (
    BUCKETS,
    SCOPES,
    WINDOWS,
    Budget,
    BudgetStatus,
    bucket_start,
    needed_of,
    period_start,
    subject_of,
    taken_of,
)
from resources.ai.budgets.store import unknown
from resources.ai.ledger.model import Alert, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from uuid import UUID

    from resources.ai.ledger.model import CallRecord, Opening

Charge = tuple["UUID", str, datetime]


@dataclass
class _Spend:
    spent: Decimal = Decimal(0)
    reserved: Decimal = Decimal(0)
    calls: int = 0
    unpriced: int = 0

    def __add__(self, other: _Spend) -> _Spend:
        return _Spend(
            self.spent + other.spent,
            self.reserved + other.reserved,
            self.calls + other.calls,
            self.unpriced + other.unpriced,
        )


class MemoryBudgets:
    """Safe to share between threads. `reserve` and `charge` are for the books of calls."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._budgets: dict[UUID, Budget] = {}
        self._spends: dict[Charge, _Spend] = {}
        self._told: dict[tuple[object, ...], dict[Decimal, datetime]] = {}

    def put(self, budget: Budget, *, unless: Callable[[Budget | None], None] | None = None) -> Budget:
        with self._lock:
            known = next((known for known in self._budgets.values() if _place(known) == _place(budget)), None)
            if unless is not None:
                unless(known)
            if known is not None:
                budget = replace(budget, budget_id=known.budget_id)
            self._budgets[budget.budget_id] = budget
            return budget

    def get(self, budget_id: UUID, *, tenant: str | None) -> Budget:
        known = self._budgets.get(budget_id)
        if known is None or known.tenant != tenant:
            raise unknown(budget_id)
        return known

    def remove(
        self, budget_id: UUID, *, tenant: str | None, unless: Callable[[Budget | None], None] | None = None
    ) -> None:
        with self._lock:
            known = self.get(budget_id, tenant=tenant)
            if unless is not None:
                unless(known)
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
                counted: dict[str, _Spend] = {}
                for (budget_id, subject, started), spend in sorted(self._spends.items(), key=lambda item: item[0][1:]):
                    if budget_id == budget.budget_id and (started == start or _in_window(budget, started, start)):
                        counted[subject] = counted.get(subject, _Spend()) + spend
                statuses += [
                    BudgetStatus(budget, subject, start, spend.spent, spend.reserved, spend.calls, spend.unpriced, at)
                    for subject, spend in (counted or {budget.subject: _Spend()}).items()
                ]
        return statuses

    def reserve(self, opening: Opening, *, at: datetime) -> tuple[Charge, ...] | Refusal:
        """Reserve on all budgets that apply, or tell which one refuses."""
        record = opening.record
        with self._lock:
            charges: dict[Charge, Decimal] = {}
            for budget in sorted(self._budgets.values(), key=lambda b: (SCOPES.index(b.scope), b.budget_id)):
                subject, start = subject_of(budget, record.provider, record.context), period_start(budget, at)
                needed = needed_of(budget, opening)
                if subject is None or start is None or (budget.unit != "usd" and not needed):
                    continue
                spend = self._held(budget, subject, start)
                beyond = spend.spent + spend.reserved + (needed or 0) - budget.limit
                if budget.hard and (beyond > 0 or (needed is None and opening.refuse_unpriced)):
                    return Refusal(
                        budget.budget_id,
                        budget.scope,
                        subject,
                        budget.period,
                        budget.limit,
                        spend.spent,
                        spend.reserved,
                        needed,
                        budget.unit,
                        self._opens(budget, subject, start, beyond, at=at),
                    )
                begun = bucket_start(budget, at) if budget.period in WINDOWS else start
                charges[budget.budget_id, subject, begun] = needed or Decimal(0)
            for charge, amount in charges.items():
                self._spends.setdefault(charge, _Spend()).reserved += amount
            return tuple(charges)

    def charge(
        self, charges: Iterable[Charge], opening: Opening, record: CallRecord, *, at: datetime
    ) -> Sequence[Alert]:
        """Turn a reservation into spending; the thresholds that are to be told of."""
        alerts = []
        with self._lock:
            for charge in charges:
                budget, spend = self._budgets.get(charge[0]), self._spends.get(charge)
                if budget is None or spend is None:
                    continue
                taken = taken_of(budget, opening, record)
                spend.reserved -= needed_of(budget, opening) or 0
                spend.spent += taken or 0
                spend.calls += 1
                spend.unpriced += taken is None
                sliding = budget.period in WINDOWS
                start = period_start(budget, at) if sliding else charge[2]
                spent = self._held(budget, charge[1], start or charge[2]).spent
                reached = max((t for t in budget.thresholds if spent >= t * budget.limit), default=None)
                told = self._told.setdefault(charge[:2] if sliding else charge, {})
                if reached is None or (reached in told and at - told[reached] < budget.cooldown):
                    continue
                told[reached] = at
                place = (budget.budget_id, budget.tenant, budget.scope, charge[1], budget.period)
                alerts.append(Alert(*place, threshold=reached, limit=budget.limit, spent=spent, unit=budget.unit))
        return alerts

    def _held(self, budget: Budget, subject: str, start: datetime) -> _Spend:
        """What the period or the window holds."""
        if budget.period not in WINDOWS:
            return self._spends.setdefault((budget.budget_id, subject, start), _Spend())
        return sum((spend for _, spend in self._buckets(budget, subject, start)), _Spend())

    def _opens(self, budget: Budget, subject: str, start: datetime, beyond: Decimal, *, at: datetime) -> float | None:
        """Seconds until a window has let go of so much."""
        if budget.period not in WINDOWS:
            return None
        freed, span = Decimal(0), WINDOWS[budget.period]
        for begun, spend in self._buckets(budget, subject, start):
            freed += spend.spent + spend.reserved
            if freed >= beyond:
                return max(0.0, (begun + span / BUCKETS + span - at).total_seconds())
        return None

    def _buckets(self, budget: Budget, subject: str, start: datetime) -> Sequence[tuple[datetime, _Spend]]:
        """Those that count, the oldest first; the others are forgotten."""
        place = (budget.budget_id, subject)
        self._spends = {
            charge: spend for charge, spend in self._spends.items() if charge[:2] != place or charge[2] >= start
        }
        return sorted(
            ((charge[2], spend) for charge, spend in self._spends.items() if charge[:2] == place),
            key=lambda one: one[0],
        )


def _in_window(budget: Budget, started: datetime, start: datetime) -> bool:
    return budget.period in WINDOWS and started > start


def _place(budget: Budget) -> tuple[object, ...]:
    return (budget.tenant, budget.scope, budget.subject, budget.unit, budget.period, budget.starts_at, budget.hard)
