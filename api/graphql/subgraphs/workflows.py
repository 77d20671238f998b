"""Workflows and their runs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import fields as fields_of
from datetime import datetime
from enum import Enum

import strawberry
from strawberry.scalars import JSON

from api.graphql import following, paging
from api.graphql.context import GraphContext
from api.graphql.inputs import validated
from api.graphql.module import Module
from api.graphql.paging import After, Connection, First
from api.workflows import service
from api.workflows.schemas import RunIn
from resources.errors import NotFoundError
from resources.telemetry import correlation
from resources.workflows.executions import Execution, NodeExecution
from resources.workflows.library import Entry
from resources.workflows.loading import load

_NEWEST = 20
"""Runs of a workflow that are looked through for documents and people."""


@strawberry.enum
class WorkflowStatus(Enum):
    """Whether a workflow is offered."""

    ACTIVE = "active"
    ARCHIVED = "archived"


@strawberry.enum
class ExecutionStatus(Enum):
    """How far a run is."""

    PENDING = "created"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


@strawberry.enum
class WorkflowOrder(Enum):
    """By what workflows are listed."""

    NAME = "name"
    UPDATED_AT = "updated_at"


@strawberry.type
class ExecutionProgress:
    """How far a run is, by its nodes."""

    total: int
    completed: int
    failed: int
    skipped: int
    running: int
    percentage: float


@strawberry.type
class NodeRun:
    """What one node of a run did. `output` is a preview."""

    id: str
    type: str | None
    status: str
    attempt: int
    started_at: datetime | None
    ended_at: datetime | None
    duration_ms: int | None
    error: str | None
    output: JSON | None

    @classmethod
    def of(cls, node: NodeExecution) -> NodeRun:
        return cls(**{field.name: getattr(node, field.name) for field in fields_of(node)})


@strawberry.federation.type(keys=["id"])
class WorkflowExecution:
    """One run of a workflow. `inputs` and `outputs` are previews."""

    id: strawberry.ID
    workflow_id: strawberry.ID
    status: ExecutionStatus
    revision: int | None
    inputs: JSON | None
    outputs: JSON | None
    nodes: list[NodeRun]
    progress: ExecutionProgress
    error: str | None
    failed_node: str | None
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    duration_ms: int | None
    started_by: str | None
    correlation_id: str | None

    @strawberry.field
    async def workflow(self, info: strawberry.Info[GraphContext]) -> Workflow | None:
        """The workflow as it is now."""
        return await info.context.load(workflows_by_name, str(self.workflow_id))

    @classmethod
    def of(cls, run: Execution) -> WorkflowExecution:
        return cls(
            id=strawberry.ID(run.run_id),
            workflow_id=strawberry.ID(run.workflow),
            status=ExecutionStatus(run.status),
            revision=run.revision,
            inputs=run.inputs,
            outputs=run.outputs,
            nodes=[NodeRun.of(node) for node in run.nodes],
            progress=ExecutionProgress(
                **{field.name: getattr(run.progress, field.name) for field in fields_of(run.progress)}
            ),
            error=run.error,
            failed_node=run.failed_node,
            created_at=run.created_at,
            started_at=run.started_at,
            completed_at=run.ended_at,
            duration_ms=run.duration_ms,
            started_by=run.user_id,
            correlation_id=run.correlation_id,
        )


@strawberry.federation.type(keys=["id"])
class Workflow:
    """A workflow: the tenant's own in its newest revision, or one that comes with the platform (revision 0)."""

    id: strawberry.ID
    name: str
    description: str
    version: str
    revision: int
    status: WorkflowStatus
    category: str | None
    author: str | None
    tags: list[str]
    node_count: int
    updated_at: datetime | None
    updated_by: str | None
    spec: JSON

    @strawberry.field
    async def executions(
        self,
        info: strawberry.Info[GraphContext],
        first: First = 10,
        after: After = None,
        status: ExecutionStatus | None = None,
    ) -> Connection[WorkflowExecution] | None:
        """Its runs, the newest first."""
        return await _executions(info.context, str(self.id), status, first, after)

    @classmethod
    def of(cls, entry: Entry) -> Workflow:
        spec, published = entry.spec, entry.published
        return cls(
            id=strawberry.ID(spec.name),
            name=spec.name,
            description=spec.description,
            version=spec.version,
            revision=entry.revision,
            status=WorkflowStatus.ARCHIVED if published and published.archived else WorkflowStatus.ACTIVE,
            category=spec.category,
            author=spec.author,
            tags=list(spec.tags),
            node_count=len(spec.nodes),
            updated_at=published.published_at if published else None,
            updated_by=published.published_by if published else None,
            spec=JSON(spec.model_dump(mode="json", exclude_defaults=True)),
        )


