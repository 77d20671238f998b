"""Workflows: publish them, look at them, run them."""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Body, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel, Field

from api import problems
from api.auth.principal import PrincipalDep
from api.dependencies import ServicesDep, TenantDep
from api.paging import PageDep
from api.preconditions import IfMatch, tagged, unless_changed
from api.workflows import service
from api.workflows.schemas import (
    ChangeOut,
    DiffOut,
    ExecutionOut,
    InstanceOut,
    RunIn,
    StartedOut,
    TriggeredOut,
    TriggerIn,
    WorkflowOut,
)
from resources.telemetry import correlation
from resources.workflows import diagram
from resources.workflows.diff import diff
from resources.workflows.executions import Status
from resources.workflows.library import Entry
from resources.workflows.loading import load, read
from resources.workflows.schema import inputs_json_schema, json_schema
from resources.workflows.spec import NAME
from resources.workflows.validation import WorkflowInvalidError

if TYPE_CHECKING:
    from resources.workflows.definitions import Published

router = APIRouter(prefix="/workflows", tags=["workflows"])

Name = Annotated[str, Path(pattern=NAME, max_length=100, description="Name of the workflow")]
RunId = Annotated[str, Path(min_length=1, max_length=100, description="Id of the run")]
Revision = Annotated[int | None, Query(ge=0, lt=2**31, description="Unset = the newest; 0 = the platform's own")]
Key = Annotated[
    str | None,
    Header(alias="Idempotency-Key", min_length=1, max_length=200, description="The same key again starts nothing anew"),
]
Wait = Annotated[float | None, Query(ge=0, le=300, description="Seconds to wait for the end of the run")]
_SVG, _PNG, _MERMAID = "image/svg+xml", "image/png", "text/vnd.mermaid"


async def _raw(request: Request) -> bytes:
    return await request.body()


class PublishedOut(WorkflowOut):
    """The newest revision, and whether this request has made it."""

    created: bool = Field(description="False when the same spec was published before")


class ValidatedOut(BaseModel):
    """The answer to a dry run: nothing is wrong with the workflow."""

    valid: Literal[True] = True
    name: str
    nodes: int
    would_create: bool


@router.get("", summary="List workflows", responses=problems.responses(400, 422, 503))
def list_workflows(services: ServicesDep, tenant: TenantDep, page: PageDep) -> list[WorkflowOut]:
    """Those that were published, and those that come with the platform."""
    return [
        WorkflowOut.of(entry) for entry in page.of(services.workflows.list(tenant), lambda entry: (entry.spec.name,))
    ]


_SPEC_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "The spec, in JSON or YAML: see `GET /workflows/schema`",
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "application/yaml": {"schema": {"type": "string"}},
        },
    }
}


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    response_model=PublishedOut | ValidatedOut,
    summary="Publish a workflow",
    responses={
        200: {"description": "Nothing new: the spec is the newest revision already, or this was a dry run"},
        **problems.responses(400, 413, 422, 503),
    },
    openapi_extra=_SPEC_BODY,
)
def publish_workflow(
    content: Annotated[bytes, Depends(_raw)],
    services: ServicesDep,
    principal: PrincipalDep,
    response: Response,
    dry_run: Annotated[bool, Query(description="Only say what is wrong with it")] = False,
    note: Annotated[str | None, Query(max_length=500, pattern=r"^[^\x00]*$", description="Why it changed")] = None,
) -> PublishedOut | ValidatedOut:
    """A new revision, which can be run at once; earlier ones stay, and a published revision never changes.

    What is wrong is answered with 400 and all problems, each with its path, a code, and a hint with the line of the text.
    """
    spec = load(content)
    try:
        services.workflows.check(spec, tenant=principal.tenant)
    except WorkflowInvalidError as error:
        raise read(content).located(error) from error
    if dry_run:
        response.status_code = HTTPStatus.OK
        known = {entry.spec.name: entry for entry in services.workflows.list(principal.tenant)}.get(spec.name)
        same = known is not None and known.published is not None and known.published.sha256 == spec.fingerprint()
        return ValidatedOut(name=spec.name, nodes=len(spec.nodes), would_create=not same)
    published, created = service.publish(services, spec, principal=principal, note=note)
    if not created:
        response.status_code = HTTPStatus.OK
    entry = services.workflows.find(published.name, tenant=principal.tenant)
    return PublishedOut(**WorkflowOut.of(entry, whole=True).model_dump(), created=created)


