"""`aiw paths`: learning paths that are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.output import AsJson, Commands, print_json, remark, show, table
from api.cli.session import session_of

if TYPE_CHECKING:
    from resources.knowledge.model import SavedPath

app = typer.Typer(
    cls=Commands, no_args_is_help=True, help="Learning paths that are kept; `aiw path TARGET --keep NAME` keeps one."
)

PathId = Annotated[str, typer.Argument(help="Id of the path, as the list tells it.")]


@app.command("list")
def list_paths(
    context: typer.Context,
    over: Annotated[str | None, typer.Option(help="Only those that lead over this concept.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the paths of users, and those of the platform to its most demanding concepts."""
    with session_of(context).client() as client:
        found = client.kept_paths(over=over)
    if as_json:
        print_json(found)
        return
    if not found:
        remark("no path is kept.")
        return
    rows = [(one.id, one.name, one.target, len(one.concepts), one.minutes, one.creator) for one in found]
    show(table(["id", "name", "target", "steps", "minutes", "by"], rows))


@app.command("show")
def show_path(context: typer.Context, path_id: PathId, as_json: AsJson = False) -> None:
    """Show a kept path: its steps as they were planned."""
    with session_of(context).client() as client:
        show_kept(client.kept_path(path_id), as_json)


@app.command("remove")
def remove(context: typer.Context, path_id: PathId) -> None:
    """Keep a path of your own no longer."""
    with session_of(context).client() as client:
        client.drop_path(path_id)
    remark(f"no longer kept: {path_id}")


@app.command("next")
def recommend(
    context: typer.Context,
    user: Annotated[str, typer.Option(help="Another user, by name or id, for who manages users.")] = "me",
    limit: Annotated[int, typer.Option(min=1, max=100, help="Rows to show at most.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Recommend what to learn next: what needs nothing that is not known, nearest to what is begun and completed."""
    with session_of(context).client() as client:
        found = client.recommendations(user, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [(one.concept.name, one.reason, ", ".join(one.unlocks) or None) for one in found]
    show(table(["concept", "why", "opens the way to"], rows))


def show_kept(path: SavedPath, as_json: bool) -> None:
    """A kept path, for people or for programs."""
    if as_json:
        print_json(path)
        return
    steps = zip(path.concepts, path.difficulties, strict=False)
    rows = [
        (step.order, step.concept, difficulty, "yes" if step.optional else None, ", ".join(step.alternatives) or None)
        for step, difficulty in steps
    ]
    show(table(["step", "concept", "difficulty", "optional", "or"], rows))
    remark(f"{path.id}: {path.name}, {path.minutes} minutes, by {path.creator}")
