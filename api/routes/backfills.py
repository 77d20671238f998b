"""Backfills: workflows, started for what was before."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Query

from api import problems
from api.auth.principal import PrincipalDep
from api.dependencies import Services, ServicesDep, TenantDep
from api.paging import LongPageDep
from api.workflows.backfills import BackfillIn, BackfillOut, BackfillPlanOut, PlannedRunOut
from resources.errors import InvalidInputError
from resources.workflows.backfills import PlannedRun, plan_events, plan_partitions

router = APIRouter(prefix="/backfills", tags=["workflows"])

_SHOWN = 1000


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    response_model=BackfillOut | BackfillPlanOut,
    summary="Start a backfill",
    responses=problems.responses(400, 404, 413, 422, 429, 503),
)
def start_backfill(body: BackfillIn, services: ServicesDep, principal: PrincipalDep) -> BackfillOut | BackfillPlanOut:
    """A run for each past event of the types, or for each partition. With `dry_run` the answer is the plan, and nothing starts.

    What a plan shows as existing was started by the same event before, and is left out unless `again` asks for it.
    """
    backfill_id = uuid4()
    runs = _plan(body, services, principal.tenant, backfill_id)
    if body.dry_run:
        existing = sum(run.run_id is not None for run in runs)
        return BackfillPlanOut(
            workflow=body.workflow,
            total=len(runs),
            existing=existing,
            to_start=len(runs) - existing,
            seconds=(len(runs) - existing) / body.rate,
            runs=[PlannedRunOut.model_validate(run) for run in runs[:_SHOWN]],
        )
    made = services.backfills.create(
        backfill_id,
        tenant=principal.tenant,
        workflow=body.workflow,
        runs=runs,
        rate=body.rate,
        user=principal.username,
    )
    return BackfillOut.model_validate(made)


@router.get("", summary="List backfills", responses=problems.responses(400, 422, 503))
def list_backfills(services: ServicesDep, tenant: TenantDep, page: LongPageDep) -> list[BackfillOut]:
    """The newest first."""
    found = page.of_newest(
        lambda limit: services.backfills.newest(tenant=tenant, limit=limit), lambda one: (one.created_at, one.id)
    )
    return [BackfillOut.model_validate(one) for one in found]


@router.get("/{backfill_id}", summary="Show a backfill", responses=problems.responses(404, 422, 503))
def show_backfill(backfill_id: UUID, services: ServicesDep, tenant: TenantDep) -> BackfillOut:
    """How far it is."""
    return BackfillOut.model_validate(services.backfills.get(backfill_id, tenant=tenant))


@router.get("/{backfill_id}/runs", summary="List runs of a backfill", responses=problems.responses(404, 422, 503))
def list_backfill_runs(
    backfill_id: UUID,
    services: ServicesDep,
    tenant: TenantDep,
    after: Annotated[int, Query(ge=0, le=10**6, description="Leave out so many of the plan")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[PlannedRunOut]:
    """The plan in order; runs that were started have an id."""
    services.backfills.get(backfill_id, tenant=tenant)
    found = services.backfills.runs(backfill_id, tenant=tenant, after=after, limit=limit)
    return [PlannedRunOut.model_validate(run).model_copy(update={"error": error}) for run, error in found]


@router.post("/{backfill_id}/cancel", summary="End a backfill", responses=problems.responses(404, 422, 503))
def cancel_backfill(backfill_id: UUID, services: ServicesDep, tenant: TenantDep) -> BackfillOut:
    """Nothing more is started. Runs that were started go on."""
    return BackfillOut.model_validate(services.backfills.cancel(backfill_id, tenant=tenant))


def _plan(body: BackfillIn, services: Services, tenant: str, backfill_id: UUID) -> list[PlannedRun]:
    if body.partitions:
        if body.events:
            raise InvalidInputError("A backfill is over events or over partitions, not both.", code="query_invalid")
        return plan_partitions(body.partitions, backfill=backfill_id)
    spec = services.workflows.find(body.workflow, tenant=tenant).spec
    return plan_events(
        spec,
        services.events,
        tenant=tenant,
        types=body.events,
        inputs=body.inputs,
        launched=lambda key: services.launches.launched(key, tenant=tenant),
        after=body.after,
        up_to=body.up_to,
        since=body.since,
        until=body.until,
        again=backfill_id if body.again else None,
    )
