"""What Dagster does about it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from api import problems
from api.auth.principal import PrincipalDep
from api.dependencies import ServicesDep, TenantDep
from api.run_stream import RunStream, position_of
from api.schemas import RunOut
from api.workflows import service
from api.workflows.schemas import (
    ExecutionOut,
    LogLineOut,
    LogPageOut,
    RerunIn,
    RerunPlanOut,
    RunLineOut,
    RunPageOut,
    StartedOut,
)
from resources.errors import NotFoundError

router = APIRouter(prefix="/runs", tags=["runs"])

RunId = Annotated[str, Path(min_length=1, max_length=100)]
_WORKFLOW_TAG = "aiw/workflow"
_STRATEGIES = {"failure": "from_failure", "all": "all"}


class RunWithStoryOut(RunOut):
    """A run, and if it is one of a workflow, its story."""

    execution: ExecutionOut | None = None


class CancelOut(RunOut):
    """The run, and whether it is ended because of this request."""

    cancelling: bool


@router.get("", summary="List runs", responses=problems.responses(400, 422, 503))
def list_runs(
    services: ServicesDep,
    tenant: TenantDep,
    job: Annotated[str | None, Query(max_length=200, description="Only runs of this job or workflow")] = None,
    status: Annotated[str | None, Query(max_length=20, description="Dagster's status, such as `success`")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=100)] = None,
) -> RunPageOut:
    """All runs, of workflows and of other jobs, the newest first. A page may be short and yet not be the last one."""
    page = services.runs.list(tenant=tenant, job=job, status=status, limit=limit, cursor=cursor)
    return RunPageOut(runs=[RunLineOut.model_validate(run) for run in page.runs], cursor=page.cursor)


@router.get(
    "/{run_id}/stream",
    summary="Follow what a run says",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events: connected, chunk, heartbeat, complete, error, done",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **problems.responses(400, 404, 422, 503),
    },
)
async def follow_run(
    request: Request,
    run_id: RunId,
    services: ServicesDep,
    tenant: TenantDep,
    last_event_id: Annotated[str | None, Header(description="Begin after this id")] = None,
) -> StreamingResponse:
    """Text as models write it and tools as agents use them, while the run works; then how it ended.

    A reader that comes back with `Last-Event-ID` within a minute misses nothing. What came of it all is the run's to keep.
    """

    def ended() -> str | None:
        run = services.runs.get(run_id, tenant=tenant)
        return run.status if run.finished else None

    await run_in_threadpool(ended)  # a run that there is not is told before the stream begins
    stream = RunStream(
        services.publisher.messages,
        run_id,
        tenant=tenant,
        after=position_of(last_event_id),
        ended=ended,
        closing=lambda: request.app.state.tails.closing,
    )
    return StreamingResponse(stream.text(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


@router.get("/{run_id}", summary="Show a run", responses=problems.responses(404, 422, 503))
def show_run(run_id: RunId, services: ServicesDep, tenant: TenantDep) -> RunWithStoryOut:
    """Where a run of Dagster stands, for which document, and why it failed if it did; of a workflow, node by node."""
    run = services.runs.get(run_id, tenant=tenant)
    found = RunWithStoryOut.model_validate(run)
    if _WORKFLOW_TAG in run.tags:
        try:
            story = ExecutionOut.model_validate(service.execution(services, run_id, tenant))
        except NotFoundError:  # Dagster knows it already, its events are on their way
            return found
        return found.model_copy(update={"execution": story})
    return found


@router.get("/{run_id}/logs", summary="Read a run's log", responses=problems.responses(404, 422, 503))
def run_logs(
    run_id: RunId,
    services: ServicesDep,
    tenant: TenantDep,
    limit: Annotated[int, Query(ge=1, le=1000)] = 500,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> LogPageOut:
    """What Dagster and the nodes wrote, in order."""
    page = services.runs.logs(run_id, tenant=tenant, limit=limit, cursor=cursor)
    lines = [LogLineOut.model_validate(line) for line in page.lines]
    return LogPageOut(lines=lines, cursor=page.cursor, more=page.more)


@router.post("/{run_id}/cancel", summary="End a run", responses=problems.responses(404, 422, 503))
def cancel_run(run_id: RunId, services: ServicesDep, tenant: TenantDep) -> CancelOut:
    """Whether it waits or is executed. What a node has done outside stays done."""
    cancelling = services.launches.cancel(run_id, tenant=tenant)
    run = RunOut.model_validate(services.runs.get(run_id, tenant=tenant))
    return CancelOut(**run.model_dump(), cancelling=cancelling)


@router.post(
    "/{run_id}/rerun",
    status_code=202,
    response_model=StartedOut | RerunPlanOut,
    summary="Execute a run again",
    responses=problems.responses(400, 404, 409, 413, 422, 503),
)
def rerun(run_id: RunId, body: RerunIn, services: ServicesDep, principal: PrincipalDep) -> StartedOut | RerunPlanOut:
    """From where it failed, from any node, or all of it; with what earlier nodes gave, as it was recorded."""
    how = {
        "tenant": principal.tenant,
        "strategy": _STRATEGIES.get(body.begin, "from_node"),
        "node": None if body.begin in _STRATEGIES else body.begin,
        "revision": body.revision,
    }
    if body.dry_run:
        return RerunPlanOut.model_validate(services.launches.plan_again(run_id, **how))
    launched = services.launches.again(run_id, tags={"aiw/user": principal.username}, **how)
    return StartedOut(
        run_id=launched.run_id,
        workflow=services.runs.get(run_id, tenant=principal.tenant).tags[_WORKFLOW_TAG],
        created=launched.created,
        status="created",
        status_url=f"/api/v1/executions/{launched.run_id}",
    )
