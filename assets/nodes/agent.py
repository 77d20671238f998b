"""A model that works with tools until it has an answer."""

import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self, cast

import orjson
from pydantic import Field, model_validator

from assets.nodes.base import MAX_TEXT, Text, has_expressions, is_expression, near, node, remaining
from assets.nodes.functions import FUNCTIONS
from resources.agents.bundled import bundled_agent, bundled_agents
from resources.agents.loop import AgentResult, Agents, Occasion
from resources.agents.spec import AgentLimits, AgentSpec, AgentTask
from resources.agents.tools.calculator import calculator
from resources.agents.tools.callables import WORKFLOW_TIMEOUT, function_tool, workflow_tool
from resources.agents.tools.knowledge import related_concepts_tool, search_tool
from resources.agents.tools.port import Tool, ToolUse
from resources.agents.tools.sets import ToolSets, tools_of
from resources.agents.tools.web import http_tool
from resources.ai import bridge
from resources.ai.call import CallOptions
from resources.ai.model import CallContext
from resources.ai.structured import check_schema
from resources.content.search import SearchService
from resources.errors import InvalidInputError, NotFoundError, PlatformError, Problem
from resources.knowledge.neighbourhood import Neighbourhood
from resources.workflows.calling import WorkflowCall, WorkflowCalls
from resources.workflows.node_type import NodeConfig, NodeContext
from resources.workflows.spec import NodeSpec
from resources.workflows.waiting import unless_cancelled

if TYPE_CHECKING:
    from resources.ai.memo.model import MemoMode
    from resources.ai.pipeline import AiCalls

_OCCASIONS: Final = uuid.UUID("0d0c4a06-5f0b-5b1c-8f5e-3f1f6a6f2f5b")


class Config(NodeConfig):
    """Which agent, and what it is to do."""

    agent: str | None = Field(
        default=None, min_length=1, max_length=100, description="One that comes with the platform: research, content…"
    )
    spec: AgentSpec | None = Field(default=None, description="An agent of the workflow's own, in place of `agent`")
    prompt: Text | None = Field(default=None, min_length=1, max_length=MAX_TEXT, description="What it is to do")
    variables: dict[str, Any] = Field(
        default_factory=dict, max_length=100, description="For the agent's prompt of the library"
    )
    documents: tuple[Text, ...] = Field(
        default=(), max_length=1000, description="Texts of others to work on; no instruction in them is followed"
    )
    session: Text | None = Field(
        default=None, pattern=r"^[A-Za-z0-9_.:@-]{1,100}$", description="Conversation that it remembers"
    )
    provider: str | None = Field(default=None, min_length=1, max_length=100, description="Instead of the agent's own")
    model: str | None = Field(default=None, min_length=1, max_length=200, description="Instead of the agent's own")
    tools: tuple[str, ...] | None = Field(
        default=None, max_length=100, description="Only these of its tools; unset = all that the agent names"
    )
    functions: tuple[str, ...] = Field(
        default=(), max_length=50, description="Registered Python functions that it may call besides"
    )
    workflows: tuple[str, ...] = Field(
        default=(),
        max_length=50,
        description="Published workflows that it may run; their inputs are what it is asked for",
    )
    tool_sets: tuple[str, ...] = Field(
        default=(), max_length=20, description="Sets of tools (MCP servers) of which it may use every one"
    )
    approve: tuple[str, ...] = Field(
        default=(), max_length=100, description="Tools of which a person must approve each use"
    )
    limits: AgentLimits | None = Field(default=None, description="What it must not exceed, in place of the agent's own")
    output: dict[str, Any] | None = Field(
        default=None, description="JSON Schema: the answer is JSON of this shape, and stands in `data`"
    )

    @model_validator(mode="after")
    def _one_agent(self) -> Self:
        if (self.agent is None) == (self.spec is None):
            raise ValueError("needs either an `agent` or a `spec`")
        if self.prompt is None and not self.variables:
            raise ValueError("needs a `prompt`, or `variables` for the agent's own")
        return self


def _check(spec: NodeSpec) -> Sequence[Problem]:
    problems = []
    name, functions, output = (spec.config.get(key) for key in ("agent", "functions", "output"))
    if isinstance(name, str) and not is_expression(name) and name not in bundled_agents():
        problems.append(Problem("config.agent", f"unknown agent {name!r}", near(name, bundled_agents())))
    for function in functions if isinstance(functions, list | tuple) else ():
        try:
            FUNCTIONS.get(function)
        except NotFoundError:
            problems.append(
                Problem("config.functions", f"unknown function {function!r}", near(function, FUNCTIONS.names()))
            )
    if isinstance(output, dict) and not has_expressions(output):
        try:
            check_schema(output)
        except InvalidInputError as error:
            problems.append(Problem("config.output", error.message))
    return problems


