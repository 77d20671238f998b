"""The JSON Schema of workflow files, with the config of each node type, so that editors complete and check them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resources.workflows.expressions import MARKERS
from resources.workflows.spec import NODE_ID, WorkflowSpec

if TYPE_CHECKING:
    from resources.workflows.node_type import NodeType, NodeTypes
    from resources.workflows.spec import InputSpec

_EXPRESSION = {"type": "string", "pattern": MARKERS.pattern}
_MARKED = {"$ref": "#/$defs/Expression"}


def json_schema(types: NodeTypes) -> dict[str, Any]:
    """JSON Schema (2020-12) of a workflow in YAML or JSON, made of these node types."""
    schema = WorkflowSpec.model_json_schema()
    definitions = schema["$defs"]
    node = definitions.pop("NodeSpec")
    definitions["Expression"] = _EXPRESSION
    fields = {
        name: field for name, field in node["properties"].items() if name not in {"id", "type", "config", "nodes"}
    }
    fields["nodes"] = {"$ref": "#/$defs/Nodes", "description": node["properties"]["nodes"].get("description", "")}
    fields["needs"] = {"anyOf": [fields["needs"], {"type": "string"}], "description": "What runs before"}
    names = []
    for known in types.values():
        name = f"Node_{known.name}"
        definitions[name] = _node(known, fields, definitions)
        names.append(name)
    discriminated = [{"$ref": f"#/$defs/{name}"} for name in names]
    definitions["Node"] = {"type": "object", "required": ["type"], "oneOf": discriminated}
    named = {"allOf": [{"$ref": "#/$defs/Node"}, {"required": ["id"]}]}
    definitions["Nodes"] = {
        "anyOf": [
            {
                "type": "object",
                "propertyNames": {"pattern": NODE_ID},
                "additionalProperties": {"$ref": "#/$defs/Node"},
            },
            {"type": "array", "items": named},
        ]
    }
    schema["properties"]["nodes"] = {"$ref": "#/$defs/Nodes"}
    duration = schema["properties"]["estimated_duration"]
    duration["anyOf"].append({"type": "number", "description": "Seconds"})
    asset_key = definitions["AssetSpec"]["properties"]["key"]
    definitions["AssetSpec"]["properties"]["key"] = {"anyOf": [asset_key, {"type": "string"}]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def inputs_json_schema(spec: WorkflowSpec) -> dict[str, Any]:
    """JSON Schema (2020-12) of what a run of the workflow is given."""
    required = [name for name, wanted in spec.inputs.items() if wanted.required and not wanted.has_default]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": spec.name,
        "description": spec.description,
        "type": "object",
        "properties": {name: _input(wanted) for name, wanted in spec.inputs.items()},
        "required": required,
        "additionalProperties": False,
    }


def _input(wanted: InputSpec) -> dict[str, Any]:
    limits = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems")}
    least, most = limits.get(wanted.type, ("minimum", "maximum"))
    given = {
        "type": None if wanted.type == "any" else wanted.type,
        "description": wanted.description or None,
        "default": wanted.default,
        "enum": None if wanted.enum is None else list(wanted.enum),
        "pattern": None if wanted.pattern is None else f"^(?:{wanted.pattern})$",
        least: wanted.min,
        most: wanted.max,
    }
    return {name: value for name, value in given.items() if value is not None}


def _node(known: NodeType, fields: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    config = known.config.model_json_schema()
    own = {f"{known.name}_{name}": schema for name, schema in config.pop("$defs", {}).items()}
    prefix = {f"#/$defs/{name.removeprefix(known.name + '_')}": f"#/$defs/{name}" for name in own}
    definitions.update({name: _open(_renamed(schema, prefix)) for name, schema in own.items()})
    body = _open(_renamed(config, prefix))
    required = ["type", *(["config"] if config.get("required") else [])]
    return {
        "type": "object",
        "description": known.summary,
        "properties": {
            "id": {"type": "string", "pattern": NODE_ID},
            "type": {"const": known.name},
            "config": body,
            **fields,
        },
        "required": required,
        "additionalProperties": False,
    }


def _renamed(schema: Any, names: dict[str, str]) -> Any:
    if isinstance(schema, dict):
        return {
            key: names.get(value, value) if key == "$ref" and isinstance(value, str)
            else {name: names.get(ref, ref) for name, ref in value.items()} if key == "mapping"
            else _renamed(value, names)
            for key, value in schema.items()
        }  # fmt: skip
    return [_renamed(item, names) for item in schema] if isinstance(schema, list) else schema


def _open(schema: Any) -> Any:
    """The schema of an object, in which an expression can stand for any field."""
    if not isinstance(schema, dict) or "properties" not in schema:
        return schema
    properties = {
        name: field if _is_text(field) or "const" in field else _or_expression(field)
        for name, field in schema["properties"].items()
    }
    return {**schema, "properties": properties}


def _or_expression(field: dict[str, Any]) -> dict[str, Any]:
    noted: dict[str, Any] = {name: field[name] for name in ("description", "title", "default") if name in field}
    plain = {name: value for name, value in field.items() if name not in noted}
    if "items" in plain and isinstance(plain["items"], dict) and not _is_text(plain["items"]):
        plain = {**plain, "items": {"anyOf": [plain["items"], _MARKED]}}
    return {**noted, "anyOf": [plain, _MARKED]}


def _is_text(field: dict[str, Any]) -> bool:
    return field.get("type") == "string" and not field.keys() & {"pattern", "enum", "format", "maxLength", "minLength"}
