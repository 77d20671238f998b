"""Stored events, delivered once more."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from api.cli.follow import follow
from api.cli.output import FAILED, AsJson, Commands, print_json, show, table
from api.cli.session import session_of

app = typer.Typer(cls=Commands, help="Deliver stored events once more.", no_args_is_help=True)

Id = Annotated[UUID, typer.Argument(help="The replay's id.")]


@app.command("start")
def start(
    context: typer.Context,
    targets: Annotated[list[str], typer.Option("--to", help="projection:NAME or subscription:NAME; may be repeated.")],
    after: Annotated[int, typer.Option(min=0, help="Only events with a position above this one.")] = 0,
    up_to: Annotated[int | None, typer.Option(min=0, help="Only events up to this position.")] = None,
    types: Annotated[
        list[str] | None, typer.Option("--type", help="Only this type or pattern; may be repeated.")
    ] = None,
    stream: Annotated[str | None, typer.Option(help="Only this stream, TYPE/ID.")] = None,
    correlation_id: Annotated[str | None, typer.Option(help="Only events of this story.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.001, help="Events a second at most. [default: no limit]")] = None,
    effects: Annotated[
        bool, typer.Option("--effects", help="Also to targets that act on the world: subscriptions.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and do nothing.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait for its end.")] = True,
    as_json: AsJson = False,
) -> None:
    """Start a replay. It goes on if this command is stopped. Ends with 1 if the replay did not succeed."""
    from pydantic import ValidationError

    from api.problems import validation_error
    from api.schemas import ReplayIn

    try:
        request = ReplayIn(
            targets=targets,
            after=after,
            up_to=up_to,
            types=types or None,
            stream=stream,
            correlation_id=correlation_id,
            rate=rate,
            effects=effects,
        )
    except ValidationError as error:
        raise validation_error(error.errors()) from error
    with session_of(context).client() as client:
        if dry_run:
            plan = client.plan_replay(request)
            if as_json:
                print_json(plan)
            else:
                title = f"{plan.events} events would go to {', '.join(plan.targets) or 'nobody'}"
                title += f"; not to {', '.join(plan.left_out)} without --effects" if plan.left_out else ""
                show(table(["type", "events"], plan.by_type.items(), title=title))
            return
        replay = client.start_replay(request)
        if wait:
            replay = follow(client, replay, what="replaying")
    if as_json:
        print_json(replay)
    else:
        show(
            f"replay {replay.id}: {replay.state}, {replay.events} events"
            + (f": {replay.error}" if replay.error else "")
        )
    if replay.state not in {"running", "completed"}:
        raise typer.Exit(FAILED)


@app.command("list")
def list_replays(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Replays to show at most.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List replays, newest first."""
    with session_of(context).client() as client:
        page = client.replays(limit=limit)
    if as_json:
        print_json(page)
        return
    rows = [
        (one.id, one.state, f"{one.share:.0%}", one.events, ", ".join(one.targets), one.error) for one in page.replays
    ]
    show(table(["id", "state", "done", "events", "targets", "error"], rows))


@app.command("show")
def show_replay(context: typer.Context, replay_id: Id, as_json: AsJson = False) -> None:
    """Show how far a replay is."""
    with session_of(context).client() as client:
        found = client.replay(replay_id)
    if as_json:
        print_json(found)
    else:
        show(table(["field", "value"], found.model_dump(mode="json").items()))


@app.command("cancel")
def cancel(context: typer.Context, replay_id: Id, as_json: AsJson = False) -> None:
    """End a replay after the batch at hand."""
    with session_of(context).client() as client:
        found = client.cancel_replay(replay_id)
    if as_json:
        print_json(found)
    else:
        show(f"replay {found.id}: {found.state}")
