"""Runs of workflows: where they stand, and what they gave."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api import problems
from api.dependencies import ServicesDep, TenantDep
from api.workflows import service
from api.workflows.schemas import ExecutionOut, ExecutionPageOut, OutputOut
from resources.workflows.executions import Status

router = APIRouter(prefix="/executions", tags=["workflows"])

RunId = Annotated[str, Path(min_length=1, max_length=100, description="Id of the run")]


@router.get("", summary="List runs of workflows", responses=problems.responses(400, 422, 503))
def list_executions(
    services: ServicesDep,
    tenant: TenantDep,
    workflow: Annotated[str | None, Query(max_length=100, description="Only runs of this workflow")] = None,
    status: Annotated[Status | None, Query(description="Only runs that stand so")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> ExecutionPageOut:
    """The newest first. A page may be short, even empty, and yet not be the last one: that is told by its cursor."""
    page = services.executions.list(tenant, workflow, status, limit=limit, cursor=cursor)
    return ExecutionPageOut(
        executions=[ExecutionOut.model_validate(found) for found in page.executions], cursor=page.cursor
    )


@router.get("/{run_id}", summary="Show a run of a workflow", responses=problems.responses(404, 422, 503))
def show_execution(run_id: RunId, services: ServicesDep, tenant: TenantDep) -> ExecutionOut:
    """How far the run is, and what each of its nodes did."""
    return ExecutionOut.model_validate(service.execution(services, run_id, tenant))


@router.get("/{run_id}/outputs", summary="What a run gave", responses=problems.responses(404, 422, 502, 503))
def execution_outputs(
    run_id: RunId,
    services: ServicesDep,
    tenant: TenantDep,
    node: Annotated[
        str | None, Query(max_length=300, description="A node; unset = the outputs of the whole run")
    ] = None,
    item: Annotated[str, Query(max_length=100, description="Number of the item, within a map")] = "",
) -> OutputOut:
    """The value itself, however large."""
    value = service.outputs(services, run_id, tenant, node, item)
    return OutputOut(run_id=run_id, node=node, value=value)
