"""Budgets: what may be spent, and how it stands; and prices that differ from the tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from api import problems
from api.dependencies import ServicesDep, TenantDep
from api.paging import PageDep
from api.preconditions import IfMatch, tagged, unless_changed
from resources.ai.budgets.model import EACH, SCOPES, Budget, BudgetStatus, Health, Period, Scope, Unit
from resources.ai.model import Usage
from resources.ai.prices.model import PriceOverride
from resources.errors import InvalidInputError

router = APIRouter(tags=["budgets"])

Money = Annotated[Decimal, Field(ge=0, max_digits=30, decimal_places=12)]


class BudgetIn(BaseModel):
    """A limit of dollars, requests or tokens. One with the same scope, subject, unit and period is changed."""

    model_config = ConfigDict(extra="forbid")

    scope: Scope = "tenant"
    subject: str = Field(default=EACH, min_length=1, max_length=200, description="Of the scope; * = each for itself")
    unit: Unit = Field(default="usd", description="What is limited: US dollars, requests to models, or their tokens")
    period: Period = Field(default="month", description="minute and hour slide, and are none of dollars")
    limit: Money
    hard: bool = Field(default=True, description="Refuse calls beyond it; false = only tell")
    thresholds: list[Annotated[Decimal, Field(gt=0, le=10)]] = Field(
        default=[Decimal("0.5"), Decimal("0.8"), Decimal("0.95")], max_length=10, description="Shares that are told"
    )
    cooldown_minutes: int = Field(default=30, ge=1, le=60 * 24 * 7, description="Between two alerts of one threshold")
    starts_at: datetime | None = Field(default=None, description="Of the period custom")
    ends_at: datetime | None = None
    webhook_url: str | None = Field(
        default=None,
        pattern=r"^https?://",
        max_length=2048,
        description="Told of each alert as well; signed with the tenant's secret `budget-alerts`, if there is one",
    )


class BudgetOut(BudgetIn):
    """A budget as it is kept."""

    budget_id: UUID


class BudgetStatusOut(BaseModel):
    """How a budget stands in the current period."""

    budget: BudgetOut
    subject: str
    period_start: datetime | None
    period_end: datetime | None
    spent: Decimal
    reserved: Decimal
    remaining: Decimal
    ratio: Decimal | None
    health: Health
    calls: int
    unpriced: int
    projected: Decimal | None = Field(description="At the end of the period, if it goes on so")


class PriceIn(BaseModel):
    """US dollars per million tokens, from a day on."""

    model_config = ConfigDict(extra="forbid")

    provider: str = Field(min_length=1, max_length=100)
    model: str = Field(min_length=1, max_length=200)
    input_mtok: Money
    output_mtok: Money
    cache_read_mtok: Money | None = None
    cache_write_mtok: Money | None = None
    effective_from: datetime | None = Field(default=None, description="Unset = now")
    note: str | None = Field(default=None, max_length=500)
    tenant: str | None = Field(default=None, max_length=63, description="For whom; unset = whoever asks")


class PriceOut(PriceIn):
    """A price as it is kept. `own` is false for those of the platform."""

    version: int | None
    own: bool


class QuoteOut(BaseModel):
    """What so many tokens cost now. `cost` is null when nobody knows the price."""

    cost: Decimal | None
    price_source: str | None


@router.get("/budgets", summary="List budgets", responses=problems.responses(400, 422, 503))
def list_budgets(services: ServicesDep, tenant: TenantDep, page: PageDep) -> list[BudgetOut]:
    """The tenant's own, in the order of the scopes."""
    return [_budget_out(budget) for budget in page.of(services.ai.budgets.list(tenant=tenant), _place)]


@router.get("/budgets/status", summary="How budgets stand", responses=problems.responses(400, 422, 503))
def budget_statuses(services: ServicesDep, tenant: TenantDep, page: PageDep) -> list[BudgetStatusOut]:
    """Spent, reserved and left in the current period, for each budget and each that it counts for itself."""
    found = services.ai.budgets.statuses(tenant=tenant, now=datetime.now(UTC))
    return [_status_out(one) for one in page.of(found, lambda one: (*_place(one.budget), one.subject))]


@router.get("/budgets/{budget_id}", summary="Show a budget", responses=problems.responses(404, 422, 503))
def show_budget(budget_id: UUID, services: ServicesDep, tenant: TenantDep, response: Response) -> BudgetOut:
    """One of the tenant's own."""
    return tagged(_budget_out(services.ai.budgets.get(budget_id, tenant=tenant)), response)


