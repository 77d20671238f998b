"""What models were asked, what it cost, and what follows from it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from api import problems
from api.dependencies import ServicesDep, TenantDep
from api.paging import LongPageDep
from resources.ai.ledger.model import CallRecord, Dimension, Totals
from resources.ai.prices.forecast import forecast_partitions, forecast_runs
from resources.ai.usage.export import ExportFormat, export
from resources.ai.usage.model import Granularity, MonthlyReport, Point, Summary, UsageAdvice, UsageForecast
from resources.errors import InvalidInputError

router = APIRouter(prefix="/usage", tags=["usage"])

DEFAULT_PERIOD = timedelta(days=30)
LONGEST_PERIOD = timedelta(days=3660)

Since = Annotated[datetime | None, Query(description="Beginning, inclusive; unset = 30 days before the end")]
Until = Annotated[datetime | None, Query(description="End, exclusive; unset = now")]


class TotalsOut(BaseModel):
    """Sums over calls, exact. `name` is the value of the dimension; null = the calls that have none."""

    model_config = ConfigDict(from_attributes=True)

    name: str | None
    calls: int
    hits: int
    unpriced: int
    unmeasured: int
    input_tokens: int
    output_tokens: int
    cost: Decimal
    saved_cost: Decimal


class CallOut(BaseModel):
    """One call in the books. `cost` is null when nobody knows it."""

    call_id: str
    created_at: datetime
    kind: str
    outcome: str
    memo: str
    provider: str
    model: str
    prompt_version: str | None
    usage: dict[str, int] | None
    cost: Decimal | None
    saved_cost: Decimal | None
    measured: bool
    price_source: str | None
    simulated: bool
    latency_ms: float | None
    first_token_ms: float | None
    error_code: str | None
    context: dict[str, Any]


class CostEstimateOut(BaseModel):
    """What so many more of the like will cost, from what the like has cost: the 10th, 50th and 90th percentile."""

    units: int
    low: Decimal
    expected: Decimal
    high: Decimal
    known: int = Field(description="Units of the past whose cost is known")
    unpriced: int = Field(description="Units of the past whose cost nobody knows")
    text: str


@router.get("/summary", summary="A period in figures", responses=problems.responses(400, 422, 503))
def summary(services: ServicesDep, tenant: TenantDep, since: Since = None, until: Until = None) -> Summary:
    """Calls, tokens and cost: in all, and by provider, model, user and workflow."""
    start, end = _period(since, until)
    return services.ai.usage.summary(tenant=tenant, since=start, until=end)


@router.get("/series", summary="Usage over time", responses=problems.responses(400, 422, 503))
def series(
    services: ServicesDep,
    tenant: TenantDep,
    by: Annotated[Granularity, Query(description="Length of one stretch")] = "day",
    since: Since = None,
    until: Until = None,
) -> list[Point]:
    """One point for each stretch of time with a call."""
    start, end = _period(since, until)
    return list(services.ai.usage.series(by, tenant=tenant, since=start, until=end))


@router.get("/totals", summary="Exact sums by a dimension", responses=problems.responses(400, 422, 503))
def totals(
    services: ServicesDep,
    tenant: TenantDep,
    by: Annotated[Dimension, Query(description="What to add up by")] = "model",
    run_id: Annotated[str | None, Query(max_length=100, description="Only calls of this run")] = None,
    since: Annotated[datetime | None, Query(description="Unset = from the first call")] = None,
    until: Annotated[datetime | None, Query(description="Unset = to the last")] = None,
) -> list[TotalsOut]:
    """To the last digit: sums over calls are sums over runs, assets and tenants."""
    found = services.ai.books.totals(by, tenant=tenant, run_id=run_id, since=since, until=until)
    return [_totals_out(name, sums) for name, sums in found.items()]


@router.get("/calls", summary="List calls", responses=problems.responses(400, 422, 503))
def list_calls(
    services: ServicesDep,
    tenant: TenantDep,
    page: LongPageDep,
    run_id: Annotated[str | None, Query(max_length=100)] = None,
    asset: Annotated[str | None, Query(max_length=500)] = None,
    partition: Annotated[str | None, Query(max_length=500)] = None,
    since: Annotated[datetime | None, Query()] = None,
    until: Annotated[datetime | None, Query()] = None,
) -> list[CallOut]:
    """The newest first, retried and recalled ones included."""
    read = partial(
        services.ai.books.calls,
        tenant=tenant,
        run_id=run_id,
        asset=asset,
        partition=partition,
        since=since,
        until=until,
    )
    found = page.of_newest(lambda limit: read(limit=limit), lambda record: (record.created_at, record.call_id))
    return [_call_out(record) for record in found]


@router.get("/forecast", summary="The days to come", responses=problems.responses(400, 422, 503))
def days_to_come(
    services: ServicesDep, tenant: TenantDep, days: Annotated[int, Query(ge=1, le=366)] = 30
) -> UsageForecast | None:
    """From the days of the last 30; null when fewer than 7 of them saw a call."""
    return services.ai.usage.forecast(days, tenant=tenant, now=datetime.now(UTC))


@router.get("/estimate", summary="What more of the like will cost", responses=problems.responses(400, 422, 503))
def estimate(
    services: ServicesDep,
    tenant: TenantDep,
    units: Annotated[int, Query(ge=1, le=1_000_000, description="How many runs or partitions")],
    asset: Annotated[str | None, Query(max_length=500, description="Partitions of this asset")] = None,
    workflow: Annotated[str | None, Query(max_length=200, description="Runs of this workflow")] = None,
) -> CostEstimateOut | None:
    """From recorded history; null when there is none with a known price."""
    if (asset is None) == (workflow is None):
        raise InvalidInputError(
            "An estimate is for an asset's partitions or a workflow's runs: name one.", code="estimate"
        )
    books = services.ai.books
    if asset is not None:
        found, kind = forecast_partitions(books, units, tenant=tenant, asset=asset), "partitions"
    else:
        found, kind = forecast_runs(books, units, tenant=tenant, workflow=workflow or ""), "runs"
    if found is None:
        return None
    return CostEstimateOut(
        units=found.units,
        low=found.low,
        expected=found.expected,
        high=found.high,
        known=found.known,
        unpriced=found.unpriced,
        text=str(found).replace(str(units), f"{units} {kind}", 1),
    )


@router.get("/recommendations", summary="What could cost less", responses=problems.responses(400, 422, 503))
def usage_recommendations(
    services: ServicesDep, tenant: TenantDep, since: Since = None, until: Until = None
) -> list[UsageAdvice]:
    """Computed from the calls that were made; the greatest saving first."""
    start, end = _period(since, until)
    return list(services.ai.usage.recommendations(tenant=tenant, since=start, until=end))


@router.get("/months/{month}", summary="A month's report", responses=problems.responses(422, 503))
def monthly(
    month: Annotated[str, Path(pattern=r"^(19|20|21)\d{2}-(0[1-9]|1[0-2])$", description="Such as 2026-11")],
    services: ServicesDep,
    tenant: TenantDep,
) -> MonthlyReport:
    """The month beside the one before."""
    return services.ai.usage.monthly(date.fromisoformat(f"{month}-01"), tenant=tenant)


@router.get(
    "/export",
    summary="Export the books",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/csv": {}, "application/x-ndjson": {}}, "description": "One call a line"},
        **problems.responses(400, 422, 503),
    },
)
def export_calls(
    services: ServicesDep,
    tenant: TenantDep,
    format: Annotated[ExportFormat, Query()] = "csv",
    since: Since = None,
    until: Until = None,
) -> StreamingResponse:
    """Every call of the period, the oldest first."""
    start, end = _period(since, until)
    records = services.ai.usage_store.records(tenant=tenant, since=start, until=end)
    media_type = "text/csv; charset=utf-8" if format == "csv" else "application/x-ndjson"
    disposition = {"Content-Disposition": f'attachment; filename="calls.{format}"'}
    return StreamingResponse(export(records, format), media_type=media_type, headers=disposition)


def _period(since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    end = _aware(until) if until is not None else datetime.now(UTC)
    start = _aware(since) if since is not None else end - DEFAULT_PERIOD
    if not timedelta(0) < end - start <= LONGEST_PERIOD:
        raise InvalidInputError("The period has to end after it begins, and within ten years.", code="period_invalid")
    return start, end


def _aware(at: datetime) -> datetime:
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _totals_out(name: str | None, sums: Totals) -> TotalsOut:
    return TotalsOut(
        name=name,
        calls=sums.calls,
        hits=sums.hits,
        unpriced=sums.unpriced,
        unmeasured=sums.unmeasured,
        input_tokens=sums.input_tokens,
        output_tokens=sums.output_tokens,
        cost=sums.cost,
        saved_cost=sums.saved_cost,
    )


def _call_out(record: CallRecord) -> CallOut:
    return CallOut(
        call_id=str(record.call_id),
        created_at=record.created_at,
        kind=record.kind,
        outcome=record.outcome,
        memo=record.memo,
        provider=record.provider,
        model=record.model,
        prompt_version=record.prompt_version,
        usage=None if record.usage is None else record.usage.model_dump(),
        cost=record.cost,
        saved_cost=record.saved_cost,
        measured=record.measured,
        price_source=record.price_source,
        simulated=record.simulated,
        latency_ms=record.latency_ms,
        first_token_ms=record.first_token_ms,
        error_code=record.error_code,
        context=record.context.model_dump(exclude={"tenant"}, exclude_none=True),
    )
