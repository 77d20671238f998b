"""Call a tool of an MCP server."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import orjson
from pydantic import BaseModel, Field

from assets.nodes.base import Text, is_expression, node, refuse, remaining
from resources.ai import bridge
from resources.ai.call import CallOptions
from resources.ai.model import CallContext
from resources.errors import Problem
from resources.mcp.arguments import problems_of
from resources.mcp.model import NAME
from resources.workflows.node_type import NodeConfig, NodeContext
from resources.workflows.spec import NodeSpec
from resources.workflows.waiting import unless_cancelled

if TYPE_CHECKING:
    from resources.ai.memo.model import MemoMode
    from resources.mcp.servers import McpServers


class Config(NodeConfig):
    """Which tool of which server, and what it is given."""

    server: Text = Field(min_length=1, max_length=200, description="Name of the MCP server")
    tool: Text = Field(min_length=1, max_length=200, description="Name of the tool")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Its arguments, with expressions")
    timeout: float = Field(default=30.0, gt=0, le=3600, description="Seconds for the call")


class Output(BaseModel):
    """What the tool said."""

    text: str = Field(description="The text parts of its answer, line by line")
    structured: Any = Field(description="Its structured result; null when it gives none")
    content: list[dict[str, Any]] = Field(description="All parts of its answer, as the protocol has them")


def _check(spec: NodeSpec) -> Sequence[Problem]:
    server = spec.config.get("server")
    if isinstance(server, str) and not is_expression(server) and not re.fullmatch(NAME, server):
        hint = "lower case letters, digits, - and _, such as those of `aiw mcp servers`"
        return (Problem("config.server", f"{server!r} is no name of an MCP server", hint),)
    return ()


@node(
    "mcp_tool",
    output=Output,
    summary="Call a tool of an MCP server",
    resources={"mcp", "ai"},
    effects=True,
    check=_check,
    examples=[
        {
            "id": "page",
            "type": "mcp_tool",
            "config": {"server": "notion", "tool": "get_page", "arguments": {"id": "7"}},
        },
    ],
)
def mcp_tool(config: Config, context: NodeContext) -> Output:
    """Raises NotFoundError for a server or tool that there is not, InvalidInputError for arguments that the tool's schema does
    not allow, and what the call raises (`McpServers.call`). The tool is looked at before it is called: nothing is sent in vain.
    """
    servers: McpServers = context.resource("mcp")
    left = remaining(context)
    timeout = config.timeout if left is None else min(config.timeout, left)
    pool = servers.pool(config.server, tenant=context.tenant)
    tool = bridge.run(unless_cancelled(pool.tool(config.tool), context.cancel))
    if problems := problems_of(tool, config.arguments):
        raise refuse(
            f"{config.tool!r} of {config.server!r} cannot be called so: {'; '.join(problems)}.",
            *(Problem("config.arguments", one) for one in problems),
            code="mcp_arguments_invalid",
        )
    caller = CallContext(
        tenant=context.tenant,
        workflow=context.workflow,
        run_id=context.run_id,
        node_id=context.node_id,
        correlation_id=context.correlation_id,
    )
    options = CallOptions(memo=cast("MemoMode", context.memo), timeout=timeout)
    work = servers.call(
        context.resource("ai"), config.server, config.tool, config.arguments, context=caller, options=options
    )
    result = bridge.run(unless_cancelled(work, context.cancel))
    context.report({"server": config.server, "tool": config.tool, "memo": result.memo})
    return Output.model_validate(orjson.loads(result.text))