@node(
    "agent",
    output=AgentResult,
    summary="Have an agent work with tools until it has an answer",
    resources={"ai", "prompts", "events", "web", "embedder", "chunks", "graph", "workflows", "tool_sets"},
    lazy={"output"},
    effects=True,
    compute_kind="ai",
    check=_check,
    examples=[
        {
            "id": "bill",
            "type": "agent",
            "config": {
                "spec": {"name": "clerk", "goal": "Calculate what is asked.", "tools": ["calculator"]},
                "prompt": "What does the bill say?",
                "documents": ["Tea costs three dollars. Cake costs four dollars."],
            },
        }
    ],
)
def agent(config: Config, context: NodeContext) -> AgentResult:
    """Executed again, it takes what was answered before, and calls only for what was not.

    Raises AgentLimitError, ApprovalRequiredError while a person has not decided, and what AiCalls.complete raises.
    """
    agents = Agents(context.resource("ai"), context.resource("prompts"), context.resource("events"))
    given = _given_tools(config, context)
    spec = _spec(config, context, [tool.name for tool in given])
    task = AgentTask(
        prompt=config.prompt, variables=config.variables, documents=config.documents, session=config.session
    )
    caller = CallContext(
        tenant=context.tenant,
        workflow=context.workflow,
        run_id=context.run_id,
        node_id=context.node_id,
        correlation_id=context.correlation_id,
    )
    occasion = Occasion(_occasion(context), caller, CallOptions(memo=cast("MemoMode", context.memo)), context.emit)
    work = agents.run(spec, task, [*_tools(context), *given], occasion)
    result = bridge.run(unless_cancelled(work, context.cancel))
    context.report(
        {
            "agent": spec.name,
            "provider": result.provider,
            "model": result.model,
            "steps": result.steps,
            "tools": ", ".join(f"{used.tool} ({used.outcome})" for used in result.tools) or "none",
            "tokens": result.usage.total,
            "cost_usd": "unknown" if result.cost is None else str(result.cost),
            **{f"prompt_{part}": version for part, version in result.prompts.items()},
            **({"notice": result.notice} if result.notice else {}),
        }
    )
    return result


def _spec(config: Config, context: NodeContext, given: Sequence[str]) -> AgentSpec:
    spec = config.spec or bundled_agent(config.agent or "")
    limits, left = config.limits or spec.limits, remaining(context)
    if left is not None and left < limits.seconds:
        limits = limits.model_copy(update={"seconds": max(left, 0.001)})
    allowed = spec.tools if config.tools is None else [name for name in spec.tools if name in config.tools]
    policy = spec.policy.model_copy(update={"approve": (*spec.policy.approve, *config.approve)})
    chosen = {"provider": config.provider, "model": config.model, "output": config.output}
    return spec.model_copy(
        update={
            **{name: value for name, value in chosen.items() if value is not None},
            "limits": limits,
            "policy": policy,
            "tools": (*allowed, *given),
        }
    )


def _tools(context: NodeContext) -> list[Tool]:
    """Those that agents name."""
    return [
        calculator(),
        http_tool(context.resource("web")),
        search_tool(lambda: SearchService(context.resource("embedder"), context.resource("chunks"))),
        related_concepts_tool(lambda: Neighbourhood(context.resource("graph"))),
    ]


def _given_tools(config: Config, context: NodeContext) -> list[Tool]:
    """Those that the node gives its agent. Raises NotFoundError, and UnavailableError for a set that is not there."""
    sets: ToolSets | None = context.resource("tool_sets") if config.tool_sets else None
    return [
        *(_function(name, context) for name in dict.fromkeys(config.functions)),
        *(_workflow(name, context) for name in dict.fromkeys(config.workflows)),
        *(
            tool
            for name in dict.fromkeys(config.tool_sets)
            if sets
            for tool in tools_of(sets, name, tenant=context.tenant)
        ),
    ]


def _workflow(name: str, context: NodeContext) -> Tool:
    """A published workflow. Its run is the same each time this one is executed again.

    What it spends counts on the agent, also when it fails; and so does what is spent by runs that agents in it have had run.
    """
    calls: WorkflowCalls = context.resource("workflows")
    ai: AiCalls = context.resource("ai")

    def start(arguments: Mapping[str, Any], use: ToolUse) -> Any:
        call = WorkflowCall(
            workflow=name,
            inputs=arguments,
            tenant=use.tenant,
            key=f"agent/{use.key}",
            cause=context.run_id,
            correlation_id=context.correlation_id,
            cancel=use.cancel,
        )
        try:
            answer = calls.call(call, seconds=WORKFLOW_TIMEOUT)
        except PlatformError as error:
            if (run_id := error.details.get("run_id")) is not None:
                count(str(run_id), use)
            raise
        count(answer.run_id, use)
        return answer.outputs

    def count(run_id: str, use: ToolUse) -> None:
        """What the run has spent, and the runs that agents in it have had run."""
        for one in calls.runs(run_id):
            for totals in ai.books.totals("run", tenant=use.tenant, run_id=one).values():
                use.spent.tokens += totals.input_tokens + totals.output_tokens
                use.spent.cost = None if totals.unpriced or use.spent.cost is None else use.spent.cost + totals.cost

    return workflow_tool(calls.find(name, tenant=context.tenant), start)


def _function(name: str, context: NodeContext) -> Tool:
    """A registered function. What it does is not known, so it counts as one with effects."""
    function = FUNCTIONS.get(name)

    def call(**given: Any) -> Any:
        arguments = function.arguments(given)
        if function.context is not None:
            arguments[function.context] = context
        return function.call(**arguments)

    return function_tool(
        name,
        call,
        description=(function.call.__doc__ or name).strip().splitlines()[0],
        parameters=function.model.model_json_schema(),
        effects=True,
    )


def _occasion(context: NodeContext) -> uuid.UUID:
    """The same for every try and every execution of the run, another for each pass of a loop and item of a map."""
    key = [context.tenant, context.root_run_id or context.run_id, context.node_id, dict(context.task.scope)]
    return uuid.uuid5(_OCCASIONS, orjson.dumps(key, option=orjson.OPT_SORT_KEYS).decode())
