"""Calls of tools of MCP servers, looked at before a workflow is published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from resources.errors import NotFoundError
from resources.mcp.model import RemoteTool
from resources.workflows.remote_tools import problems_of_tools
from resources.workflows.spec import NodeSpec, WorkflowSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

CLOCK = RemoteTool(
    name="convert",
    description="",
    parameters={
        "type": "object",
        "properties": {"time": {"type": "string"}, "hours": {"type": "integer", "maximum": 24}},
        "required": ["time"],
        "additionalProperties": False,
    },
)


class Known:
    """One server that was asked, and one that was not."""

    def listed(self, name: str, *, tenant: str) -> Sequence[RemoteTool] | None:
        if name not in self.names(tenant=tenant):
            raise NotFoundError(f"There is no MCP server {name!r}.")
        return [CLOCK] if name == "clock" else None

    def names(self, *, tenant: str) -> Sequence[str]:
        assert tenant == "t"
        return ("clock", "silent")


def problems(**config: Any) -> list[tuple[str, str | None]]:
    call = NodeSpec.model_validate({"id": "call", "type": "mcp_tool", "config": config})
    each = NodeSpec.model_validate({"id": "each", "type": "map", "config": {}, "nodes": (call,)})
    spec = WorkflowSpec.model_validate({"name": "w", "version": "1.0", "nodes": (each,)})
    return [(found.path, found.code) for found in problems_of_tools(spec, Known(), tenant="t")]


AT = "nodes.each.nodes.call.config"


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"server": "clock", "tool": "convert", "arguments": {"time": "14:30", "hours": 3}}, []),
        (
            {"server": "clock", "tool": "convert", "arguments": {"time": "{{ inputs.a }}", "hours": "{{ inputs.b }}"}},
            [],
        ),
        ({"server": "{{ inputs.server }}", "tool": "any"}, []),
        ({"server": "silent", "tool": "any", "arguments": {"x": 1}}, []),
        ({"server": "clock", "tool": "{{ inputs.tool }}"}, []),
        ({"server": "clok", "tool": "convert"}, [(f"{AT}.server", "mcp_server_not_found")]),
        ({"server": "clock", "tool": "konvert"}, [(f"{AT}.tool", "mcp_tool_not_found")]),
        ({"server": "clock", "tool": "convert"}, [(f"{AT}.arguments", "mcp_arguments_invalid")]),
        (
            {"server": "clock", "tool": "convert", "arguments": {"hours": 25, "zone": "{{ inputs.zone }}"}},
            [(f"{AT}.arguments", "mcp_arguments_invalid")] * 3,
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(config: dict[str, Any], found: list[tuple[str, str]]) -> None:
    assert problems(**config) == found


def test_a_server_that_there_is_not_is_told_with_those_that_there_are() -> None:
    spec = WorkflowSpec.model_validate(
        {"name": "w", "version": "1.0", "nodes": ({"id": "a", "type": "mcp_tool", "config": {"server": "clok"}},)}
    )
    (problem,) = problems_of_tools(spec, Known(), tenant="t")
    assert problem.hint == "there are: clock"
