"""Tool sets of agents as a Dagster resource: ops ask for `dg.ResourceParam[ToolSets]`."""

from collections.abc import Callable

import dagster as dg

from resources.agents.tools.mcp import McpToolSets
from resources.mcp.servers import McpServers


def tool_sets_resource(of: Callable[[str], McpServers]) -> dg.ResourceDefinition:
    """The tools of MCP servers; `of` gives the servers of the database at an address."""

    @dg.resource(config_schema={"url": dg.StringSource}, description="Tools of MCP servers, for agents")
    def tool_sets(context: dg.InitResourceContext) -> McpToolSets:
        url: str = context.resource_config["url"]
        return McpToolSets(lambda: of(url))

    return tool_sets.configured({"url": {"env": "AIW_DATABASE__URL"}})
