"""Read models: where they stand, what is in them, and building them anew."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.follow import follow
from api.cli.output import FAILED, AsJson, Commands, print_json, remark, show, table
from api.cli.session import session_of

app = typer.Typer(cls=Commands, help="See the read models, and build them anew.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the projection.")]


@app.command("list")
def list_projections(context: typer.Context, as_json: AsJson = False) -> None:
    """List the read models, with their lag."""
    with session_of(context).client() as client:
        found = client.projections()
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    rows = [
        (one.name, one.state, one.position, one.events, one.lag.events, f"{one.lag.seconds:.1f}", one.error)
        for one in found
    ]
    show(table(["name", "state", "position", "events", "behind", "seconds", "error"], rows))


@app.command("rows")
def rows(
    context: typer.Context,
    name: Name,
    prefix: Annotated[str, typer.Option(help="Only keys that begin so.")] = "",
    after: Annotated[str, typer.Option(help="Only keys after this one.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Rows to show at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show the rows of a read model, in order of key."""
    import orjson

    with session_of(context).client() as client:
        page = client.projection_rows(name, prefix=prefix, after=after, limit=limit)
    if as_json:
        print_json(page)
        return
    show(table(["key", "row"], [(row.key, orjson.dumps(row.data).decode()) for row in page.rows]))
    if page.next_after is not None:
        remark(f"there are more: --after {page.next_after}")


@app.command("rebuild")
def rebuild(
    context: typer.Context,
    name: Name,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Events a second at most. [default: no limit]")] = None,
    wait: Annotated[bool, typer.Option(help="Wait for its end.")] = True,
    as_json: AsJson = False,
) -> None:
    """Build a read model anew from the first event on, beside the rows in use. Ends with 1 if that did not succeed."""
    with session_of(context).client() as client:
        replay = client.rebuild_projection(name, rate=rate)
        if wait:
            replay = follow(client, replay, what=f"building {name}")
    if as_json:
        print_json(replay)
    else:
        show(
            f"{name}: {replay.state}, {replay.events} events (replay {replay.id})"
            + (f": {replay.error}" if replay.error else "")
        )
    if replay.state not in {"running", "completed"}:
        raise typer.Exit(FAILED)


@app.command("cancel")
def cancel(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Stop building a read model anew, whoever does. The rows in use stay."""
    with session_of(context).client() as client:
        found = client.cancel_rebuild(name)
    if as_json:
        print_json(found)
    else:
        show(f"{name}: {found.state}")
