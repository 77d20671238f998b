"""`aiw backfill`: start a workflow for what was before."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from api.cli.output import FAILED, AsJson, Commands, print_json, progress_console, remark, show, table
from api.cli.session import session_of
from api.cli.workflow import pairs

if TYPE_CHECKING:
    from api.client import ApiClient
    from api.workflows.backfills import BackfillOut

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Start workflows for past events, or for partitions.")

LOOK_SECONDS = 0.5

Id = Annotated[UUID, typer.Argument(help="The backfill's id.")]


@app.command("start")
def start(
    context: typer.Context,
    workflow: Annotated[str, typer.Argument(help="The workflow, or a job that is divided into partitions.")],
    events: Annotated[
        list[str] | None, typer.Option("--events", help="A type of events, or a pattern; may be repeated.")
    ] = None,
    after: Annotated[int, typer.Option(min=0, help="Only events with a position above this one.")] = 0,
    up_to: Annotated[int | None, typer.Option(min=0, help="Only events up to this position.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Only events recorded then or later (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="Only events recorded before then (UTC).")] = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", help="name=value, with expressions over `event`. [default: as the trigger says]"),
    ] = None,
    partitions: Annotated[list[str] | None, typer.Option("--partitions", help="A partition; may be repeated.")] = None,
    rate: Annotated[float, typer.Option(min=0.01, max=1000, help="Runs to start a second.")] = 5.0,
    again: Annotated[bool, typer.Option("--again", help="Also what the same events have started before.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell which runs would be started, and start none.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it until all are started.")] = True,
    as_json: AsJson = False,
) -> None:
    """Start a backfill. It goes on if this command is stopped. Ends with 1 if a run could not be started."""
    from datetime import UTC

    request = {
        "workflow": workflow,
        "events": events or [],
        "after": after,
        "up_to": up_to,
        "since": None if since is None else since.replace(tzinfo=UTC).isoformat(),
        "until": None if until is None else until.replace(tzinfo=UTC).isoformat(),
        "inputs": pairs(given),
        "partitions": partitions or [],
        "rate": rate,
        "again": again,
    }
    with session_of(context).client() as client:
        if dry_run:
            plan = client.plan_backfill(request)
            if as_json:
                print_json(plan)
                return
            title = f"{plan.to_start} runs would be started in {plan.seconds:.0f} s; {plan.existing} exist already"
            rows = [(run.reason, run.inputs or run.partition, run.run_id or "new") for run in plan.runs]
            show(table(["for", "with", "run"], rows, title=title))
            cost = client.usage_estimate(plan.to_start, workflow=workflow) if plan.to_start else None
            remark("nothing of the like was paid for yet" if cost is None else cost["text"])
            return
        made = client.start_backfill(request)
        if wait:
            made = _followed(client, made)
    _tell(made, as_json=as_json)
    if made.state == "cancelled" or made.failed:
        raise typer.Exit(FAILED)


@app.command("list")
def list_backfills(context: typer.Context, as_json: AsJson = False) -> None:
    """List backfills, the newest first."""
    with session_of(context).client() as client:
        found = client.backfills()
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    rows = [
        (one.id, one.workflow, one.state, f"{one.started}/{one.total}", one.failed, one.created_at) for one in found
    ]
    show(table(["id", "workflow", "state", "started", "failed", "created"], rows))


@app.command("show")
def show_backfill(context: typer.Context, backfill_id: Id, as_json: AsJson = False) -> None:
    """Show how far a backfill is, and its runs."""
    with session_of(context).client() as client:
        found, runs = client.backfill(backfill_id), client.backfill_runs(backfill_id)
    if as_json:
        print_json(found.model_dump(mode="json") | {"runs": [run.model_dump(mode="json") for run in runs]})
        return
    _tell(found, as_json=False)
    show(table(["for", "run", "error"], [(run.reason, run.run_id, run.error) for run in runs]))


@app.command("cancel")
def cancel(context: typer.Context, backfill_id: Id, as_json: AsJson = False) -> None:
    """Start nothing more. What was started goes on."""
    with session_of(context).client() as client:
        _tell(client.cancel_backfill(backfill_id), as_json=as_json)


def _followed(client: ApiClient, made: BackfillOut) -> BackfillOut:
    from rich.progress import Progress

    with Progress(console=progress_console(), transient=True) as progress:
        bar = progress.add_task("starting", total=made.total or 1)
        while made.state == "running":
            progress.update(bar, completed=made.started + made.failed)
            time.sleep(LOOK_SECONDS)
            made = client.backfill(made.id)
    return made


def _tell(found: BackfillOut, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    line = f"backfill {found.id}: {found.state}, {found.started} of {found.total} runs started"
    show(line + (f", {found.failed} could not be: {found.error}" if found.failed else ""))
