"""Tools of MCP servers as tool sets: a set is a server, by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resources.ai import bridge
from resources.ai.errand import current
from resources.errors import NotFoundError, UnavailableError
from resources.workflows.waiting import unless_cancelled

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from resources.agents.tools.port import ToolUse
    from resources.mcp.model import RemoteTool
    from resources.mcp.servers import McpServers


class McpToolSet:
    """The tools of one server."""

    def __init__(self, servers: McpServers, name: str, *, tenant: str) -> None:
        self._servers = servers
        self._name = name
        self._tenant = tenant

    def tools(self) -> Sequence[RemoteTool]:
        return self._servers.tools(self._name, tenant=self._tenant)

    def call(self, tool: str, arguments: Mapping[str, Any], use: ToolUse) -> Any:
        """Repeatable calls of one agent stay with one replica, where the server's strategy is affinity."""
        pool = self._servers.pool(self._name, tenant=self._tenant)
        work = unless_cancelled(pool.call(tool, arguments, affinity=f"{use.tenant}/{use.agent}"), use.cancel)
        try:
            return bridge.run(work).value
        finally:
            if (errand := current()) is not None:
                use.spent.tokens, use.spent.cost = errand.tokens, errand.cost


class McpToolSets:
    """The servers that a tenant may call. `servers` gives them when they are first asked for."""

    def __init__(self, servers: Callable[[], McpServers]) -> None:
        self._servers = servers

    def find(self, name: str, *, tenant: str) -> McpToolSet:
        """Raises UnavailableError (`tool_set_unavailable`) for a name that no server has."""
        servers = self._servers()
        try:
            servers.get(name, tenant=tenant)
        except NotFoundError as error:
            raise UnavailableError(
                f"There is no set of tools {name!r}: no MCP server has that name.",
                dependency=f"tools:{name}",
                code="tool_set_unavailable",
                retryable=False,
            ) from error
        return McpToolSet(servers, name, tenant=tenant)
