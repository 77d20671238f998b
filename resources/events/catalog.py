"""Every event that the platform records: one class per fact, named in the past tense.

To change a payload, raise the version in the decorator and write `upcast_v1_v2` beside the fields; never rename a type.
Money is a decimal in a string, durations are whole milliseconds, None means unknown.
"""

from __future__ import annotations

from decimal import Decimal  # pydantic reads the annotations at run time
from typing import Any, Literal

from pydantic import Field

from resources.events.schema import Catalog, EventData

CATALOG = Catalog()


# Documents


@CATALOG.event("document.received")
class DocumentReceived(EventData):
    """Bytes have arrived and are kept under their sha256."""

    document_id: str
    sha256: str
    uri: str
    name: str
    media_type: str
    size_bytes: int = Field(ge=0)
    title: str | None = None
    subject: str | None = None
    requires: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@CATALOG.event("document.rejected")
class DocumentRejected(EventData):
    """The document cannot be used; `code` is stable, `reason` is for people."""

    document_id: str
    code: str
    reason: str
    uri: str
    sha256: str | None = None


@CATALOG.event("document.ready")
class DocumentReady(EventData):
    """The document can be found by search and stands in the graph."""

    document_id: str
    sha256: str
    chunks: int = Field(ge=0)
    concepts: int = Field(ge=0)
    edges: int = Field(ge=0)


@CATALOG.event("document.removed")
class DocumentRemoved(EventData):
    """The document is no longer found by search, and the graph holds nothing that it alone supported."""

    document_id: str
    uri: str | None = Field(default=None, description="None if an earlier attempt had ended half way")


# Concepts


@CATALOG.event("concept.stated")
class ConceptStated(EventData):
    """A person has stated something of a concept, in place of what was stated of it before."""

    concept: str
    version: int = Field(ge=1)
    statement: dict[str, Any]


@CATALOG.event("concept.withdrawn")
class ConceptWithdrawn(EventData):
    """Nothing is stated of the concept any more, and the graph holds nothing that the statement alone supported."""

    concept: str
    name: str


# Runs of Dagster


class _Run(EventData):
    run_id: str
    job: str
    partition: str | None = None


@CATALOG.event("run.started")
class RunStarted(_Run):
    """A run has begun to execute."""

    trigger: str | None = Field(default=None, description="What started it: the id of an event, a schedule, a person")


@CATALOG.event("run.succeeded")
class RunSucceeded(_Run):
    """A run has ended well."""

    duration_ms: int | None = Field(default=None, ge=0)


@CATALOG.event("run.failed")
class RunFailed(_Run):
    """A run has ended badly, or was cancelled."""

    outcome: Literal["failed", "cancelled"] = "failed"
    error: str | None = None
    step: str | None = None
    duration_ms: int | None = Field(default=None, ge=0)


# Data of whatever form: one stream each, `data/<event id>`


@CATALOG.event("data.received")
class DataReceived(EventData):
    """Somebody has sent data that no other type tells of. A rule may start a workflow with it."""

    data: Any


# Workflows: one stream a workflow execution, `workflow/<id>`


@CATALOG.event("workflow.created")
class WorkflowCreated(EventData):
    """An execution was asked for."""

    workflow_id: str
    workflow_type: str
    configuration: dict[str, Any] = Field(default_factory=dict)
    input_data: Any = None
    user_id: str | None = None


@CATALOG.event("workflow.started", version=3)
class WorkflowStarted(EventData):
    """The execution has begun. `trigger` tells what started it, `parent_run_id` which run it repeats or is a part of."""

    workflow_id: str
    workflow_type: str
    configuration: dict[str, Any] = Field(default_factory=dict)
    input_data: Any = None
    user_id: str | None = None
    user_context: dict[str, Any] | None = None
    priority: Literal["low", "normal", "high", "critical"] = "normal"
    retry_config: dict[str, int] = Field(default_factory=lambda: {"max_retries": 3, "retry_delay_seconds": 60})
    revision: int | None = Field(default=None, ge=0)
    nodes_total: int | None = Field(default=None, ge=0)
    parent_run_id: str | None = None
    trigger: dict[str, Any] | None = None

    @staticmethod
    def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
        context = {"user_agent": None, "ip_address": None, "session_id": None}
        retries = {"max_retries": 3, "retry_delay_seconds": 60}
        return data | {"user_context": context, "priority": "normal", "retry_config": retries}

    @staticmethod
    def upcast_v2_v3(data: dict[str, Any]) -> dict[str, Any]:
        return data | {"revision": None, "nodes_total": None, "parent_run_id": None, "trigger": None}


