"""Functions and workflows as tools: anything that can be called with named arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resources.agents.tools.port import TIMEOUT, Tool, ToolUse
from resources.ai.model import ToolSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from resources.workflows.spec import InputSpec, WorkflowSpec

WORKFLOW_TIMEOUT = 300.0
_ANY_TYPE = "any"


def function_tool(
    name: str,
    call: Callable[..., Any],
    *,
    description: str,
    parameters: Mapping[str, Any],
    **options: Any,
) -> Tool:
    """A function under the name; dots become underscores, as models allow none. `options` are those of Tool."""

    def run(arguments: Mapping[str, Any], use: ToolUse) -> Any:
        del use
        return call(**arguments)

    spec = ToolSpec(name=name.replace(".", "_"), description=description, parameters=dict(parameters))
    return Tool(spec, run, **{"service": "function", "timeout": TIMEOUT, **options})


def workflow_tool(workflow: WorkflowSpec, start: Callable[[Mapping[str, Any], ToolUse], Any], **options: Any) -> Tool:
    """A workflow. `start` runs it with the inputs and gives its outputs; the use's key tells a repeated start from a new one."""
    parameters = {
        "type": "object",
        "properties": {name: _schema(found) for name, found in workflow.inputs.items()},
        "required": [name for name, found in workflow.inputs.items() if found.required and not found.has_default],
        "additionalProperties": False,
    }
    spec = ToolSpec(name=workflow.name, description=workflow.description or workflow.name, parameters=parameters)
    return Tool(spec, start, **{"service": "workflow", "effects": True, "timeout": WORKFLOW_TIMEOUT, **options})


def _schema(found: InputSpec) -> dict[str, Any]:
    schema: dict[str, Any] = {} if found.type == _ANY_TYPE else {"type": found.type}
    if found.description:
        schema["description"] = found.description
    if found.enum is not None:
        schema["enum"] = list(found.enum)
    if found.pattern is not None:
        schema["pattern"] = f"^(?:{found.pattern})$"
    low, high = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems")}.get(
        found.type, ("minimum", "maximum")
    )
    for key, value in ((low, found.min), (high, found.max)):
        if value is not None:
            schema[key] = value if key in {"minimum", "maximum"} else int(value)
    if found.has_default:
        schema["default"] = found.default
    return schema
