"""`aiw nodes`: what workflows are made of. Works without a running platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.output import AsJson, Commands, print_json, show, table

if TYPE_CHECKING:
    from resources.workflows.node_type import NodeType

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Types of nodes: what workflows are made of.")


@app.command("list")
def list_nodes(as_json: AsJson = False) -> None:
    """List the types of nodes."""
    from assets.nodes import NODES

    if as_json:
        print_json([{"name": one.name, "kind": one.kind, "summary": one.summary} for one in NODES.values()])
        return
    show(table(["type", "kind", "what it does"], [(one.name, one.kind, one.summary) for one in NODES.values()]))


@app.command("show")
def show_node(name: Annotated[str, typer.Argument(help="The type.")], as_json: AsJson = False) -> None:
    """Show the fields of a type's config and output, and examples."""
    import yaml

    from assets.nodes import NODES

    found = NODES[name]
    if as_json:
        print_json(_whole(found))
        return
    show(f"{found.name}: {found.summary}\n")
    show(_fields("config", found.config.model_json_schema()))
    output = found.output_schema()
    if output is not None:
        show("", _fields("output", dict(output)))
    for example in found.examples:
        shown = {example.get("id", "node"): {key: value for key, value in example.items() if key != "id"}}
        show("", yaml.safe_dump({"nodes": shown}, sort_keys=False, width=110).rstrip())


def _whole(found: NodeType) -> dict[str, Any]:
    output = found.output_schema()
    return {
        "name": found.name,
        "kind": found.kind,
        "summary": found.summary,
        "effects": found.effects,
        "resources": sorted(found.resources),
        "config": found.config.model_json_schema(),
        "output": None if output is None else dict(output),
        "examples": [dict(example) for example in found.examples],
    }


def _fields(title: str, schema: dict[str, Any]) -> Any:
    required = set(schema.get("required", ()))
    rows = [
        (name, _type(field), "yes" if name in required else "", field.get("default"), field.get("description"))
        for name, field in schema.get("properties", {}).items()
    ]
    return table([title, "type", "required", "default", "description"], rows)


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " | ".join(map(str, field["enum"]))
    if "anyOf" in field:
        return " | ".join(dict.fromkeys(_type(one) for one in field["anyOf"]))
    return str(field.get("type") or field.get("$ref", "any").rpartition("/")[2])