@CATALOG.event("workflow.completed", version=2)
class WorkflowCompleted(EventData):
    """The execution has ended well."""

    workflow_id: str
    workflow_type: str | None = None
    output_data: Any = None
    duration_ms: int = Field(ge=0)
    nodes_executed: int = Field(ge=0)
    performance_metrics: dict[str, Any] | None = None
    output_validation: dict[str, Any] | None = None
    quality_metrics: dict[str, Any] | None = None

    @staticmethod
    def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
        nodes = data["nodes_executed"]
        each = data["duration_ms"] / nodes if nodes else None
        return data | {
            "performance_metrics": {"average_node_ms": each, "memory_bytes": None, "cpu_percent": None},
            "output_validation": None,
            "quality_metrics": None,
        }


@CATALOG.event("workflow.failed")
class WorkflowFailed(EventData):
    """The execution has ended badly."""

    workflow_id: str
    workflow_type: str | None = None
    error_message: str
    error_details: dict[str, Any] | None = None
    failed_node: str | None = None
    duration_ms: int | None = Field(default=None, ge=0)


@CATALOG.event("workflow.cancelled")
class WorkflowCancelled(EventData):
    """Somebody has ended the execution."""

    workflow_id: str
    workflow_type: str | None = None
    reason: str | None = None
    cancelled_by: str | None = None
    duration_ms: int | None = Field(default=None, ge=0)


class _Node(EventData):
    workflow_id: str
    node_id: str
    node_type: str | None = None


class _Attempt(_Node):
    """`attempt` counts from 1."""

    attempt: int = Field(default=1, ge=1)

    @staticmethod
    def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
        return data | {"attempt": 1}


@CATALOG.event("workflow.node_started", version=2)
class NodeStarted(_Attempt):
    """A node has begun."""

    input_data: Any = None


@CATALOG.event("workflow.node_completed", version=2)
class NodeCompleted(_Attempt):
    """A node has ended well."""

    output_data: Any = None
    duration_ms: int | None = Field(default=None, ge=0)


@CATALOG.event("workflow.node_failed", version=2)
class NodeFailed(_Attempt):
    """A node has ended badly, and is not tried again."""

    error_message: str
    error_details: dict[str, Any] | None = None
    duration_ms: int | None = Field(default=None, ge=0)


@CATALOG.event("workflow.node_retried")
class NodeRetried(_Node):
    """A try has failed (`attempt`, from 1), and there will be another after `delay_seconds`."""

    attempt: int = Field(ge=1)
    error_message: str
    error_details: dict[str, Any] | None = None
    delay_seconds: float = Field(default=0, ge=0)


@CATALOG.event("workflow.node_skipped")
class NodeSkipped(_Node):
    """A node does not run, as a router took another way or what it needs was skipped."""

    reason: str | None = None


# Descriptions of workflows: one stream a workflow, `workflow_definition/<name>`


class _Definition(EventData):
    name: str
    user_id: str | None = None
    note: str | None = None


@CATALOG.event("workflow_definition.published")
class DefinitionPublished(_Definition):
    """The workflow has a new revision. `spec` is the whole description, `sha256` that of its canonical form."""

    revision: int = Field(ge=1)
    sha256: str
    spec: dict[str, Any]


@CATALOG.event("workflow_definition.archived")
class DefinitionArchived(_Definition):
    """The workflow is no longer offered. What runs goes on, and its revisions can be read."""


@CATALOG.event("workflow_definition.restored")
class DefinitionRestored(_Definition):
    """The workflow is offered again."""


# Prompts: one stream a prompt, `prompt/<id>`


