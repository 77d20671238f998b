"""Analyse a document: at once, or as a job to follow and cancel."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, File, Form, Query, Response, UploadFile
from fastapi.concurrency import run_in_threadpool

from api import content as service
from api import problems
from api.auth.principal import PrincipalDep
from api.content import AnalyzeIn, BatchIn, JobOut, JobPage
from api.dependencies import ServicesDep, TenantDep
from resources.content.jobs.model import AnalysisOptions, AnalysisRequest, JobStatus
from resources.content.parse import refuse_large
from resources.content.spool import Spooled

router = APIRouter(prefix="/analyze", tags=["documents"])
aliases = APIRouter(prefix="/analyze", tags=["documents"])

_ERRORS = problems.responses(400, 408, 413, 422, 503)


@router.post("", summary="Analyse a document", responses=_ERRORS)
@aliases.post("", summary="Analyse a document (alias)", responses=_ERRORS)
def analyze(asked: AnalyzeIn, response: Response, services: ServicesDep, principal: PrincipalDep) -> JobOut:
    """By rule, and answered at once; with `background`, or by a model, as a job: 202, and `Location` says where to look."""
    request = service.request_of(asked, services=services)
    return _answer(request, asked.background, response, services, principal)


@router.post("/upload", summary="Analyse an uploaded file", responses=_ERRORS)
async def analyze_upload(
    response: Response,
    services: ServicesDep,
    principal: PrincipalDep,
    file: Annotated[UploadFile, File(description="The document")],
    background: Annotated[bool, Form(description="Answer at once with a job to follow")] = False,
    provider: Annotated[str | None, Form(max_length=100, description="Have a model analyse; unset = by rule")] = None,
    model: Annotated[str | None, Form(max_length=200)] = None,
    timeout_seconds: Annotated[float, Form(gt=0, le=300)] = 30.0,
) -> JobOut:
    """The same for a file of a form. Its name and declared type help to tell what it is."""
    name = (file.filename or "").replace("\\", "/").rpartition("/")[2][:255]
    held = await run_in_threadpool(Spooled.measured, file.file)
    refuse_large(held, name=name, limits=services.parse_limits)
    request = AnalysisRequest(
        name=name,
        media_type=service.media_type_of(file.content_type, strict=False),
        content=held.whole(),
        options=AnalysisOptions(
            provider=provider if model else None, model=model if provider else None, timeout_seconds=timeout_seconds
        ),
    )
    return await run_in_threadpool(
        _answer, service.checked(request, services=services), background, response, services, principal
    )


@router.post("/batch", status_code=HTTPStatus.ACCEPTED, summary="Analyse many documents", responses=_ERRORS)
def analyze_batch(asked: BatchIn, services: ServicesDep, principal: PrincipalDep) -> JobPage:
    """Each document is a job of its own, and one that fails hurts no other. All are checked before the first is taken."""
    requests = [service.request_of(document, services=services) for document in asked.documents]
    jobs = [
        service.submit(request, services=services, tenant=principal.tenant, user=principal.username)
        for request in requests
    ]
    return JobPage(jobs=[service.job_out(job) for job in jobs], next_after=None)


@router.get("/jobs", summary="List analyses", responses=problems.responses(404, 422, 503))
def list_jobs(
    services: ServicesDep,
    tenant: TenantDep,
    status: Annotated[JobStatus | None, Query(description="Only jobs that stand so")] = None,
    after: Annotated[UUID | None, Query(description="Only jobs older than this one")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> JobPage:
    """The newest first, without their results."""
    found = services.analyses.list(tenant=tenant, status=status, after=after, limit=limit + 1)
    page = list(found[:limit])
    return JobPage(jobs=[service.job_out(job) for job in page], next_after=page[-1].id if len(found) > limit else None)


@router.get("/jobs/{job_id}", summary="Show an analysis", responses=problems.responses(404, 422, 503))
def show_job(job_id: UUID, services: ServicesDep, principal: PrincipalDep) -> JobOut:
    """Where the job stands; its result when it is done."""
    job = service.follow(job_id, services=services, tenant=principal.tenant, user=principal.username)
    return service.job_out(job)


@router.post("/jobs/{job_id}/cancel", summary="Cancel an analysis", responses=problems.responses(404, 422, 503))
def cancel_job(job_id: UUID, services: ServicesDep, tenant: TenantDep) -> JobOut:
    """End the job and its run. A job that has ended is left as it is."""
    return service.job_out(service.cancel(job_id, services=services, tenant=tenant))


def _answer(
    request: AnalysisRequest, background: bool, response: Response, services: ServicesDep, principal: PrincipalDep
) -> JobOut:
    if not background and request.options.provider is None:
        return service.job_out(service.analyse_now(request, services=services, tenant=principal.tenant))
    job = service.submit(request, services=services, tenant=principal.tenant, user=principal.username)
    response.status_code = HTTPStatus.ACCEPTED
    response.headers["Location"] = f"/api/v1/analyze/jobs/{job.id}"
    return service.job_out(job)
