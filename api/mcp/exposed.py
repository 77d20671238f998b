"""Workflows as tools: one that says `expose: [mcp]` (or has the tag `mcp`) is a tool of the platform's server.

Its inputs are the arguments. What it says is part of the workflow, so publishing it is what exposes it, and another revision that
does not say so hides it again.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from mcp.types import CallToolResult, TextContent, Tool, ToolAnnotations

from api.mcp.runs import LONGEST, run
from api.mcp.tool import BoundTool, structured
from resources.errors import NotFoundError
from resources.workflows.schema import inputs_json_schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from api.mcp.call import Call
    from resources.tenants.model import Principal
    from resources.workflows.catalogue import Catalogue
    from resources.workflows.library import Entry
    from resources.workflows.spec import WorkflowSpec

TAG: Final = "mcp"
PREFIX: Final = "workflow_"
SCOPE: Final = "execute:workflows"


class WorkflowTools:
    """The exposed workflows of each tenant."""

    def __init__(self, workflows: Catalogue) -> None:
        self._workflows = workflows

    def list(self, principal: Principal) -> Sequence[BoundTool]:
        return [_tool(entry.spec) for entry in self._workflows.list(principal.tenant) if _is_exposed(entry)]

    def find(self, name: str, principal: Principal) -> BoundTool | None:
        if not name.startswith(PREFIX):
            return None
        try:
            entry = self._workflows.find(name.removeprefix(PREFIX), tenant=principal.tenant)
        except NotFoundError:
            return None
        return _tool(entry.spec) if _is_exposed(entry) else None


def _is_exposed(entry: Entry) -> bool:
    archived = entry.published is not None and entry.published.archived
    return not archived and (TAG in entry.spec.expose or TAG in entry.spec.tags)


def _tool(spec: WorkflowSpec) -> BoundTool:
    declaration = Tool(
        name=PREFIX + spec.name,
        title=spec.name.replace("_", " ").capitalize(),
        description=spec.description or f"Runs the workflow {spec.name}.",
        input_schema=inputs_json_schema(spec),
        annotations=ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=True),
    )
    return BoundTool(SCOPE, declaration, partial(_ran, spec.name))


async def _ran(workflow: str, call: Call, given: Mapping[str, Any]) -> CallToolResult:
    found = await run(call, workflow, dict(given), wait=LONGEST)
    if found.status == "failed":
        text = f"run_failed: the run {found.run_id} of {workflow!r} has failed: {found.error}"
        return CallToolResult(
            content=[TextContent(type="text", text=text)],
            is_error=True,
            _meta={"code": "run_failed", "retryable": False},
        )
    return structured(found.model_dump(mode="json"))