async def workflows_by_name(context: GraphContext, names: list[str]) -> Sequence[Workflow | None]:
    """The list of a tenant's workflows is kept in memory, and checked against the store in one statement."""
    if len(names) == 1:
        try:
            return [Workflow.of(await context.run(context.services.workflows.find, names[0], tenant=context.tenant))]
        except NotFoundError:
            return [None]
    found = {entry.spec.name: entry for entry in await context.run(context.services.workflows.list, context.tenant)}
    return [Workflow.of(found[name]) if name in found else None for name in names]


async def executions_by_id(context: GraphContext, ids: list[str]) -> Sequence[WorkflowExecution | None]:
    """One that is not in the read models yet is read from its own events."""
    executions = context.services.executions
    found = dict(await context.run(executions.get_many, ids, context.tenant))
    for run_id in ids:
        if run_id not in found or found[run_id].status in {"created", "running"}:
            try:
                found[run_id] = await context.run(executions.get, run_id, context.tenant)
            except NotFoundError:
                continue
    return [WorkflowExecution.of(found[run_id]) if run_id in found else None for run_id in ids]


async def newest_runs(context: GraphContext, workflows: list[str]) -> Sequence[Sequence[Execution]]:
    """The newest runs of workflows, for all that is told of a workflow by its runs."""

    def read() -> list[Sequence[Execution]]:
        runs = context.services.executions
        return [runs.list(context.tenant, name, limit=_NEWEST).executions for name in workflows]

    return await context.run(read)


async def _executions(
    context: GraphContext, workflow: str | None, status: ExecutionStatus | None, first: int, after: str | None
) -> Connection[WorkflowExecution]:
    kind = f"executions/{workflow or ''}"
    page = await context.run(
        context.services.executions.list,
        context.tenant,
        workflow,
        None if status is None else status.value,
        limit=paging.checked(first),
        cursor=paging.decode(kind, after),
    )
    edges = [
        paging.Edge(cursor=paging.encode(kind, place), node=WorkflowExecution.of(run))
        for run, place in zip(page.executions, page.places, strict=True)
    ]
    info = paging.PageInfo(
        has_next_page=page.cursor is not None,
        end_cursor=None if page.cursor is None else paging.encode(kind, page.cursor),
        has_previous_page=after is not None,
        start_cursor=edges[0].cursor if edges else None,
    )
    return Connection(edges=edges, page_info=info)


@strawberry.type
class Query:
    """What can be asked of workflows."""

    @strawberry.field
    async def workflow(self, info: strawberry.Info[GraphContext], id: strawberry.ID) -> Workflow | None:
        """One workflow, by its name; null when there is none."""
        return await info.context.load(workflows_by_name, str(id))

    @strawberry.field
    async def workflows(
        self,
        info: strawberry.Info[GraphContext],
        first: First = 10,
        after: After = None,
        search: str | None = None,
        category: str | None = None,
        tag: str | None = None,
        order_by: WorkflowOrder = WorkflowOrder.NAME,
        descending: bool = False,
    ) -> Connection[Workflow] | None:
        """All that fit."""
        context, words = info.context, (search or "").casefold()
        listed = [
            Workflow.of(entry)
            for entry in await context.run(context.services.workflows.list, context.tenant)
            if (words in entry.spec.name.casefold() or words in entry.spec.description.casefold())
            and category in {None, entry.spec.category}
            and (tag is None or tag in entry.spec.tags)
        ]
        if order_by is WorkflowOrder.UPDATED_AT:
            listed.sort(
                key=lambda one: (one.updated_at is not None, one.updated_at and one.updated_at.timestamp(), one.name)
            )
        if descending:
            listed.reverse()
        return paging.slice_of("workflows", listed, lambda one: one.name, first=paging.checked(first), after=after)

    @strawberry.field
    async def workflow_execution(
        self, info: strawberry.Info[GraphContext], id: strawberry.ID
    ) -> WorkflowExecution | None:
        """One run; null when there is none."""
        return await info.context.load(executions_by_id, str(id))

    @strawberry.field
    async def workflow_executions(
        self,
        info: strawberry.Info[GraphContext],
        first: First = 10,
        after: After = None,
        workflow_id: strawberry.ID | None = None,
        status: ExecutionStatus | None = None,
    ) -> Connection[WorkflowExecution] | None:
        """Runs, the newest first."""
        return await _executions(info.context, None if workflow_id is None else str(workflow_id), status, first, after)


