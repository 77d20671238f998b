"""Call a tool of an MCP server."""

from typing import Any

from pydantic import Field

from assets.nodes.base import unavailable
from resources.workflows.node_type import NodeConfig, NodeType

_check, _run = unavailable("no MCP servers are set up on this platform; use `http` to call a service")


class Config(NodeConfig):
    """Which tool of which server, and what it is given."""

    server: str = Field(min_length=1, max_length=200, description="Name of the MCP server")
    tool: str = Field(min_length=1, max_length=200, description="Name of the tool")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Its arguments, with expressions")


mcp_tool = NodeType(
    name="mcp_tool",
    summary="Call a tool of an MCP server",
    config=Config,
    run=_run,
    output=None,
    effects=True,
    check=_check,
    examples=(
        {
            "id": "page",
            "type": "mcp_tool",
            "config": {"server": "notion", "tool": "get_page", "arguments": {"id": "7"}},
        },
    ),
)