@router.put("/budgets", summary="Set a budget", responses=problems.responses(400, 412, 422, 503))
def put_budget(
    body: BudgetIn, services: ServicesDep, tenant: TenantDep, response: Response, if_match: IfMatch = None
) -> BudgetOut:
    """From the next call on. What was spent in the period already counts.

    `If-Match` takes the tag of the budget with the same scope, subject, unit and period.
    """
    if body.scope == "global":
        raise InvalidInputError("A global budget is the platform's; use the scope tenant.", code="budget_scope")
    budget = Budget(
        scope=body.scope,
        subject=tenant if body.scope == "tenant" and body.subject == EACH else body.subject,
        unit=body.unit,
        period=body.period,
        limit=body.limit,
        tenant=tenant,
        hard=body.hard,
        thresholds=tuple(body.thresholds),
        cooldown=timedelta(minutes=body.cooldown_minutes),
        starts_at=body.starts_at,
        ends_at=body.ends_at,
        webhook_url=body.webhook_url,
    )
    unless = unless_changed(if_match, _budget_out)
    return tagged(_budget_out(services.ai.budgets.put(budget, unless=unless)), response)


@router.delete(
    "/budgets/{budget_id}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Remove a budget",
    responses=problems.responses(404, 412, 422, 503),
)
def remove_budget(budget_id: UUID, services: ServicesDep, tenant: TenantDep, if_match: IfMatch = None) -> Response:
    """Its limit holds no longer."""
    services.ai.budgets.remove(budget_id, tenant=tenant, unless=unless_changed(if_match, _budget_out))
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.get("/prices", summary="List prices that differ", responses=problems.responses(400, 422, 503))
def list_prices(services: ServicesDep, tenant: TenantDep, page: PageDep) -> list[PriceOut]:
    """The tenant's own prices and the platform's; everything else is as the bundled tables say."""
    found = services.ai.price_store.list(tenant=tenant)
    return [_price_out(override) for override in page.of(found, lambda override: (override.version or 0,))]


@router.post(
    "/prices", status_code=HTTPStatus.CREATED, summary="Add a price", responses=problems.responses(400, 422, 503)
)
def add_price(body: PriceIn, services: ServicesDep, tenant: TenantDep) -> PriceOut:
    """Never changes what was booked. The latest that is in effect counts.

    Quotas are spent by prices, so these are not a tenant's to set but the platform's.
    """
    at = body.effective_from or datetime.now(UTC)
    override = PriceOverride(
        provider=body.provider,
        model=body.model,
        effective_from=at if at.tzinfo is not None else at.replace(tzinfo=UTC),
        input_mtok=body.input_mtok,
        output_mtok=body.output_mtok,
        cache_read_mtok=body.cache_read_mtok,
        cache_write_mtok=body.cache_write_mtok,
        tenant=body.tenant or tenant,
        note=body.note,
    )
    added = services.ai.price_store.add(override)
    services.ai.prices.forget()
    return _price_out(added)


@router.get("/prices/quote", summary="Price tokens", responses=problems.responses(422, 503))
def quote(
    services: ServicesDep,
    tenant: TenantDep,
    provider: Annotated[str, Query(min_length=1, max_length=100)],
    model: Annotated[str, Query(min_length=1, max_length=200)],
    input: Annotated[int, Query(ge=0, le=10**12, description="Tokens, those of the cache included")] = 1_000_000,
    output: Annotated[int, Query(ge=0, le=10**12)] = 0,
    cache_read: Annotated[int, Query(ge=0, le=10**12)] = 0,
    cache_write: Annotated[int, Query(ge=0, le=10**12)] = 0,
) -> QuoteOut:
    """As the next call would be priced."""
    usage = Usage(input=input, output=output, cache_read=cache_read, cache_write=cache_write)
    priced = services.ai.prices.price(tenant, provider, model, usage)
    return QuoteOut(cost=priced.cost, price_source=priced.price_source)


def _place(budget: Budget) -> tuple[Any, ...]:
    return (SCOPES.index(budget.scope), budget.budget_id)


def _budget_out(budget: Budget) -> BudgetOut:
    return BudgetOut(
        budget_id=budget.budget_id,
        scope=budget.scope,
        subject=budget.subject,
        unit=budget.unit,
        period=budget.period,
        limit=budget.limit,
        hard=budget.hard,
        thresholds=list(budget.thresholds),
        cooldown_minutes=max(1, round(budget.cooldown / timedelta(minutes=1))),
        starts_at=budget.starts_at,
        ends_at=budget.ends_at,
        webhook_url=budget.webhook_url,
    )


def _status_out(status: BudgetStatus) -> BudgetStatusOut:
    return BudgetStatusOut(
        budget=_budget_out(status.budget),
        subject=status.subject,
        period_start=None if status.budget.period == "total" else status.period_start,
        period_end=status.period_end,
        spent=status.spent,
        reserved=status.reserved,
        remaining=status.remaining,
        ratio=status.ratio,
        health=status.health,
        calls=status.calls,
        unpriced=status.unpriced,
        projected=status.projected,
    )


def _price_out(override: PriceOverride) -> PriceOut:
    return PriceOut(
        provider=override.provider,
        model=override.model,
        input_mtok=override.input_mtok,
        output_mtok=override.output_mtok,
        cache_read_mtok=override.cache_read_mtok,
        cache_write_mtok=override.cache_write_mtok,
        effective_from=override.effective_from,
        note=override.note,
        tenant=override.tenant,
        version=override.version,
        own=override.tenant is not None,
    )
