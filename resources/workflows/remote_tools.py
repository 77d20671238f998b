"""Whether the tools of MCP servers that a workflow calls are there, and take what it gives them: before it is published.

A server has to be known. What its tools take is looked at where it is known already, as the server has listed them of late:
nobody is connected to for it. An argument that holds an expression is known when the node runs, and is looked at then.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, Final, Protocol

from resources.errors import NotFoundError, Problem
from resources.mcp.arguments import problems_without
from resources.workflows.expressions import has_markers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from resources.mcp.model import RemoteTool
    from resources.workflows.spec import NodeSpec, WorkflowSpec

_TYPE: Final = "mcp_tool"
_CONFIGURE: Final = "add it with PUT /api/v1/mcp-servers/NAME, or in the operator's file (AIW_MCP__CONFIG)"


class KnownTools(Protocol):
    """What is known of servers."""

    def listed(self, name: str, *, tenant: str) -> Sequence[RemoteTool] | None:
        """The server's tools; None = it has not been asked. Raises NotFoundError for a server that there is not."""

    def names(self, *, tenant: str) -> Iterable[str]:
        """Those of all servers."""


def problems_of_tools(spec: WorkflowSpec, known: KnownTools, *, tenant: str) -> Iterator[Problem]:
    """All that is wrong."""
    for path, node in _nodes(spec.nodes, "nodes"):
        server, tool = node.config.get("server"), node.config.get("tool")
        if node.type != _TYPE or not isinstance(server, str) or has_markers(server):
            continue
        try:
            tools = known.listed(server, tenant=tenant)
        except NotFoundError:
            hint = _near(server, known.names(tenant=tenant)) or _CONFIGURE
            yield Problem(f"{path}.config.server", f"there is no MCP server {server!r}", hint, "mcp_server_not_found")
            continue
        if tools is not None and isinstance(tool, str) and not has_markers(tool):
            yield from _of_call(f"{path}.config", server, tool, tools, node.config.get("arguments", {}))


def _of_call(
    path: str, server: str, tool: str, tools: Sequence[RemoteTool], arguments: Mapping[str, Any]
) -> Iterator[Problem]:
    found = next((one for one in tools if one.name == tool), None)
    if found is None:
        hint = _near(tool, [one.name for one in tools])
        yield Problem(f"{path}.tool", f"the MCP server {server!r} has no tool {tool!r}", hint, "mcp_tool_not_found")
    elif isinstance(arguments, dict):
        for problem in problems_without(found, arguments, _is_open):
            yield Problem(f"{path}.arguments", problem, code="mcp_arguments_invalid")


def _nodes(nodes: Sequence[NodeSpec], path: str) -> Iterator[tuple[str, NodeSpec]]:
    waiting = [(path, nodes)]
    while waiting:
        above, level = waiting.pop()
        for node in level:
            here = f"{above}.{node.id}"
            yield here, node
            waiting.append((f"{here}.nodes", node.nodes))


def _is_open(value: Any) -> bool:
    """Whether an expression stands anywhere in it."""
    if isinstance(value, dict):
        return any(map(_is_open, value.values()))
    if isinstance(value, list):
        return any(map(_is_open, value))
    return isinstance(value, str) and has_markers(value)


def _near(name: str, known: Iterable[str]) -> str | None:
    names = sorted(known)
    found = difflib.get_close_matches(name, names, n=3) or names[:10]
    return f"there are: {', '.join(found)}" if found else None