@CATALOG.event("prompt.published")
class PromptPublished(EventData):
    """A version of a prompt, which never changes. `content` and `system` are flat: what they include is in them."""

    prompt_id: str
    version: int = Field(ge=1)
    sha256: str
    spec: dict[str, Any]
    content: str
    system: str | None = None
    includes: dict[str, int] = Field(default_factory=dict)
    created_by: str | None = None
    comment: str | None = None


@CATALOG.event("prompt.labelled")
class PromptLabelled(EventData):
    """A label names another version from now on."""

    prompt_id: str
    label: str
    version: int = Field(ge=1)
    former: int | None = None
    sha256: str
    user: str | None = None


# Calls of models: one stream a request, `ai_interaction/<id>`


class _Interaction(EventData):
    request_id: str
    provider: str
    model: str
    workflow_id: str | None = None
    node_id: str | None = None


@CATALOG.event("ai.prompt_sent", version=2)
class PromptSent(_Interaction):
    """A prompt is on its way to a model."""

    prompt: str
    parameters: dict[str, Any] = Field(default_factory=dict)
    estimated_tokens: int | None = Field(default=None, ge=0)
    model_parameters: dict[str, Any] | None = None
    cost_estimation: dict[str, Any] | None = None

    @staticmethod
    def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
        given = data.get("parameters") or {}
        return data | {
            "estimated_tokens": len(data["prompt"]) // 4,
            "model_parameters": {
                "temperature": given.get("temperature", 0.7),
                "top_p": given.get("top_p", 1.0),
                "max_tokens": given.get("max_tokens"),
            },
            "cost_estimation": None,
        }


@CATALOG.event("ai.response_received", version=3)
class ResponseReceived(_Interaction):
    """The model has answered. What was said is there only where content is captured."""

    prompt: str | None = None
    response: str | None = None
    prompt_tokens: int | None = Field(default=None, ge=0)
    completion_tokens: int | None = Field(default=None, ge=0)
    total_tokens: int | None = Field(default=None, ge=0)
    cost_usd: Decimal | None = Field(default=None, ge=0)
    duration_ms: int | None = Field(default=None, ge=0)
    detailed_usage: dict[str, Any] | None = None
    cost_breakdown: dict[str, Any] | None = None
    quality_metrics: dict[str, Any] | None = None
    performance_metrics: dict[str, Any] | None = None

    @staticmethod
    def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
        tokens, milliseconds = data.get("completion_tokens"), data.get("duration_ms")
        speed = tokens * 1000 / milliseconds if tokens is not None and milliseconds else None
        cost = data.get("cost_usd")
        return data | {
            "cost_usd": None if cost is None else str(cost),
            "detailed_usage": {
                "input_tokens": data.get("prompt_tokens"),
                "output_tokens": tokens,
                "cached_tokens": None,
            },
            "cost_breakdown": None if cost is None else {"total_usd": str(cost)},
            "quality_metrics": None,
            "performance_metrics": {"tokens_per_second": speed, "first_token_ms": None},
        }

    @staticmethod
    def upcast_v2_v3(data: dict[str, Any]) -> dict[str, Any]:
        return {"prompt": None} | data  # the answer was always captured then, and the prompt never


@CATALOG.event("ai.tokens_used")
class TokensUsed(_Interaction):
    """Tokens were counted outside of a response: a stream that broke off, an embedding."""

    prompt_tokens: int = Field(ge=0)
    completion_tokens: int = Field(default=0, ge=0)
    cost_usd: Decimal | None = Field(default=None, ge=0)


@CATALOG.event("ai.call_failed")
class CallOfModelFailed(_Interaction):
    """An attempt brought no answer. `cost_usd` is what is charged for it all the same; None means unknown."""

    outcome: Literal["failed", "cancelled", "lost"]
    error_code: str | None = None
    attempt: int = Field(default=1, ge=1)
    cost_usd: Decimal | None = Field(default=None, ge=0)


@CATALOG.event("ai.budget_threshold_reached", version=2)
class BudgetThresholdReached(EventData):
    """A budget of dollars, requests or tokens is spent up to a share of its limit; told once per cooldown."""

    budget_id: str
    scope: str
    subject: str
    unit: Literal["usd", "requests", "tokens"]
    period: str
    threshold: Decimal
    limit: Decimal
    spent: Decimal

    @staticmethod
    def upcast_v1_v2(data: dict[str, Any]) -> dict[str, Any]:
        """Version 1 knew dollars only."""
        limit, spent = data.pop("limit_usd"), data.pop("spent_usd")
        return data | {"unit": "usd", "limit": limit, "spent": spent}


