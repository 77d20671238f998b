"""Do an analysis that was asked for as a job."""

from datetime import UTC, datetime
from uuid import UUID

from pydantic import BaseModel, Field

from assets.nodes.base import Text, node
from assets.nodes.reading import limits_of
from resources.ai.model import CallContext
from resources.content.jobs.model import JobError, JobStatus
from resources.content.jobs.runner import run_job
from resources.workflows.node_type import NodeConfig, NodeContext

_UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"


class Config(NodeConfig):
    """Which job."""

    job: Text = Field(pattern=_UUID, description="Id of the job, as POST /api/v1/analyze gave it")


class Output(BaseModel):
    """How the job ended. The result itself stays with the job."""

    job: UUID = Field(description="Id of the job")
    status: JobStatus = Field(description="completed, partial, failed or cancelled")
    summary: str | None = Field(description="What the document says; null when it could not be read")
    errors: tuple[JobError, ...] = Field(description="What went wrong, with codes")


@node(
    "analysis_job",
    output=Output,
    summary="Do an analysis that was asked for as a job",
    resources={"analyses", "content", "ai", "plugins"},
    effects=True,
    compute_kind="postgres",
    examples=[{"id": "done", "type": "analysis_job", "config": {"job": "00000000-0000-4000-8000-000000000000"}}],
)
def analysis_job(config: Config, context: NodeContext) -> Output:
    """Safe to repeat: a job ends once. Raises NotFoundError for an unknown job, UnavailableError."""
    plugins = context.resource("plugins")
    job = run_job(
        UUID(config.job),
        context.resource("analyses"),
        limits=limits_of(context.resource("content")),
        plugins=lambda name, given: plugins.process(
            name, given, tenant=context.tenant, now=datetime.now(UTC), run_id=context.run_id
        ),
        ai=context.resource("ai"),
        caller=CallContext(
            tenant=context.tenant,
            workflow=context.workflow,
            run_id=context.run_id,
            node_id=context.node_id,
            correlation_id=context.correlation_id,
        ),
        clock=lambda: datetime.now(UTC),
    )
    summary = None if job.result is None else job.result.analysis.summary
    context.report({"status": job.status, "document": job.name or job.sha256[:12], "bytes": job.size_bytes})
    return Output(job=job.id, status=job.status, summary=summary, errors=job.errors)