@router.get("/schema", summary="JSON Schema of workflows", responses=problems.responses(503))
def workflow_schema(services: ServicesDep) -> dict[str, Any]:
    """For editors: completes and checks workflows in YAML and JSON."""
    return json_schema(services.workflows.types)


@router.get("/available", summary="List workflows, by their old address", responses=problems.responses(400, 422, 503))
def available_workflows(services: ServicesDep, tenant: TenantDep, page: PageDep) -> list[WorkflowOut]:
    """As `GET /workflows`."""
    return list_workflows(services, tenant, page)


@router.get("/instances", summary="List runs, by their old address", responses=problems.responses(400, 422, 503))
def list_instances(
    services: ServicesDep,
    tenant: TenantDep,
    page: PageDep,
    workflow: Annotated[str | None, Query(max_length=100)] = None,
    status: Status | None = None,
) -> list[InstanceOut]:
    """The newest runs, by their old names."""
    found = services.executions.list(tenant, workflow, status, limit=page.limit, cursor=page.cursor)
    page.more(found.cursor)
    return [InstanceOut.of(one) for one in found.executions]


@router.get("/status/{run_id}", summary="Status of a run, by its old address", responses=problems.responses(404, 503))
def instance_status(run_id: RunId, services: ServicesDep, tenant: TenantDep) -> InstanceOut:
    """By its old names; the status is in small letters, as its callers compare it."""
    return InstanceOut.of(service.execution(services, run_id, tenant))


@router.post(
    "/trigger",
    status_code=HTTPStatus.ACCEPTED,
    summary="Run a workflow, by its old address",
    responses=problems.responses(400, 404, 409, 413, 422, 503),
)
def trigger_workflow(
    body: TriggerIn, services: ServicesDep, principal: PrincipalDep, request: Request, key: Key = None
) -> TriggeredOut:
    """As `POST /workflows/{name}/run`."""
    return triggered(services, principal, request, body.workflow_name, body.inputs, key)


@router.get("/{name}", summary="Show a workflow", responses=problems.responses(404, 422, 503))
def show_workflow(
    name: Name, services: ServicesDep, tenant: TenantDep, response: Response, revision: Revision = None
) -> WorkflowOut:
    """A revision with its whole spec."""
    return tagged(WorkflowOut.of(services.workflows.find(name, tenant=tenant, revision=revision), whole=True), response)


@router.delete("/{name}", summary="Archive a workflow", responses=problems.responses(404, 412, 422, 503))
def archive_workflow(
    name: Name, services: ServicesDep, principal: PrincipalDep, if_match: IfMatch = None
) -> WorkflowOut:
    """It is offered no longer, and its triggers start it no longer. What runs goes on; publishing it again restores it."""
    unless = unless_changed(if_match, _as_shown)
    published = service.archive(services, name, principal=principal, unless=unless)
    return WorkflowOut.of(Entry(published.spec, published))


@router.get("/{name}/versions", summary="List a workflow's revisions", responses=problems.responses(400, 404, 422, 503))
def list_revisions(name: Name, services: ServicesDep, tenant: TenantDep, page: PageDep) -> list[WorkflowOut]:
    """All revisions, the newest first."""
    found = services.workflows.definitions.revisions(name, tenant=tenant)
    shown = page.of(found, lambda published: (published.revision,), newest=True)
    return [WorkflowOut.of(Entry(published.spec, published)) for published in shown]


@router.get(
    "/{name}/graph",
    summary="Draw a workflow",
    response_class=Response,
    responses={
        200: {"content": {_MERMAID: {}, _SVG: {}, _PNG: {}}, "description": "The drawing"},
        **problems.responses(404, 422, 503),
    },
)
def draw_workflow(
    name: Name,
    services: ServicesDep,
    tenant: TenantDep,
    revision: Revision = None,
    format: Annotated[Literal["mermaid", "svg", "png"] | None, Query(description="Unset = as `Accept` says")] = None,
    accept: Annotated[str, Header()] = "",
) -> Response:
    """As Mermaid, SVG or PNG."""
    checked = services.workflows.check(
        services.workflows.find(name, tenant=tenant, revision=revision).spec, tenant=tenant
    )
    match format or ("png" if _PNG in accept else "svg" if _SVG in accept else "mermaid"):
        case "svg":
            return Response(diagram.svg(checked), media_type=_SVG)
        case "png":
            return Response(diagram.png(checked), media_type=_PNG)
    return Response(diagram.mermaid(checked), media_type=_MERMAID)