@CATALOG.event("ai.model_changed")
class ModelChanged(EventData):
    """Another model is used from now on."""

    request_id: str
    old_model: str
    new_model: str
    reason: str | None = None


@CATALOG.event("ai.rate_limit_hit")
class RateLimitHit(_Interaction):
    """The provider has refused a call for being one too many."""

    limit_type: str
    retry_after_seconds: float | None = Field(default=None, ge=0)


# Agents: what a run has paid for and done (`agent_run/<id>`), who allowed what (`agent_approval/<id>`), what was said
# (`agent_session/<key>`)


class _AgentRun(EventData):
    agent_run_id: str
    agent: str


@CATALOG.event("agent.started")
class AgentStarted(_AgentRun):
    """An agent has begun. Executed again, it is told by the same versions of prompts and remembers the same turns."""

    run_id: str | None = None
    node_id: str | None = None
    prompts: dict[str, str] = Field(default_factory=dict)
    session: str | None = None
    session_version: int = Field(default=0, ge=0)


@CATALOG.event("agent.answered")
class AgentAnswered(_AgentRun):
    """The agent's model has answered one turn. `request` is the fingerprint of what it was asked.

    An answer that is `{"sealed": …}` is encrypted, as the memo is.
    """

    step: int = Field(ge=1)
    request: str
    answer: dict[str, Any]
    calls: int = Field(ge=1)
    tokens: int = Field(ge=0)
    cost_usd: Decimal | None = Field(default=None, ge=0)


@CATALOG.event("agent.tool_used")
class AgentToolUsed(_AgentRun):
    """A tool has answered, or was refused. `request` and `index` tell which use it was.

    Tokens and cost are of what it has called itself (a workflow's models). `sealed`: the text is encrypted, as the memo is.
    """

    step: int = Field(ge=1)
    request: str
    index: int = Field(ge=0)
    tool: str
    outcome: Literal["answered", "failed", "invalid", "refused", "denied"]
    text: str
    tokens: int = Field(default=0, ge=0)
    cost_usd: Decimal | None = Field(default=Decimal(0), ge=0)
    sealed: bool = False


@CATALOG.event("agent.completed")
class AgentCompleted(_AgentRun):
    """The agent has its answer. Tokens and cost are of all its turns, whenever they were paid."""

    steps: int = Field(ge=1)
    model_calls: int = Field(ge=0)
    tool_calls: int = Field(ge=0)
    tokens: int = Field(ge=0)
    cost_usd: Decimal | None = Field(default=None, ge=0)


@CATALOG.event("agent.turn_remembered")
class AgentTurnRemembered(_AgentRun):
    """A task and its answer are part of a conversation. `untrusted`: text of others was read for it.

    `sealed`: task and answer are encrypted, as the memo is.
    """

    session: str
    task: str
    answer: str
    untrusted: bool = False
    sealed: bool = False


@CATALOG.event("agent.approval_requested")
class AgentApprovalRequested(_AgentRun):
    """An agent waits until a person has decided whether it may use a tool."""

    approval_id: str
    tool: str
    arguments: dict[str, Any]
    reason: str
    run_id: str | None = None
    node_id: str | None = None


@CATALOG.event("agent.approval_decided")
class AgentApprovalDecided(EventData):
    """A person has decided."""

    approval_id: str
    granted: bool
    user: str | None = None
    reason: str | None = None


@CATALOG.event("mcp.tool_called")
class McpToolCalled(EventData):
    """A client has called a tool of one of the platform's own MCP servers, as the user of the event: `mcp_call/<id>`.

    `outcome` is `answered`, `asked` (for more from the client), `cancelled`, or the code of the error. Arguments are told by
    name alone.
    """

    server: str
    tool: str
    scope: str
    arguments: tuple[str, ...] = ()
    outcome: str
    duration_ms: int = Field(ge=0)


