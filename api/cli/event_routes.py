"""Routing rules: which event starts a workflow, goes to a subscription, or is published to a topic."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.output import AsJson, Commands, print_json, show, table
from api.cli.session import session_of
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from api.schemas import RouteOut

app = typer.Typer(
    cls=Commands,
    help="See and change the rules that send events on; try them with --dry-run.",
    invoke_without_command=True,
)

Name = Annotated[str, typer.Argument(help="Name of the rule.")]
RuleFile = Annotated[
    Path,
    typer.Argument(
        help="JSON with types, action and, if wanted, stream_types, conditions, enabled; - = standard input."
    ),
]


@app.callback()
def route(
    context: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Hold stored events against the rules, and tell what would be done.")
    ] = False,
    rule: Annotated[Path | None, typer.Option(help="With --dry-run: try the rule of this file instead.")] = None,
    name: Annotated[str | None, typer.Option(help="With --dry-run: this rule alone, also if it is disabled.")] = None,
    after: Annotated[int, typer.Option(min=0, help="With --dry-run: only events above this position.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="With --dry-run: events to look at, at most.")] = 100,
    every: Annotated[
        bool, typer.Option("--all", help="With --dry-run: also what does not match, and why not.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """See and change the rules that send events on; without a command, list them."""
    if context.invoked_subcommand is not None:
        return
    if not dry_run:
        _list(context, as_json=as_json)
        return
    request: dict[str, Any] = {"after": after, "limit": limit}
    if rule is not None:
        request["rule"] = _read(rule)
    if name is not None:
        request["names"] = [name]
    with session_of(context).client() as client:
        found = client.try_routes(request)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            one.position,
            one.type,
            one.stream,
            one.rule,
            json.dumps(one.action.model_dump()) if one.action else one.reason,
        )
        for one in found.routed
        if one.matched or every
    ]
    title = f"{found.matched} matches in {found.events} events; nothing was done"
    show(
        table(
            ["position", "type", "stream", "rule", "would do" if not every else "would do, or why not"],
            rows,
            title=title,
        )
    )


@app.command("list")
def list_routes(context: typer.Context, as_json: AsJson = False) -> None:
    """List the rules, with how many events wait to be held against them."""
    _list(context, as_json=as_json)


@app.command("set")
def save(context: typer.Context, name: Name, file: RuleFile, as_json: AsJson = False) -> None:
    """Store a rule, or a new version of one. It acts on events that are recorded from now on."""
    with session_of(context).client() as client:
        stored = client.save_route(name, _read(file))
    if as_json:
        print_json(stored)
    else:
        show(f"{stored.name}: version {stored.version}, {'enabled' if stored.enabled else 'disabled'}")


@app.command("versions")
def versions(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Show all versions of a rule, newest first."""
    with session_of(context).client() as client:
        found = client.route_versions(name)
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
    else:
        show(_table(found))


@app.command("disable")
def disable(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Disable a rule. Its versions stay, and it can be set again."""
    with session_of(context).client() as client:
        stored = client.disable_route(name)
    if as_json:
        print_json(stored)
    else:
        show(f"{stored.name}: version {stored.version}, disabled")


def _list(context: typer.Context, *, as_json: bool) -> None:
    with session_of(context).client() as client:
        found = client.routes()
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
    else:
        show(_table(found))


def _table(found: list[RouteOut]) -> Any:
    rows = [
        (
            one.name,
            one.version,
            "enabled" if one.enabled else "disabled",
            ", ".join(one.types),
            json.dumps(one.action.model_dump()),
            None if one.lag is None else f"{one.lag.events} ({one.lag.seconds:.1f} s)",
        )
        for one in found
    ]
    return table(["name", "version", "state", "types", "action", "events waiting"], rows)


def _read(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(sys.stdin.read() if str(file) == "-" else file.read_text())
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"{str(file)!r} holds no rule: {error}.", code="malformed_json") from error
    if not isinstance(value, dict):
        raise InvalidInputError(f"{str(file)!r} holds no JSON object.", code="malformed_json")
    return value
