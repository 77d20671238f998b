"""The table of commands: `aiw --help` is this file."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli import (
    ai,
    analyse,
    approvals,
    backfill,
    demo,
    doctor,
    documents,
    events,
    gateway,
    graph,
    graphql,
    identity,
    ingest,
    knowledge,
    mcp,
    nodes,
    paths,
    plugins,
    prompts,
    sockets,
    system,
    up,
    workflow,
)
from api.cli.output import Commands
from api.cli.session import Session
from api.version import VERSION


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"aiw {VERSION}")
        raise typer.Exit


def _callback(
    context: typer.Context,
    api_url: Annotated[
        str | None,
        typer.Option(envvar="AIW_API_URL", help="Address of the API. [default: that of the platform running here]"),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="AIW_TOKEN", help="Access token or API key. [default: the session of `aiw login`]"),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version
    context.obj = Session(api_url=api_url, token=token)


def build() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        name="aiw",
        cls=Commands,
        help="An AI workflow platform on Dagster: documents in, knowledge out, every step a run with lineage.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_callback)
    panel = "Platform"
    app.command("up", rich_help_panel=panel)(up.up)
    app.command("status", rich_help_panel=panel)(up.status)
    app.command("stop", rich_help_panel=panel)(up.stop)
    app.command("doctor", rich_help_panel=panel)(doctor.doctor)
    app.command("migrate", rich_help_panel=panel)(system.migrate)
    app.command("health", rich_help_panel=panel)(system.health)
    app.command("gateway", rich_help_panel=panel)(gateway.gateway)
    app.command("serve", rich_help_panel=panel)(gateway.serve)
    panel = "Documents and knowledge"
    app.command("demo", rich_help_panel=panel)(demo.demo)
    app.command("ingest", rich_help_panel=panel)(ingest.ingest)
    app.command("analyse", rich_help_panel=panel)(analyse.analyse)
    app.command("search", rich_help_panel=panel)(knowledge.search)
    app.command("ask", rich_help_panel=panel)(knowledge.ask)
    app.command("path", rich_help_panel=panel)(knowledge.path)
    app.command("progress", rich_help_panel=panel)(knowledge.progress)
    app.add_typer(paths.app, name="paths", rich_help_panel=panel)
    app.add_typer(graph.app, name="graph", rich_help_panel=panel)
    app.add_typer(graphql.app, name="graphql", rich_help_panel=panel)
    app.add_typer(documents.app, name="documents", rich_help_panel=panel)
    app.add_typer(plugins.app, name="plugins", rich_help_panel=panel)
    panel = "AI"
    app.add_typer(prompts.app, name="prompts", rich_help_panel=panel)
    app.add_typer(ai.app, name="ai", rich_help_panel=panel)
    app.add_typer(approvals.app, name="approvals", rich_help_panel=panel)
    app.add_typer(mcp.app, name="mcp", rich_help_panel=panel)
    panel = "Workflows"
    app.add_typer(workflow.app, name="workflow", rich_help_panel=panel)
    app.add_typer(nodes.app, name="nodes", rich_help_panel=panel)
    app.add_typer(backfill.app, name="backfill", rich_help_panel=panel)
    panel = "Events and runs"
    app.add_typer(events.app, name="events", rich_help_panel=panel)
    app.add_typer(system.runs, name="runs", rich_help_panel=panel)
    app.add_typer(sockets.app, name="ws", rich_help_panel=panel)
    panel = "Who may do what"
    app.command("login", rich_help_panel=panel)(identity.login)
    app.command("logout", rich_help_panel=panel)(identity.logout)
    app.command("whoami", rich_help_panel=panel)(identity.whoami)
    app.add_typer(identity.tenants, name="tenants", rich_help_panel=panel)
    app.add_typer(identity.users, name="users", rich_help_panel=panel)
    app.add_typer(identity.keys, name="keys", rich_help_panel=panel)
    return app


app = build()


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failed, 2 called wrongly."""
    from resources.telemetry.logging import configure_logging

    configure_logging(level="warning", service="cli")
    app()
