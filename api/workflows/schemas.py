"""What the faces of workflows take and give."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from resources.workflows.executions import NodeStatus, Status

if TYPE_CHECKING:
    from resources.workflows.executions import Execution
    from resources.workflows.library import Entry
    from resources.workflows.node_type import NodeType
    from resources.workflows.templates import Template


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WorkflowOut(BaseModel):
    """A workflow, with the whole spec where one is asked for."""

    name: str
    revision: int = Field(description="Counted from 1; 0 = it comes with the platform")
    version: str
    description: str
    bundled: bool
    archived: bool = False
    nodes: int
    inputs: dict[str, Any]
    outputs: list[str]
    triggers: list[str]
    tags: list[str]
    sha256: str
    published_at: datetime | None = None
    published_by: str | None = None
    note: str | None = None
    spec: dict[str, Any] | None = None

    @classmethod
    def of(cls, entry: Entry, *, whole: bool = False) -> WorkflowOut:
        spec, published = entry.spec, entry.published
        inputs = {name: one.model_dump(mode="json", exclude_defaults=True) for name, one in spec.inputs.items()}
        return cls(
            name=spec.name,
            revision=entry.revision,
            version=spec.version,
            description=spec.description,
            bundled=published is None,
            archived=published is not None and published.archived,
            nodes=len(spec.nodes),
            inputs=inputs,
            outputs=list(spec.outputs),
            triggers=[*(trigger.type for trigger in spec.triggers), *(["schedule"] if spec.schedule else [])],
            tags=list(spec.tags),
            sha256=published.sha256 if published is not None else spec.fingerprint(),
            published_at=published.published_at if published is not None else None,
            published_by=published.published_by if published is not None else None,
            note=published.note if published is not None else None,
            spec=spec.model_dump(mode="json", exclude_defaults=True) if whole else None,
        )


class ChangeOut(BaseModel):
    """One difference between two revisions."""

    kind: Literal["added", "removed", "changed"]
    path: str
    before: Any = None
    after: Any = None


class DiffOut(BaseModel):
    """All differences between two revisions, by what they are about."""

    name: str
    one: int
    other: int
    nodes: list[ChangeOut]
    edges: list[ChangeOut]
    inputs: list[ChangeOut]
    outputs: list[ChangeOut]
    others: list[ChangeOut]


class RunIn(_Strict):
    """What a run is given."""

    inputs: dict[str, Any] = Field(default_factory=dict)
    revision: int | None = Field(default=None, ge=0, description="Unset = the newest; 0 = the platform's own")
    tags: dict[str, str] = Field(default_factory=dict, max_length=50)
    idempotency_key: str | None = Field(default=None, min_length=1, max_length=200)


class StartedOut(BaseModel):
    """A run on its way. With `wait`, also where it stood when the time was up."""

    run_id: str
    workflow: str
    created: bool = Field(description="False when the key had started it before")
    status: str
    status_url: str
    outputs: Any = None
    error: str | None = None


class TriggerIn(_Strict):
    """`POST /workflows/trigger`."""

    workflow_name: str = Field(min_length=1, max_length=100)
    inputs: dict[str, Any] = Field(default_factory=dict)
    config: dict[str, Any] | None = Field(
        default=None, description="Accepted for old callers; what holds for runs stands in the workflow itself"
    )


class TemplateTriggerIn(_Strict):
    """`POST /templates/trigger`."""

    template_id: str = Field(min_length=1, max_length=100)
    inputs: dict[str, Any] = Field(default_factory=dict)


class TriggeredOut(BaseModel):
    """An instance, which is a run by its old name."""

    instance_id: str
    status_url: str
    status: str
    workflow_name: str
    created_at: datetime


class ProgressOut(BaseModel):
    """How far a run is, by its nodes."""

    model_config = ConfigDict(from_attributes=True)

    total: int
    completed: int
    failed: int
    skipped: int
    running: int
    percentage: float


class NodeOut(BaseModel):
    """What one node did. `output` is a preview."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    status: NodeStatus
    type: str | None
    attempt: int
    started_at: datetime | None
    ended_at: datetime | None
    duration_ms: int | None
    error: str | None
    output: Any


class ExecutionOut(BaseModel):
    """A run of a workflow. `inputs` and `outputs` are previews: `/executions/{run_id}/outputs` has all of it."""

    model_config = ConfigDict(from_attributes=True)

    run_id: str
    workflow: str
    revision: int | None
    status: Status
    progress: ProgressOut
    nodes: list[NodeOut]
    inputs: Any
    outputs: Any
    error: str | None
    failed_node: str | None
    created_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    duration_ms: int | None
    user_id: str | None
    parent_run_id: str | None
    trigger: dict[str, Any] | None
    correlation_id: str | None


class ExecutionPageOut(BaseModel):
    """Runs, the newest first. Ask again with `cursor` for older ones; None = there are none."""

    executions: list[ExecutionOut]
    cursor: str | None


class OutputOut(BaseModel):
    """What a node, or a whole run, gave: the value itself."""

    run_id: str
    node: str | None
    value: Any


