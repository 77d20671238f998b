"""A workflow as its author describes it: the one object that YAML, JSON, the API and the builder give.

    name: hello
    inputs:
      who: {type: string, default: world}
    nodes:
      greet: {type: template, config: {template: "Hello, {{ inputs.who }}!"}}
    outputs: {greeting: "{{ nodes.greet.output.text }}"}

The models here say what a field may be on its own. What fields mean together (graph, references, node types) is the matter of
`validation.py`, which reports all problems at once.

Order counts: nodes are a sequence, and where results are merged the later one wins. A mapping `id: {...}` is the shorter
way to write the same sequence.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta  # pydantic reads the annotations at run time
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

MAX_NODES = 1000
MAX_DEPTH = 100
MAX_TIMEOUT_SECONDS = 3600.0

NAME = r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$"
NODE_ID = r"^[A-Za-z][A-Za-z0-9_]*$"

InputType = Literal["string", "integer", "number", "boolean", "object", "array", "any"]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _listed(key: str) -> BeforeValidator:
    """`{a: {...}}` as `[{key: a, ...}]`; a list stays what it is."""

    def listed(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return [{key: name, **fields} if isinstance(fields, dict) else fields for name, fields in value.items()]

    return BeforeValidator(listed)


def _single(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class InputSpec(_Model):
    """A value that a run is given. `type` is JSON's; limits hold for lengths of strings and arrays, and for numbers."""

    type: InputType = "string"
    description: str = ""
    required: bool = Field(default=True, description="Ignored when there is a default")
    default: Any = None
    min: float | None = Field(default=None, description="Least number, or least length of a string or an array")
    max: float | None = Field(default=None, description="Greatest number, or greatest length")
    pattern: str | None = Field(default=None, description="Regular expression that a string must match as a whole")
    enum: tuple[Any, ...] | None = Field(default=None, description="The only values")

    @model_validator(mode="before")
    @classmethod
    def _null_is_a_default(cls, value: Any) -> Any:
        """`default: null` means that the input may be left out, which is said in one way only."""
        if isinstance(value, dict) and "default" in value and value["default"] is None:
            return {key: item for key, item in value.items() if key != "default"} | {"required": False}
        return value

    @property
    def has_default(self) -> bool:
        return self.default is not None


class RetrySpec(_Model):
    """How often a failed node is tried again, and when."""

    attempts: int = Field(ge=1, le=100, description="Tries after the first one")
    delay: float = Field(default=1.0, gt=0, le=3600, description="Seconds before the first of them")
    backoff: Literal["fixed", "linear", "exponential"] = "exponential"
    jitter: bool = True


class AssetSpec(_Model):
    """The node's result as an asset: it gets lineage, metadata, and a partition when one is named."""

    key: Annotated[
        tuple[str, ...], BeforeValidator(lambda value: value.split("/") if isinstance(value, str) else value)
    ]
    description: str | None = None
    partition: str | None = Field(default=None, description="Expression that gives the partition")


class NodeSpec(_Model):
    """One step. `config` belongs to the node's type; its strings may hold expressions.

    A node runs after everything in `needs` (`"check"`, or `"check:billing"` for one branch of a router) and after every node
    that its expressions name.
    """

    id: str = Field(pattern=NODE_ID, max_length=100)
    type: str = Field(min_length=1, max_length=100)
    description: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    needs: Annotated[tuple[str, ...], BeforeValidator(_single)] = ()
    join: Literal["all", "any"] = Field(
        default="all", description="any: run when at least one of `needs` has run; for merging branches"
    )
    nodes: Annotated[tuple[NodeSpec, ...], _listed("id")] = Field(
        default=(), description="The body of a map, loop or parallel group"
    )
    timeout: float | None = Field(default=None, gt=0, le=MAX_TIMEOUT_SECONDS, description="Seconds for one try")
    retry: RetrySpec | None = None
    continue_on_error: bool = Field(default=False, description="A failure becomes the node's output {error: ...}")
    pool: str | None = Field(default=None, description="Share slots with all nodes of this pool, in all runs")
    priority: int | None = Field(default=None, ge=1, le=255)
    asset: AssetSpec | None = None
    memo: Literal["off", "read_through", "record", "replay_only"] | None = Field(
        default=None, description="Whether answers of models are paid once; unset: as the workflow says"
    )
    metadata: dict[str, Any] = Field(default_factory=dict)
    tags: tuple[str, ...] = Field(default=(), max_length=50)


