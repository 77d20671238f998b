"""Budgets of dollars, requests and tokens; their periods in UTC, their sliding windows, and their status.

Scopes form a tree: global → tenant → provider → project → user → workflow → run. A call counts on every budget that names it.
A window has sixty buckets. One counts until the last moment that may lie in it is out of the window, so that no minute (or hour)
ever holds more than the limit, whenever it begins.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Literal

import uuid_utils.compat as uuid_utils

from resources.errors import InvalidInputError, LimitExceededError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from resources.ai.ledger.model import CallRecord, Opening, Refusal
    from resources.ai.model import CallContext

Scope = Literal["global", "tenant", "provider", "project", "user", "workflow", "run"]
Unit = Literal["usd", "requests", "tokens"]
Period = Literal["minute", "hour", "day", "week", "month", "year", "custom", "total"]
Health = Literal["healthy", "warning", "critical", "exceeded", "depleted"]

SCOPES: tuple[Scope, ...] = ("global", "tenant", "provider", "project", "user", "workflow", "run")
EACH = "*"
"""As a subject: every user, every run and so on has this budget of its own."""

FOREVER = datetime.min.replace(tzinfo=UTC)
BUCKETS: Final = 60
WINDOWS: Final[Mapping[Period, timedelta]] = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1)}
"""The periods that slide."""

_HEALTH: tuple[tuple[Decimal, Health], ...] = (
    (Decimal(1), "depleted"),
    (Decimal("0.95"), "exceeded"),
    (Decimal("0.80"), "critical"),
    (Decimal("0.50"), "warning"),
)


class BudgetExceededError(LimitExceededError):
    """A hard limit does not allow the call, which was not made. `refusal` says which one, and how it stands.

    Where the limit is that of a window, `retry_after` says when there is room for the call.
    """

    default_code = "budget_exceeded"

    def __init__(self, refusal: Refusal) -> None:
        unit, left = refusal.unit, max(refusal.limit - refusal.spent - refusal.reserved, Decimal(0))
        needed = (
            "an unknown sum (the model has no price)"
            if refusal.needed is None
            else f"up to {amount_of(refusal.needed, unit)}"
        )
        wait = "wait for the next period" if refusal.retry_after is None else f"wait {refusal.retry_after:.1f} seconds"
        if refusal.period in WINDOWS and refusal.retry_after is None:
            wait = "ask for less"
        super().__init__(
            f"The call needs {needed}, but the {refusal.period} budget of {refusal.scope} {refusal.subject!r} has "
            f"{amount_of(left, unit)} left of {amount_of(refusal.limit, unit)} ({amount_of(refusal.spent, unit)} spent, "
            f"{amount_of(refusal.reserved, unit)} reserved). Raise the limit or {wait}.",
            retry_after=refusal.retry_after,
            budget_id=str(refusal.budget_id),
            scope=refusal.scope,
            subject=refusal.subject,
            unit=unit,
            period=refusal.period,
        )
        self.refusal = refusal


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit of US dollars, requests to models, or their tokens. Those of a minute or an hour slide, and dollars have none.

    `tenant` None: the calls of all tenants count (the platform's own budgets). `subject` names the provider, project, user,
    workflow or run; EACH = every one of them for itself. A soft limit never refuses; both tell when `thresholds` (shares of
    the limit) are reached, each once per `cooldown`, also at `webhook_url`. `starts_at` (inclusive) and `ends_at` belong to the
    period custom.
    """

    scope: Scope
    period: Period
    limit: Decimal
    tenant: str | None = None
    subject: str = EACH
    unit: Unit = "usd"
    hard: bool = True
    thresholds: tuple[Decimal, ...] = (Decimal("0.5"), Decimal("0.8"), Decimal("0.95"))
    cooldown: timedelta = timedelta(minutes=30)
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    webhook_url: str | None = None
    budget_id: UUID = field(default_factory=uuid_utils.uuid7)

    def __post_init__(self) -> None:
        problems = []
        if self.limit < 0:
            problems.append(Problem("limit", "is negative"))
        if self.unit != "usd" and self.limit != self.limit.to_integral_value():
            problems.append(Problem("limit", f"is not a whole number of {self.unit}"))
        if self.unit == "usd" and self.period in WINDOWS:
            problems.append(Problem("period", "is none of dollars", "use requests or tokens, or a day"))
        if (self.period == "custom") != (self.starts_at is not None and self.ends_at is not None):
            problems.append(Problem("starts_at", "a custom period has a start and an end, the others have none"))
        if self.starts_at and self.ends_at and self.starts_at >= self.ends_at:
            problems.append(Problem("ends_at", "is not after the start"))
        if self.scope == "global" and self.tenant is not None:
            problems.append(Problem("tenant", "a global budget belongs to no tenant", "use the scope tenant"))
        if any(not threshold > 0 for threshold in self.thresholds):
            problems.append(Problem("thresholds", "are shares of the limit, above 0"))
        if problems:
            raise InvalidInputError(f"The budget cannot be: {problems[0]}", problems=tuple(problems))


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """How a budget stands in the current period. `ratio` is of spent and limit; None for a limit of 0.

    `projected` is the spending at the end of the period if it goes on as it did; None when the period has no end.
    """

    budget: Budget
    subject: str
    period_start: datetime
    spent: Decimal
    reserved: Decimal
    calls: int
    unpriced: int
    at: datetime

    @property
    def remaining(self) -> Decimal:
        return max(Decimal(0), self.budget.limit - self.spent - self.reserved)

    @property
    def ratio(self) -> Decimal | None:
        return self.spent / self.budget.limit if self.budget.limit else None

    @property
    def health(self) -> Health:
        ratio = Decimal(1) if self.ratio is None else self.ratio
        return next((name for share, name in _HEALTH if ratio >= share), "healthy")

    @property
    def reached(self) -> tuple[Decimal, ...]:
        """The thresholds that are reached."""
        ratio = Decimal(1) if self.ratio is None else self.ratio
        return tuple(sorted(threshold for threshold in self.budget.thresholds if ratio >= threshold))

    @property
    def period_end(self) -> datetime | None:
        return period_end(self.budget, self.period_start)

    @property
    def projected(self) -> Decimal | None:
        end = self.period_end
        elapsed = self.at - self.period_start
        if end is None or self.budget.period in WINDOWS or elapsed <= timedelta(0):
            return None
        share = Decimal(str((end - self.period_start) / max(elapsed, timedelta(minutes=1))))
        return self.spent * max(share, Decimal(1))


