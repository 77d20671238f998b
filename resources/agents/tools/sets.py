"""The port of tool sets: tools that live elsewhere and are asked for by the set's name, such as those of an MCP server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from resources.agents.tools.port import TIMEOUT, Tool, ToolUse
from resources.ai.model import ToolSpec
from resources.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAX_NAME: Final = 64


class ListedTool(Protocol):
    """A tool as its set lists it. `read_only`: it says of itself that it changes nothing. `pure`: who has configured the set says
    that it always gives the same for the same.
    """

    @property
    def name(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """JSON Schema of type object."""

    @property
    def read_only(self) -> bool: ...

    @property
    def pure(self) -> bool: ...


class ToolSet(Protocol):
    """The tools of one server. Blocking; safe to share between threads. Verbs raise UnavailableError and UpstreamError."""

    def tools(self) -> Sequence[ListedTool]: ...

    def call(self, tool: str, arguments: Mapping[str, Any], use: ToolUse) -> Any:
        """What the tool says: text, or what becomes JSON. Gives up when `use.cancel` is set."""


class ToolSets(Protocol):
    """The sets that a tenant may use."""

    def find(self, name: str, *, tenant: str) -> ToolSet:
        """Raises UnavailableError when there is no such set, or it cannot be reached."""


class NoToolSets:
    """There are none on this platform."""

    def find(self, name: str, *, tenant: str) -> ToolSet:
        del tenant
        raise UnavailableError(
            f"There is no set of tools {name!r}: no MCP servers are set up on this platform.",
            dependency=f"tools:{name}",
            code="tool_set_unavailable",
            retryable=False,
        )


def tools_of(sets: ToolSets, name: str, *, tenant: str) -> list[Tool]:
    """The tools of a set, each as `<set>_<tool>`. Their words are those of others, and they count as having effects, unless they
    say that they only read.
    """
    found = sets.find(name, tenant=tenant)
    return [_tool(found, name, listed) for listed in found.tools()]


def _tool(found: ToolSet, name: str, listed: ListedTool) -> Tool:
    def run(arguments: Mapping[str, Any], use: ToolUse) -> Any:
        return found.call(listed.name, arguments, use)

    known_as = f"{name}_{listed.name}".replace(".", "_").replace("/", "_")[:_MAX_NAME]
    spec = ToolSpec(name=known_as, description=listed.description, parameters=dict(listed.parameters))
    return Tool(spec, run, pure=listed.pure, effects=not listed.read_only, timeout=TIMEOUT, service=f"tools/{name}")