class EventTrigger(_Model):
    """Run for each event of a type (`document.ready`, `document.*`) that meets the condition."""

    type: Literal["event"]
    event: str
    when: str | None = Field(default=None, description="Expression over `event`")
    inputs: dict[str, Any] = Field(default_factory=dict, description="Expressions over `event`")


class ScheduleTrigger(_Model):
    """Run by the clock. `cron` as in crontab(5)."""

    type: Literal["schedule"]
    cron: str
    timezone: str = "UTC"
    inputs: dict[str, Any] = Field(default_factory=dict)


class WebhookTrigger(_Model):
    """Run when somebody posts to `/api/v1/hooks/<name>`, signed with HMAC-SHA256 of the secret in the setting named."""

    type: Literal["webhook"]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    inputs: dict[str, Any] = Field(default_factory=dict, description="Expressions over `body` and `headers`")


class RunTrigger(_Model):
    """Run when a run of another workflow has ended."""

    type: Literal["run"]
    workflow: str
    status: Literal["completed", "failed", "cancelled"] = "completed"
    inputs: dict[str, Any] = Field(default_factory=dict, description="Expressions over `run` and its `outputs`")


class AssetTrigger(_Model):
    """Run when one of the assets was materialised."""

    type: Literal["asset"]
    assets: tuple[str, ...] = Field(min_length=1)
    inputs: dict[str, Any] = Field(default_factory=dict)


Trigger = Annotated[
    EventTrigger | ScheduleTrigger | WebhookTrigger | RunTrigger | AssetTrigger, Field(discriminator="type")
]


class NotificationSpec(_Model):
    """Whom to tell about the end of a run."""

    on_completion: bool = False
    on_failure: bool = True
    webhook_url: str | None = None
    email: tuple[str, ...] = ()


class RunConfig(_Model):
    """What holds for every run of the workflow."""

    timeout: float | None = Field(default=None, gt=0, le=24 * 3600, description="Seconds for a whole run")
    retries: int = Field(default=0, ge=0, le=100, description="Whole runs started again, from the failed node")
    retry: RetrySpec | None = Field(default=None, description="For nodes that say nothing of their own")
    continue_on_error: bool = False
    notifications: NotificationSpec | None = None
    concurrency: int | None = Field(default=None, ge=1, le=10_000, description="Runs of this workflow at a time")
    max_parallel: int = Field(default=8, ge=1, le=64, description="Nodes of one run at a time")
    isolation: Literal["warm", "process", "k8s"] = "warm"
    executor: Literal["lean", "in_process", "multiprocess"] = Field(
        default="lean", description="in_process, multiprocess: Dagster's own; the latter has a process for each node"
    )
    memo: Literal["off", "read_through", "record", "replay_only"] = "off"
    environment: dict[str, str] = Field(default_factory=dict, description="What expressions read as env.NAME")


class WorkflowSpec(_Model):
    """The whole description."""

    name: str = Field(pattern=NAME, max_length=100)
    version: str = Field(
        default="1.0", max_length=50, description="The author's own label; revisions are counted anyway"
    )
    description: str = ""
    inputs: dict[str, InputSpec] = Field(default_factory=dict)
    nodes: Annotated[tuple[NodeSpec, ...], _listed("id")]
    outputs: dict[str, Any] = Field(default_factory=dict, description="Name → expression over the nodes' outputs")
    triggers: tuple[Trigger, ...] = ()
    schedule: str | None = Field(default=None, description="Short for one schedule trigger: its cron expression")
    config: RunConfig = RunConfig()
    expose: tuple[Literal["mcp"], ...] = Field(default=(), description="Where else the workflow can be called")
    category: str | None = Field(default=None, max_length=100)
    complexity: Literal["Simple", "Moderate", "Complex", "Advanced"] | None = None
    estimated_duration: timedelta | None = None
    author: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    tags: tuple[str, ...] = Field(default=(), max_length=50)

    def canonical(self) -> bytes:
        """The spec as canonical JSON: the same workflow gives the same bytes, however it was written."""
        return orjson.dumps(self.model_dump(mode="json", exclude_defaults=True), option=orjson.OPT_SORT_KEYS)

    def fingerprint(self) -> str:
        """SHA-256 of the canonical form, in hexadecimal."""
        return hashlib.sha256(self.canonical()).hexdigest()

    def node(self, id: str) -> NodeSpec | None:
        """A node of the top level, or None."""
        return next((node for node in self.nodes if node.id == id), None)
