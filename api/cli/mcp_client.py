"""`aiw mcp servers`, `tools`, `call` and `check`: the servers that the platform calls."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import orjson
import typer

from api.cli.output import AsJson, print_json, show, table
from api.cli.session import session_of
from resources.errors import InvalidInputError

Name = Annotated[str, typer.Argument(help="Name of the server, as `aiw mcp servers` lists it.")]


def servers(context: typer.Context, as_json: AsJson = False) -> None:
    """List the servers that workflows and agents may call."""
    with session_of(context).client() as client:
        found = client.mcp_servers()
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one["name"],
            one["origin"],
            one["transport"],
            ", ".join(one["urls"]),
            one["strategy"],
            "enabled" if one["enabled"] else "disabled",
        )
        for one in found
    ]
    show(table(["name", "from", "transport", "where", "strategy", "state"], rows))


def tools(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """List the tools of a server, as it lists them now."""
    with session_of(context).client() as client:
        found = client.mcp_server_tools(name)
    if as_json:
        print_json(found)
        return
    rows = [(one["name"], "reads" if one["read_only"] else "", one["description"].split("\n")[0]) for one in found]
    show(table(["tool", "only", "description"], rows))


def call(
    context: typer.Context,
    name: Name,
    tool: Annotated[str, typer.Argument(help="Name of the tool.")],
    arguments: Annotated[str, typer.Argument(help="Its arguments: a JSON object, or @FILE.")] = "{}",
    as_json: AsJson = False,
) -> None:
    """Call a tool of a server."""
    with session_of(context).client() as client:
        found = client.call_mcp_tool(name, tool, _object(arguments))
    if as_json:
        print_json(found)
        return
    show(found["text"] or orjson.dumps(found["structured"]).decode())


def check(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Connect to a server, list its tools, and tell how its connections are."""
    with session_of(context).client() as client:
        found = client.check_mcp_server(name)
    if as_json:
        print_json(found)
        return
    show(f"{name} answers: {found['tools']} tools in {found['milliseconds']:.0f} ms.")
    rows = [
        (one["replica"], one["status"], one["protocol"], one["breaker"], one["problem"]) for one in found["connections"]
    ]
    show(table(["replica", "status", "protocol", "breaker", "problem"], rows))


def _object(text: str) -> dict[str, object]:
    try:
        found = orjson.loads(Path(text[1:]).read_bytes() if text.startswith("@") else text)
    except (OSError, orjson.JSONDecodeError) as error:
        raise InvalidInputError(f"The arguments are no JSON: {error}", code="arguments_invalid") from error
    if not isinstance(found, dict):
        raise InvalidInputError("The arguments are a JSON object.", code="arguments_invalid")
    return found