@strawberry.type
class Mutation:
    """What can be done with workflows."""

    @strawberry.mutation
    async def create_workflow(
        self, info: strawberry.Info[GraphContext], spec: JSON, note: str | None = None
    ) -> Workflow | None:
        """Publish a revision: `spec` as an object, or as text in YAML or JSON. The same spec again changes nothing."""
        context = info.context

        def publish() -> Workflow:
            read = load(spec if isinstance(spec, str) else json.dumps(spec))
            published, _ = service.publish(context.services, read, principal=context.principal, note=note)
            return Workflow.of(Entry(published.spec, published))

        return await context.run(publish)

    @strawberry.mutation
    async def archive_workflow(self, info: strawberry.Info[GraphContext], id: strawberry.ID) -> Workflow | None:
        """Offer it no longer."""
        context = info.context
        published = await context.run(service.archive, context.services, str(id), principal=context.principal)
        return Workflow.of(Entry(published.spec, published))

    @strawberry.mutation
    async def execute_workflow(
        self,
        info: strawberry.Info[GraphContext],
        workflow_id: strawberry.ID,
        inputs: JSON | None = None,
        revision: int | None = None,
        idempotency_key: str | None = None,
    ) -> WorkflowExecution | None:
        """Start a run. With the same key again, the run that was started then."""
        context = info.context

        def start() -> Execution:
            launched, _ = service.launch(
                context.services,
                str(workflow_id),
                validated(RunIn, {"inputs": inputs or {}, "revision": revision}),
                principal=context.principal,
                key=idempotency_key,
                correlation_id=correlation.current(),
                wait=None,
            )
            try:
                return context.services.executions.get(launched.run_id, context.tenant)
            except NotFoundError:  # it is on its way, and has told nothing yet
                return Execution(run_id=launched.run_id, workflow=str(workflow_id), status="created")

        return WorkflowExecution.of(await context.run(start))

    @strawberry.mutation
    async def cancel_run(self, info: strawberry.Info[GraphContext], id: strawberry.ID) -> WorkflowExecution | None:
        """End a run; one that has ended stays as it is."""
        context = info.context
        await context.run(context.services.launches.cancel, str(id), tenant=context.tenant)
        return WorkflowExecution.of(await context.run(service.execution, context.services, str(id), context.tenant))


@strawberry.type
class RunChunk:
    """Something that a run said: tokens of a model, progress of a node. `position` is where to go on after a break."""

    position: int
    run_id: strawberry.ID
    content: JSON


@strawberry.type
class Subscription:
    """What can be followed of workflows."""

    @strawberry.subscription
    async def run_progress(
        self, info: strawberry.Info[GraphContext], run_id: strawberry.ID
    ) -> AsyncIterator[WorkflowExecution]:
        """The run, now and after each change, until it has ended. Whoever comes back gets it as it is then."""
        async for run in following.run_progress(info.context, str(run_id)):
            yield WorkflowExecution.of(run)

    @strawberry.subscription
    async def run_output(
        self, info: strawberry.Info[GraphContext], run_id: strawberry.ID, after: int = 0
    ) -> AsyncIterator[RunChunk]:
        """What the run says, token by token, behind the position `after`, until it has ended. Kept for a minute."""
        async for message in following.run_output(info.context, str(run_id), after):
            yield RunChunk(position=message.position, run_id=run_id, content=message.content)


MODULE = Module(
    name="workflows",
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    entities={Workflow: workflows_by_name, WorkflowExecution: executions_by_id},
    cache={"Query.workflow": 10, "Query.workflows": 10},
    access={
        "Workflow": "read:workflows",
        "WorkflowExecution": "read:runs",
        "Query.workflow": "read:workflows",
        "Query.workflows": "read:workflows",
        "Query.workflowExecution": "read:runs",
        "Query.workflowExecutions": "read:runs",
        "Workflow.executions": "read:runs",
        "WorkflowExecution.workflow": "read:workflows",
        "Mutation.createWorkflow": "write:workflows",
        "Mutation.archiveWorkflow": "delete:workflows",
        "Mutation.executeWorkflow": "execute:workflows",
        "Mutation.cancelRun": "execute:workflows",
        "Subscription.runProgress": "read:runs",
        "Subscription.runOutput": "read:runs",
    },
)