# Calls of services (MCP servers): one stream a call, `service_call/<id>`, or a service, `service/<name>`


class _Call(EventData):
    call_id: str
    service: str
    tool: str


@CATALOG.event("service.call_started")
class CallStarted(_Call):
    """A tool of a service is being called."""

    parameters: dict[str, Any] = Field(default_factory=dict)


@CATALOG.event("service.call_completed")
class CallCompleted(_Call):
    """The tool has answered."""

    result: Any = None
    duration_ms: int | None = Field(default=None, ge=0)


@CATALOG.event("service.call_failed")
class CallFailed(_Call):
    """The tool has not answered, or with an error."""

    error_message: str
    error_details: dict[str, Any] | None = None
    duration_ms: int | None = Field(default=None, ge=0)


@CATALOG.event("service.registered")
class ServiceRegistered(EventData):
    """A service can be called."""

    service: str
    endpoint: str
    capabilities: tuple[str, ...] = ()


@CATALOG.event("service.unregistered")
class ServiceUnregistered(EventData):
    """A service can no longer be called."""

    service: str
    reason: str | None = None


@CATALOG.event("service.health_check_failed")
class HealthCheckFailed(EventData):
    """A service did not answer when asked how it is."""

    service: str
    error_message: str
    consecutive_failures: int = Field(ge=1)


# The platform itself: `system/<component>`


@CATALOG.event("system.started")
class SystemStarted(EventData):
    """A process of the platform is up."""

    component: str
    version: str
    environment: str


@CATALOG.event("system.shut_down")
class SystemShutDown(EventData):
    """A process of the platform is going down."""

    component: str
    reason: str | None = None
    graceful: bool = True
    uptime_seconds: float | None = Field(default=None, ge=0)


@CATALOG.event("system.error_occurred")
class ErrorOccurred(EventData):
    """Something went wrong that no other event tells of."""

    error_type: str
    message: str
    component: str
    severity: Literal["low", "medium", "high", "critical"] = "medium"
    stack: str | None = None


@CATALOG.event("system.performance_measured")
class PerformanceMeasured(EventData):
    """A measured value."""

    name: str
    value: float
    kind: Literal["counter", "gauge", "histogram"] = "gauge"
    labels: dict[str, str] = Field(default_factory=dict)


@CATALOG.event("system.configuration_changed")
class ConfigurationChanged(EventData):
    """A setting has another value now. Secrets are never recorded."""

    key: str
    old_value: Any = None
    new_value: Any = None
    changed_by: str | None = None


@CATALOG.event("system.database_connection_failed")
class DatabaseConnectionFailed(EventData):
    """A database could not be reached."""

    database: str
    error_message: str
    retry_count: int = Field(default=0, ge=0)
    next_retry_at: str | None = None


# Sagas: `saga/<id>`


class _Saga(EventData):
    saga_id: str


@CATALOG.event("saga.started")
class SagaStarted(_Saga):
    """A saga has begun."""

    saga_type: str
    steps: tuple[str, ...] = ()
    input_data: Any = None


@CATALOG.event("saga.step_completed")
class SagaStepCompleted(_Saga):
    """A step has ended well."""

    step: str
    output_data: Any = None


@CATALOG.event("saga.step_failed")
class SagaStepFailed(_Saga):
    """A step has ended badly."""

    step: str
    error_message: str
    attempt: int = Field(default=1, ge=1)


@CATALOG.event("saga.compensation_started")
class SagaCompensationStarted(_Saga):
    """What was done is being undone."""

    steps: tuple[str, ...]
    reason: str | None = None


@CATALOG.event("saga.failed")
class SagaFailed(_Saga):
    """The saga has ended badly; `compensated` tells whether all that was done is undone."""

    error_message: str
    compensated: bool


@CATALOG.event("saga.completed")
class SagaCompleted(_Saga):
    """The saga has ended well."""

    output_data: Any = None


# Identity: who may do what. `tenant/<id>`, `user/<id>`, `key/<id>`; `metadata.user_id` tells who did it, and no secret is told


@CATALOG.event("tenant.created")
class TenantCreated(EventData):
    """There is a new tenant."""

    tenant_id: str
    name: str


