"""What Dagster does about it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from api import problems
from api.dependencies import ServicesDep, TenantDep
from api.schemas import RunOut

router = APIRouter(prefix="/runs", tags=["runs"])


@router.get("/{run_id}", summary="Show a run", responses=problems.responses(404, 422, 503))
def show_run(
    run_id: Annotated[str, Path(min_length=1, max_length=100)], services: ServicesDep, tenant: TenantDep
) -> RunOut:
    """Where a run of Dagster stands, for which document, and why it failed if it did."""
    return RunOut.model_validate(services.runs.get(run_id, tenant=tenant))