def period_start(budget: Budget, at: datetime) -> datetime | None:
    """The beginning of the period that `at` lies in; None outside of a custom period. Weeks begin on Monday.

    That of a window is the beginning of the earliest bucket that counts at `at`.
    """
    if (span := WINDOWS.get(budget.period)) is not None:
        return bucket_start(budget, at - span)
    day = at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match budget.period:
        case "day":
            return day
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case "year":
            return day.replace(month=1, day=1)
        case "total":
            return FOREVER
        case "custom":
            assert budget.starts_at is not None
            assert budget.ends_at is not None
            return budget.starts_at if budget.starts_at <= at < budget.ends_at else None
        case _:
            raise AssertionError(budget.period)


def period_end(budget: Budget, start: datetime) -> datetime | None:
    """The end of the period that begins at `start`; None when it never ends, or slides."""
    match budget.period:
        case "day":
            return start + timedelta(days=1)
        case "week":
            return start + timedelta(days=7)
        case "month":
            return start + timedelta(days=calendar.monthrange(start.year, start.month)[1])
        case "year":
            return start.replace(year=start.year + 1)
        case "custom":
            return budget.ends_at
        case _:
            return None


def bucket_start(budget: Budget, at: datetime) -> datetime:
    """The beginning of the bucket of a window that `at` lies in."""
    grain = WINDOWS[budget.period] / BUCKETS
    return at - (at - FOREVER) % grain


def amount_of(amount: Decimal, unit: Unit) -> str:
    """For people: `$1.50`, `60 requests`."""
    return f"${amount}" if unit == "usd" else f"{amount:f} {unit}"


def needed_of(budget: Budget, opening: Opening) -> Decimal | None:
    """What the call takes of the budget at most; None when nobody knows."""
    match budget.unit:
        case "usd":
            return opening.amount
        case "requests":
            return Decimal(opening.record.kind != "tool")
        case "tokens":
            return Decimal(opening.tokens)


def taken_of(budget: Budget, opening: Opening, record: CallRecord) -> Decimal | None:
    """What the call did take of the budget; None when nobody knows. Tokens that nobody counted are those that were reserved."""
    match budget.unit:
        case "usd":
            return record.cost
        case "tokens" if record.usage is not None:
            return Decimal(record.usage.total)
        case _:
            return needed_of(budget, opening)


def subject_of(budget: Budget, provider: str, context: CallContext) -> str | None:
    """What of a call the budget counts it under; None when the call does not concern it."""
    if budget.tenant is not None and budget.tenant != context.tenant:
        return None
    value: str | None = {
        "global": EACH,
        "tenant": context.tenant,
        "provider": provider,
        "project": context.project,
        "user": context.user,
        "workflow": context.workflow,
        "run": context.run_id,
    }[budget.scope]
    return value if value is not None and budget.subject in {EACH, value} else None