@CATALOG.event("tenant.changed")
class TenantChanged(EventData):
    """A tenant's name, status or limits are as given now."""

    tenant_id: str
    name: str
    status: str
    limits: dict[str, Any] = Field(default_factory=dict)


@CATALOG.event("tenant.erased")
class TenantErased(EventData):
    """Nothing of a tenant is left but its events."""

    tenant_id: str


class _User(EventData):
    user_id: str
    username: str


@CATALOG.event("user.created")
class UserCreated(_User):
    """There is a new user."""

    role: str
    email: str | None = None


@CATALOG.event("user.changed")
class UserChanged(_User):
    """A user's role, status or email are as given now."""

    role: str
    status: str
    email: str | None = None


@CATALOG.event("user.linked")
class UserLinked(_User):
    """A user can log in elsewhere too, as `subject` (issuer and subject of OpenID Connect)."""

    subject: str


@CATALOG.event("user.password_changed")
class UserPasswordChanged(_User):
    """A user has another password; all sessions have ended."""


@CATALOG.event("user.logged_in")
class UserLoggedIn(_User):
    """A session has begun."""

    session_id: str
    method: Literal["password", "oidc"]
    address: str | None = None


@CATALOG.event("user.client_admitted")
class ClientAdmitted(_User):
    """A user has agreed that a program acts in its name: `client` as it calls itself, `place` where its codes are sent to."""

    session_id: str
    client: str
    place: str
    scopes: tuple[str, ...]
    resource: str | None = None


@CATALOG.event("user.login_refused")
class UserLoginRefused(_User):
    """Somebody tried to log in as this user, with a wrong password or while it was blocked."""

    reason: str
    failures: int = Field(default=0, ge=0)
    address: str | None = None


@CATALOG.event("user.sessions_revoked")
class UserSessionsRevoked(_User):
    """Sessions have ended before their time; `refresh_reused` means that a token was stolen."""

    reason: str
    sessions: int = Field(ge=0)


@CATALOG.event("key.created")
class KeyCreated(EventData):
    """There is a new API key."""

    key_id: str
    user_id: str
    name: str
    scopes: tuple[str, ...] = ()
    expires_at: str | None = None


@CATALOG.event("key.revoked")
class KeyRevoked(EventData):
    """An API key is no longer good."""

    key_id: str
    name: str


@CATALOG.event("key.service_token_issued")
class ServiceTokenIssued(EventData):
    """A program was given a token."""

    session_id: str
    subject: str
    role: str
    expires_at: str


@CATALOG.event("key.signing_rotated")
class SigningKeyRotated(EventData):
    """Access tokens are signed with another key; the former ones verify until `former_until`."""

    kid: str
    former_until: str


@CATALOG.event("key.master_rotated")
class MasterKeyRotated(EventData):
    """Sealed secrets are under the present master key."""

    rewrapped: int = Field(ge=0)


@CATALOG.event("key.provider_stored")
class ProviderKeyStored(EventData):
    """The tenant's key of an AI provider was stored or replaced; `hint` is its end."""

    provider: str
    hint: str


@CATALOG.event("key.provider_removed")
class ProviderKeyRemoved(EventData):
    """The tenant has no key of this AI provider any more."""

    provider: str


# Plugins


@CATALOG.event("mcp.server_changed")
class McpServerChanged(EventData):
    """A tenant's MCP server was added, changed or removed, or logged in to. `urls` are where it is; secrets are not told."""

    server: str
    change: Literal["added", "changed", "removed", "logged_in", "logged_out"]
    transport: str | None = None
    urls: tuple[str, ...] = ()


@CATALOG.event("plugin.installed")
class PluginInstalled(EventData):
    """A module runs in the tenant's name from now on, once it is enabled."""

    plugin: str
    version: str
    sha256: str
    grants: tuple[str, ...] = ()
    replaced: bool = False


@CATALOG.event("plugin.changed")
class PluginChanged(EventData):
    """A plugin was enabled, disabled or configured."""

    plugin: str
    enabled: bool
    configured: bool = False


@CATALOG.event("plugin.removed")
class PluginRemoved(EventData):
    """A plugin is no longer installed."""

    plugin: str
