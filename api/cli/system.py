"""The platform itself: its schema, its health, its runs."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from api.cli.output import FAILED, AsJson, Commands, print_json, show, table
from api.cli.session import session_of

runs = typer.Typer(cls=Commands, help="See what Dagster did.", no_args_is_help=True)


def migrate(context: typer.Context, as_json: AsJson = False) -> None:
    """Bring the database's schema to the newest version. Safe to repeat."""
    from resources.database.migrations import migrate as apply
    from resources.database.postgres import Database

    with closing(Database(session_of(context).database_url(), application_name="aiw-migrate")) as database:
        applied = apply(database)
    if as_json:
        print_json({"applied": [{"version": item.version, "name": item.name} for item in applied]})
    elif applied:
        show(table(["version", "name"], [(item.version, item.name) for item in applied], title="applied"))
    else:
        show("The schema is already at the newest version.")


def health(context: typer.Context, as_json: AsJson = False) -> None:
    """Show whether the platform and all that it stands on are well. Ends with 1 if something needed is down."""
    with session_of(context).client() as client:
        found = client.health_detailed()
    if as_json:
        print_json(found)
    else:
        rows = [(name, check.status, f"{check.latency_ms:g} ms", check.message) for name, check in found.checks.items()]
        show(table(["part", "status", "latency", "remark"], rows, title=f"{found.status}, version {found.version}"))
    if found.status == "unhealthy":
        raise typer.Exit(FAILED)


@runs.command("show")
def show_run(
    context: typer.Context, run_id: Annotated[str, typer.Argument(help="The run's id.")], as_json: AsJson = False
) -> None:
    """Show one run: what it did, for which document, and why it failed if it did."""
    with session_of(context).client() as client:
        run = client.run(run_id)
    if as_json:
        print_json(run)
        return
    fields = run.model_dump(mode="json")
    show(table(["field", "value"], [(name, value) for name, value in fields.items() if value not in (None, [], {})]))