class InstanceProgressOut(BaseModel):
    """The progress by its old names."""

    total: int
    completed: int
    failed: int
    running_steps: list[str]
    percentage: float


class InstanceOut(BaseModel):
    """A run by its old names."""

    instance_id: str
    status: str
    workflow_name: str
    inputs: Any
    steps: dict[str, Any]
    outputs: Any
    created_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    error: dict[str, Any] | None
    progress: InstanceProgressOut

    @classmethod
    def of(cls, found: Execution) -> InstanceOut:
        progress = found.progress
        error = None
        if found.error is not None and found.status in {"failed", "cancelled"}:
            code = "STEP_EXECUTION_FAILED" if found.failed_node else "EXECUTION_FAILED"
            error = {"code": code, "message": found.error, "step_id": found.failed_node, "details": None}
        steps = {
            node.id: {
                "status": node.status,
                "output": node.output,
                "started_at": node.started_at,
                "completed_at": node.ended_at,
                "error": node.error,
                "attempt": node.attempt,
            }
            for node in found.nodes
        }
        return cls(
            instance_id=found.run_id,
            status=found.status,
            workflow_name=found.workflow,
            inputs=found.inputs,
            steps=steps,
            outputs=found.outputs,
            created_at=found.created_at,
            started_at=found.started_at,
            completed_at=found.ended_at,
            error=error,
            progress=InstanceProgressOut(
                total=progress.total,
                completed=progress.completed,
                failed=progress.failed,
                running_steps=[node.id for node in found.nodes if node.status in {"running", "retrying"}],
                percentage=progress.percentage,
            ),
        )


class RerunIn(_Strict):
    """How to execute a past run again."""

    begin: str = Field(default="failure", alias="from", max_length=300, description="`failure`, `all`, or a node's id")
    revision: int | None = Field(default=None, ge=0, description="Unset = that of the run; 0 = the platform's own")
    dry_run: bool = False


class RerunPlanOut(BaseModel):
    """What a rerun would do, by step."""

    model_config = ConfigDict(from_attributes=True)

    workflow: str
    revision: int
    runs: list[str]
    reused: list[str]


class RunLineOut(BaseModel):
    """A run of Dagster, in a list."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    job: str
    status: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    partition: str | None
    tags: dict[str, str]


class RunPageOut(BaseModel):
    """Runs, the newest first. Ask again with `cursor` for older ones; None = there are none."""

    runs: list[RunLineOut]
    cursor: str | None


class LogLineOut(BaseModel):
    """One line of a run's log."""

    model_config = ConfigDict(from_attributes=True)

    at: datetime
    level: str
    step: str | None
    kind: str | None = Field(description="The type of event; None = a line that a node wrote")
    message: str


class LogPageOut(BaseModel):
    """Lines in order. Ask again with `cursor` for those that follow."""

    lines: list[LogLineOut]
    cursor: str | None
    more: bool


class NodeTypeOut(BaseModel):
    """A type of node: what it wants, what it gives."""

    name: str
    kind: str
    summary: str
    effects: bool = Field(description="It changes something outside of the platform")
    resources: list[str]
    config_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    examples: list[dict[str, Any]] = []

    @classmethod
    def of(cls, found: NodeType, *, whole: bool = False) -> NodeTypeOut:
        output = found.output_schema() if whole else None
        return cls(
            name=found.name,
            kind=found.kind,
            summary=found.summary,
            effects=found.effects,
            resources=sorted(found.resources),
            config_schema=found.config.model_json_schema() if whole else None,
            output_schema=dict(output) if output is not None else None,
            examples=[dict(example) for example in found.examples] if whole else [],
        )


class TemplateOut(BaseModel):
    """A workflow in the catalogue of templates. `estimated_duration` is in seconds."""

    id: str
    name: str
    description: str
    version: str
    category: str | None
    complexity: str | None
    required_inputs: list[str]
    optional_inputs: list[str]
    outputs: list[str]
    estimated_duration: float | None
    tags: list[str]
    author: str | None
    created_at: datetime | None
    updated_at: datetime | None
    spec: dict[str, Any] | None = None

    @classmethod
    def of(cls, found: Template, *, whole: bool = False) -> TemplateOut:
        same = ("id", "name", "description", "version", "category", "complexity", "author", "created_at", "updated_at")
        return cls(
            **{name: getattr(found, name) for name in same},
            required_inputs=list(found.required_inputs),
            optional_inputs=list(found.optional_inputs),
            outputs=list(found.outputs),
            tags=list(found.tags),
            estimated_duration=found.estimated_duration.total_seconds() if found.estimated_duration else None,
            spec=found.spec.model_dump(mode="json", exclude_defaults=True) if whole else None,
        )


class TemplateStatisticsOut(BaseModel):
    """Figures about the catalogue."""

    total: int
    by_category: dict[str, int]
    by_complexity: dict[str, int]
    average_duration: float | None


class HookOut(BaseModel):
    """What a delivery has started: one run for each workflow that waits for this webhook."""

    delivery_id: str
    run_ids: list[str]
