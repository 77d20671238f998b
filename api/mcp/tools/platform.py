"""The platform's own tools: what people do over HTTP and at the shell, for agents. Each calls what its route calls."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from pydantic import BaseModel, Field
from starlette.responses import Response

from api.mcp.call import Call
from api.mcp.lineage import Lineage, LineageOut
from api.mcp.runs import LONGEST, RanOut, run
from api.mcp.tool import Tools
from api.paging import whole
from api.routes import approvals as approval_routes
from api.routes import budgets, documents, executions, knowledge, runs, usage, workflows
from api.routes import search as finding
from api.routes.approvals import ApprovalDecisionIn
from api.routes.budgets import BudgetStatusOut
from api.routes.workflows import PublishedOut, ValidatedOut
from api.schemas import AskOut, DocumentPage, SearchIn, SearchOut
from api.workflows.schemas import (
    ExecutionPageOut,
    LogPageOut,
    OutputOut,
    RerunIn,
    RerunPlanOut,
    StartedOut,
    WorkflowOut,
)
from resources.agents.approvals import Approval
from resources.ai.usage.model import Summary
from resources.content.model import DocumentStatus
from resources.content.retrieval.model import Filters, Mode
from resources.errors import UpstreamError
from resources.knowledge.model import ConceptView, LearningPath
from resources.workflows.executions import Status

Name = Annotated[str, Field(min_length=1, max_length=100, description="Name of the workflow")]
RunId = Annotated[str, Field(min_length=1, max_length=100, description="Id of the run")]
Revision = Annotated[int | None, Field(ge=0, description="Unset = the newest; 0 = the platform's own")]
Spec = Annotated[
    str | dict[str, Any], Field(description="The workflow, as an object or as YAML; describe_workflow shows one")
]
Wait = Annotated[
    float, Field(ge=0, le=LONGEST, description="Seconds to wait for the end; progress is told meanwhile. 0 = do not")
]
Key = Annotated[str | None, Field(min_length=1, max_length=200, description="The same key again starts nothing anew")]


class WorkflowsOut(BaseModel):
    """All workflows of the tenant."""

    workflows: list[WorkflowOut]


class CancelledOut(BaseModel):
    """Whether the run is ended because of this call."""

    run_id: str
    status: str
    cancelling: bool


class BudgetsOut(BaseModel):
    """How the budgets stand."""

    budgets: list[BudgetStatusOut]


class ApprovalsOut(BaseModel):
    """What agents wait for."""

    approvals: list[Approval]


def build(lineage: Lineage) -> Tools:
    """The tools; `lineage` tells where assets come from."""
    tools = Tools()
    _workflows(tools)
    _runs(tools)
    _knowledge(tools)
    _money(tools)

    @tools.tool("read:workflows", title="Lineage of an asset", read_only=True)
    def asset_lineage(
        call: Call, asset: Annotated[str, Field(min_length=1, max_length=500, description="Key, such as `parsed`")]
    ) -> LineageOut:
        """Where an asset comes from and what is made of it, step by step."""
        return lineage.of(asset, services=call.services, tenant=call.tenant)

    return tools


def _workflows(tools: Tools) -> None:
    @tools.tool("read:workflows", title="List workflows", read_only=True)
    def list_workflows(call: Call) -> WorkflowsOut:
        """The workflows that can be run: those that were published, and those that come with the platform."""
        return WorkflowsOut(workflows=workflows.list_workflows(call.services, call.tenant, whole()))

    @tools.tool("read:workflows", title="Describe a workflow", read_only=True)
    def describe_workflow(call: Call, name: Name, revision: Revision = None) -> WorkflowOut:
        """A workflow with its inputs, nodes, outputs and whole spec."""
        return workflows.show_workflow(name, call.services, call.tenant, Response(), revision)

    @tools.tool("write:workflows", title="Validate a workflow", read_only=True)
    def validate_workflow(call: Call, spec: Spec) -> ValidatedOut:
        """Tell everything that is wrong with a workflow, each problem with its path and a hint. Nothing is stored."""
        found = _published(call, spec, dry_run=True, note=None)
        assert isinstance(found, ValidatedOut)
        return found

    @tools.tool("write:workflows", title="Publish a workflow", idempotent=True)
    def publish_workflow(
        call: Call, spec: Spec, note: Annotated[str | None, Field(max_length=500, description="Why it changed")] = None
    ) -> PublishedOut:
        """Store a workflow as a new revision, runnable at once. With `expose: [mcp]` it also becomes a tool of this server."""
        found = _published(call, spec, dry_run=False, note=note)
        assert isinstance(found, PublishedOut)
        return found

    @tools.tool("delete:workflows", title="Archive a workflow", destructive=True, idempotent=True)
    def archive_workflow(call: Call, name: Name) -> WorkflowOut:
        """Offer a workflow no longer; its triggers start it no longer. What runs goes on; publishing it again restores it."""
        return workflows.archive_workflow(name, call.services, call.principal)

    @tools.tool("execute:workflows", title="Run a workflow", open_world=True)
    async def run_workflow(
        call: Call,
        name: Name,
        inputs: Annotated[dict[str, Any], Field(description="As describe_workflow tells")] = {},  # noqa: B006  # never changed
        wait: Wait = 60.0,
        revision: Revision = None,
        idempotency_key: Key = None,
    ) -> RanOut:
        """Start a run and wait for its end, at most `wait` seconds. Giving up the call while it waits ends the run."""
        return await run(call, name, inputs, wait=wait, key=idempotency_key, revision=revision)


def _runs(tools: Tools) -> None:
    @tools.tool("read:runs", title="List runs", read_only=True)
    def list_runs(
        call: Call,
        workflow: Annotated[str | None, Field(max_length=100, description="Only runs of this workflow")] = None,
        status: Annotated[Status | None, Field(description="Only runs that stand so")] = None,
        limit: Annotated[int, Field(ge=1, le=200)] = 20,
        cursor: Annotated[str | None, Field(max_length=100, description="Of the page before")] = None,
    ) -> ExecutionPageOut:
        """Runs of workflows, the newest first."""
        return executions.list_executions(call.services, call.tenant, workflow, status, limit, cursor)

    @tools.tool("read:runs", title="Status of a run", read_only=True)
    def run_status(call: Call, run_id: RunId) -> runs.RunWithStoryOut:
        """Where a run stands, node by node, and why it failed if it did."""
        return runs.show_run(run_id, call.services, call.tenant)

    @tools.tool("read:runs", title="Log of a run", read_only=True)
    def run_logs(
        call: Call,
        run_id: RunId,
        limit: Annotated[int, Field(ge=1, le=1000)] = 200,
        cursor: Annotated[str | None, Field(max_length=500, description="Of the page before")] = None,
    ) -> LogPageOut:
        """What Dagster and the nodes wrote, in order."""
        return runs.run_logs(run_id, call.services, call.tenant, limit, cursor)

    @tools.tool("read:runs", title="Outputs of a run", read_only=True)
    def run_outputs(
        call: Call,
        run_id: RunId,
        node: Annotated[str | None, Field(max_length=300, description="A node; unset = the whole run")] = None,
    ) -> OutputOut:
        """What a run, or one of its nodes, gave: the value itself, however large."""
        return executions.execution_outputs(run_id, call.services, call.tenant, node, "")

    @tools.tool("execute:workflows", title="Cancel a run", destructive=True, idempotent=True)
    def cancel_run(call: Call, run_id: RunId) -> CancelledOut:
        """End a run, whether it waits or is executed. What a node has done outside stays done."""
        found = runs.cancel_run(run_id, call.services, call.tenant)
        return CancelledOut(run_id=run_id, status=found.status, cancelling=found.cancelling)

    @tools.tool("execute:workflows", title="Execute a run again", open_world=True)
    def rerun(
        call: Call,
        run_id: RunId,
        begin: Annotated[str, Field(max_length=300, description="`failure`, `all`, or a node's id")] = "failure",
        revision: Revision = None,
        dry_run: Annotated[bool, Field(description="Only tell what would be executed")] = False,
    ) -> StartedOut | RerunPlanOut:
        """From where it failed, from any node, or all of it; with what earlier nodes gave, as it was recorded."""
        body = RerunIn.model_validate({"from": begin, "revision": revision, "dry_run": dry_run})
        return runs.rerun(run_id, body, call.services, call.principal)

    @tools.tool("read:runs", title="List approvals", read_only=True)
    def list_approvals(
        call: Call, waiting: Annotated[bool, Field(description="Only those that nobody has decided")] = True
    ) -> ApprovalsOut:
        """Uses of tools that agents of workflows ask for, and that a person has to decide."""
        return ApprovalsOut(approvals=approval_routes.list_approvals(call.services, call.tenant, whole(), waiting))

    @tools.tool("execute:workflows", title="Decide an approval", destructive=True)
    def decide_approval(
        call: Call,
        approval_id: Annotated[UUID, Field(description="Of list_approvals")],
        decision: Annotated[Literal["grant", "deny"], Field(description="Granted, the agent may use the tool once")],
        comment: Annotated[str | None, Field(max_length=1000, description="Why")] = None,
    ) -> Approval:
        """Grant or deny what an agent asks for. Execute its run again afterwards: it goes on from there."""
        decide = approval_routes.grant_approval if decision == "grant" else approval_routes.deny_approval
        return decide(approval_id, call.services, call.principal, ApprovalDecisionIn(comment=comment))


def _knowledge(tools: Tools) -> None:
    @tools.tool("read:knowledge", title="Search", read_only=True)
    def search(
        call: Call,
        query: Annotated[str, Field(min_length=1, max_length=1000, description="What to look for, in your own words")],
        limit: Annotated[int, Field(ge=1, le=100)] = 10,
        mode: Annotated[Mode, Field(description="By words, by meaning, or by both, fused by rank")] = Mode.HYBRID,
        filters: Annotated[Filters | None, Field(description="What the documents must be")] = None,
        cursor: Annotated[str | None, Field(max_length=200, description="`next_cursor` of the page before")] = None,
    ) -> SearchOut:
        """The passages of the tenant's documents that fit the query best, by words and by meaning, with their citations."""
        wanted = SearchIn(query=query, limit=limit, mode=mode, filters=filters or Filters(), cursor=cursor)
        return finding.search_with_filters(wanted, call.services, call.tenant)

    @tools.tool("execute:workflows", title="Ask", open_world=True)
    async def ask(
        call: Call,
        question: Annotated[str, Field(min_length=1, max_length=1000)],
        passages: Annotated[int, Field(ge=1, le=50, description="Passages to read at most")] = 8,
        filters: Annotated[Filters | None, Field(description="What the documents must be")] = None,
        wait: Wait = 60.0,
    ) -> AskOut:
        """An answer from the tenant's documents alone, each sentence with where it stands, or that nothing was found."""
        given = {"question": question, "passages": passages}
        inputs = given if filters is None else given | {"filters": filters.model_dump(mode="json", exclude_unset=True)}
        found = await run(call, finding.ASK, inputs, wait=wait)
        if found.status in {"failed", "cancelled"}:
            raise UpstreamError(
                f"The question could not be answered: {found.error or found.status}.",
                code="ask_failed",
                run_id=found.run_id,
            )
        told = found.outputs if isinstance(found.outputs, dict) else {}
        status = "completed" if found.status == "completed" else "running"
        return AskOut(run_id=found.run_id, status=status, status_url=f"/api/v1/executions/{found.run_id}", **told)

    @tools.tool("read:knowledge", title="Learning path", read_only=True)
    def learning_path(
        call: Call,
        to: Annotated[str, Field(min_length=1, max_length=200, description="The concept to learn, by name or id")],
        known: Annotated[
            str | None, Field(min_length=1, max_length=200, description="A concept that is already known")
        ] = None,
    ) -> LearningPath:
        """Steps to a concept, every prerequisite before what needs it."""
        return knowledge.learning_path(call.services, call.tenant, to, known)

    @tools.tool("read:knowledge", title="Show a concept", read_only=True)
    def show_concept(
        call: Call, concept: Annotated[str, Field(min_length=1, max_length=200, description="Name or id")]
    ) -> ConceptView:
        """A concept with its neighbours, and the documents that mention it."""
        return knowledge.show_concept(concept, call.services, call.tenant)

    @tools.tool("read:documents", title="List documents", read_only=True)
    def list_documents(
        call: Call,
        after: Annotated[str | None, Field(max_length=200, description="Only ids after this one")] = None,
        limit: Annotated[int, Field(ge=1, le=200)] = 50,
        status: Annotated[DocumentStatus | None, Field(description="Only documents that stand there")] = None,
    ) -> DocumentPage:
        """The catalogue of documents, in order of id: where each comes from and where it stands."""
        return documents.list_documents(call.services, call.tenant, after, limit, status)


def _money(tools: Tools) -> None:
    @tools.tool("read:usage", title="Usage", read_only=True)
    def usage_summary(
        call: Call, days: Annotated[int, Field(ge=1, le=3650, description="How far back")] = 30
    ) -> Summary:
        """Calls of models, tokens and cost: in all, and by provider, model, user and workflow."""
        now = datetime.now(UTC)
        return usage.summary(call.services, call.tenant, now - timedelta(days=days), now)

    @tools.tool("read:budgets", title="Budgets", read_only=True)
    def budget_status(call: Call) -> BudgetsOut:
        """What may be spent, what is spent, and where that leads."""
        return BudgetsOut(budgets=budgets.budget_statuses(call.services, call.tenant, whole()))


def _published(
    call: Call, spec: str | dict[str, Any], *, dry_run: bool, note: str | None
) -> PublishedOut | ValidatedOut:
    text = spec.encode() if isinstance(spec, str) else orjson.dumps(spec)
    return workflows.publish_workflow(text, call.services, call.principal, Response(), dry_run, note)
