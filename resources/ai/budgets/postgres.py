"""Budgets in PostgreSQL (migrations 0030 and 0120)."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from resources.ai.budgets.model import SCOPES, WINDOWS, Budget, BudgetStatus, period_start
from resources.ai.budgets.store import unknown
from resources.events.postgres import AS_SYSTEM, AS_TENANT, in_our_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from uuid import UUID

    from resources.database.postgres import Connection, Database

_COLUMNS = "budget_id, tenant, scope, subject, unit, period, starts_at, ends_at, amount, hard, thresholds, cooldown, webhook_url"
_PUT = f"""INSERT INTO aiw.ai_budget ({_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (tenant, scope, subject, unit, period, starts_at, hard) DO UPDATE SET amount = excluded.amount,
        ends_at = excluded.ends_at, thresholds = excluded.thresholds, cooldown = excluded.cooldown,
        webhook_url = excluded.webhook_url
    RETURNING budget_id"""
_REMOVE = "DELETE FROM aiw.ai_budget WHERE budget_id = %s AND tenant IS NOT DISTINCT FROM %s"
_LIST = f"SELECT {_COLUMNS} FROM aiw.ai_budget WHERE tenant IS NOT DISTINCT FROM %s"
_GET = f"{_LIST} AND budget_id = %s"
_SAME = f"""{_LIST} AND scope = %s AND subject = %s AND unit = %s AND period = %s AND starts_at IS NOT DISTINCT FROM %s
    AND hard = %s FOR UPDATE"""
_SPENDS = """SELECT s.budget_id, s.subject, sum(s.spent), sum(s.reserved), sum(s.calls)::bigint, sum(s.unpriced)::bigint
    FROM aiw.ai_spend s JOIN unnest(%s::uuid[], %s::timestamptz[], %s::bool[]) AS wanted(b, t, sliding)
        ON s.budget_id = b AND (s.period_start = t OR sliding AND s.period_start > t)
    WHERE s.tenant IS NOT DISTINCT FROM %s GROUP BY s.budget_id, s.subject ORDER BY s.subject"""


class PostgresBudgets:
    """Safe to share between threads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, budget: Budget, *, unless: Callable[[Budget | None], None] | None = None) -> Budget:
        parameters = (
            budget.budget_id,
            budget.tenant,
            budget.scope,
            budget.subject,
            budget.unit,
            budget.period,
            budget.starts_at,
            budget.ends_at,
            budget.limit,
            budget.hard,
            list(budget.thresholds),
            budget.cooldown,
            budget.webhook_url,
        )
        with self._visible_to(budget.tenant) as connection:
            if unless is not None:
                place = (budget.tenant, budget.scope, budget.subject, budget.unit, budget.period, budget.starts_at)
                row = connection.execute(_SAME, (*place, budget.hard)).fetchone()
                unless(None if row is None else _as_budget(row))
            (budget_id,) = connection.execute(_PUT, parameters).fetchone() or (budget.budget_id,)
        return replace(budget, budget_id=budget_id)

    def get(self, budget_id: UUID, *, tenant: str | None) -> Budget:
        with self._visible_to(tenant) as connection:
            return _one(connection.execute(_GET, (tenant, budget_id)).fetchone(), budget_id)

    def remove(
        self, budget_id: UUID, *, tenant: str | None, unless: Callable[[Budget | None], None] | None = None
    ) -> None:
        # The counters go with the budget, and belong to the platform: a tenant may not change what it has spent.
        with self._database.transaction() as connection, in_our_words():
            connection.execute(AS_SYSTEM)
            if unless is not None:
                unless(_one(connection.execute(f"{_GET} FOR UPDATE", (tenant, budget_id)).fetchone(), budget_id))
            if not connection.execute(_REMOVE, (budget_id, tenant)).rowcount:
                raise unknown(budget_id)

    def list(self, *, tenant: str | None) -> Sequence[Budget]:
        with self._visible_to(tenant) as connection:
            return _listed(connection, tenant)

    def statuses(self, *, tenant: str | None, now: datetime | None = None) -> Sequence[BudgetStatus]:
        at = now or datetime.now(UTC)
        with self._visible_to(tenant) as connection:
            starts = {budget: start for budget in _listed(connection, tenant) if (start := period_start(budget, at))}
            wanted = [budget.budget_id for budget in starts]
            # the database calls the beginning of a budget without end -infinity
            moments = ["-infinity" if budget.period == "total" else start for budget, start in starts.items()]
            sliding = [budget.period in WINDOWS for budget in starts]
            rows = connection.execute(
                _SPENDS, (wanted, [str(moment) for moment in moments], sliding, tenant)
            ).fetchall()
        statuses = []
        for budget, start in starts.items():
            counted = [row for row in rows if row[0] == budget.budget_id]
            statuses += [
                BudgetStatus(budget, subject, start, spent, reserved, calls, unpriced, at)
                for _, subject, spent, reserved, calls, unpriced in counted
            ] or [BudgetStatus(budget, budget.subject, start, Decimal(0), Decimal(0), 0, 0, at)]
        return statuses

    @contextmanager
    def _visible_to(self, tenant: str | None) -> Iterator[Connection]:
        with self._database.transaction() as connection, in_our_words():
            if tenant is None:
                connection.execute(AS_SYSTEM)
            else:
                connection.execute(AS_TENANT, (tenant,))
            yield connection


def _one(row: tuple[Any, ...] | None, budget_id: UUID) -> Budget:
    if row is None:
        raise unknown(budget_id)
    return _as_budget(row)


def _listed(connection: Connection, tenant: str | None) -> list[Budget]:
    budgets = [_as_budget(row) for row in connection.execute(_LIST, (tenant,))]
    return sorted(budgets, key=lambda budget: (SCOPES.index(budget.scope), budget.budget_id))


def _as_budget(row: tuple[Any, ...]) -> Budget:
    (
        budget_id,
        tenant,
        scope,
        subject,
        unit,
        period,
        starts_at,
        ends_at,
        limit,
        hard,
        thresholds,
        cooldown,
        webhook_url,
    ) = row
    return Budget(
        scope=scope,
        period=period,
        limit=limit,
        tenant=tenant,
        subject=subject,
        unit=unit,
        hard=hard,
        thresholds=tuple(thresholds),
        cooldown=cooldown,
        starts_at=starts_at,
        ends_at=ends_at,
        webhook_url=webhook_url,
        budget_id=budget_id,
    )