@router.get("/{name}/diff", summary="Compare two revisions", responses=problems.responses(404, 422, 503))
def compare_revisions(
    name: Name,
    services: ServicesDep,
    tenant: TenantDep,
    one: Annotated[int, Query(ge=0, lt=2**31, description="The older revision")],
    other: Annotated[int | None, Query(ge=0, lt=2**31, description="Unset = the newest")] = None,
) -> DiffOut:
    """What changed from the one to the other."""
    before = services.workflows.find(name, tenant=tenant, revision=one)
    after = services.workflows.find(name, tenant=tenant, revision=other)
    found = diff(before.spec, after.spec)

    def told(changes: Any) -> list[ChangeOut]:
        return [ChangeOut(kind=each.kind, path=each.path, before=each.before, after=each.after) for each in changes]

    return DiffOut(
        name=name,
        one=before.revision,
        other=after.revision,
        nodes=told(found.nodes),
        edges=told(found.edges),
        inputs=told(found.inputs),
        outputs=told(found.outputs),
        others=told(found.other),
    )


@router.get("/{name}/schema", summary="JSON Schema of a workflow's inputs", responses=problems.responses(404, 422, 503))
def inputs_schema(name: Name, services: ServicesDep, tenant: TenantDep, revision: Revision = None) -> dict[str, Any]:
    """What a run must be given."""
    return inputs_json_schema(services.workflows.find(name, tenant=tenant, revision=revision).spec)


@router.post(
    "/{name}/run",
    status_code=HTTPStatus.ACCEPTED,
    summary="Run a workflow",
    responses=problems.responses(400, 404, 409, 413, 422, 503),
)
def run_workflow(
    name: Name,
    services: ServicesDep,
    principal: PrincipalDep,
    request: Request,
    body: Annotated[RunIn | None, Body()] = None,
    key: Key = None,
    wait: Wait = None,
) -> StartedOut:
    """Start a run. With `wait` the answer comes when it has ended, or when the time is up, whichever is first."""
    wanted = body or RunIn()
    launched, ended = service.launch(
        services,
        name,
        wanted,
        principal=principal,
        key=key or wanted.idempotency_key,
        correlation_id=correlation.current(),
        wait=wait,
    )
    return StartedOut(
        run_id=launched.run_id,
        workflow=name,
        created=launched.created,
        status=ended.status if ended is not None else "created",
        status_url=str(request.url_for("execution_status", run_id=launched.run_id).path),
        outputs=ended.outputs if ended is not None else None,
        error=ended.error if ended is not None else None,
    )


@router.post(
    "/{name}/execute",
    status_code=HTTPStatus.ACCEPTED,
    summary="Run a workflow, by its old address",
    responses=problems.responses(400, 404, 409, 413, 422, 503),
)
def execute_workflow(
    name: Name,
    services: ServicesDep,
    principal: PrincipalDep,
    request: Request,
    body: Annotated[RunIn | None, Body()] = None,
    key: Key = None,
) -> TriggeredOut:
    """As `POST /workflows/{name}/run`."""
    return triggered(services, principal, request, name, (body or RunIn()).inputs, key)


@router.get(
    "/{run_id}/status",
    name="execution_status",
    summary="Status of a run",
    responses=problems.responses(404, 422, 503),
)
def execution_status(run_id: RunId, services: ServicesDep, tenant: TenantDep) -> ExecutionOut:
    """How far the run is, and what each of its nodes did."""
    return ExecutionOut.model_validate(service.execution(services, run_id, tenant))


def triggered(
    services: Any, principal: Any, request: Request, name: str, inputs: dict[str, Any], key: str | None
) -> TriggeredOut:
    """Start a run, told by the names of old."""
    launched, _ = service.launch(
        services,
        name,
        RunIn(inputs=inputs),
        principal=principal,
        key=key,
        correlation_id=correlation.current(),
        wait=None,
    )
    return TriggeredOut(
        instance_id=launched.run_id,
        status_url=str(request.url_for("instance_status", run_id=launched.run_id).path),
        status="Created",
        workflow_name=name,
        created_at=datetime.now(UTC),
    )


def _as_shown(published: Published) -> WorkflowOut:
    return WorkflowOut.of(Entry(published.spec, published), whole=True)
