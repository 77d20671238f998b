"""The Launchpad of a workflow: the run config that Dagster shows, completes and checks before a run exists."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from resources.errors import InvalidInputError
from resources.workflows.inputs import check_inputs
from resources.workflows.spec import InputSpec, WorkflowSpec


def launchpad(spec: WorkflowSpec) -> dg.ConfigMapping:
    """The run config of the job: `inputs`, typed as the workflow says. What types cannot say is checked as well, at launch."""

    def check(config: Mapping[str, Any]) -> dict[str, Any]:
        try:
            check_inputs(spec, config.get("inputs") or {})
        except InvalidInputError as error:
            # Of errors that are not its own, Dagster shows in the UI only that there was one.
            raise dg.DagsterInvariantViolationError(error.message) from error
        return {}

    fields = {name: _field(spec, name, found) for name, found in spec.inputs.items()}
    required = any(field.is_required for field in fields.values())
    description = spec.description or None
    return dg.ConfigMapping(
        config_fn=check,
        config_schema={"inputs": dg.Field(fields, is_required=required, description=description)},
    )


def _field(spec: WorkflowSpec, name: str, found: InputSpec) -> dg.Field:
    kind: Any
    if found.enum and all(isinstance(value, str) for value in found.enum):
        kind = dg.Enum(f"{spec.name}_{name}", [dg.EnumValue(value, python_value=value) for value in found.enum])
    else:
        kind = {
            "string": str,
            "integer": int,
            "number": float,
            "boolean": bool,
            "object": dict,
            "array": dg.Array(dg.Any),
            "any": dg.Any,
        }[found.type]
    limits = {"min": found.min, "max": found.max, "pattern": found.pattern}
    told = ", ".join(
        f"{limit}: {value:g}" if isinstance(value, float) else f"{limit}: {value}"
        for limit, value in limits.items()
        if value is not None
    )
    if found.enum:
        told = ", ".join(filter(None, [told, f"one of {list(found.enum)}"]))
    description = " ".join(filter(None, [found.description, f"({told})" if told else ""])) or None
    if found.has_default and found.default is not None:
        return dg.Field(kind, default_value=found.default, description=description)
    if found.required and not found.has_default:
        return dg.Field(kind, is_required=True, description=description)
    return dg.Field(kind if kind is dg.Any else dg.Noneable(kind), is_required=False, description=description)
