"""`aiw approvals`: decide what agents may do."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.output import AsJson, Commands, print_json, show, table
from api.cli.session import session_of

app = typer.Typer(cls=Commands, no_args_is_help=True, help="Approvals: uses of tools that agents ask for.")

ApprovalId = Annotated[str, typer.Argument(help="Id of the approval.")]
Comment = Annotated[str | None, typer.Option(help="Why; the agent is told when it is denied.")]


@app.command("list")
def list_approvals(
    context: typer.Context,
    every: Annotated[bool, typer.Option("--all", help="Those that were decided, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List what agents wait for."""
    with session_of(context).client() as client:
        found = client.approvals(waiting=not every)
    if as_json:
        print_json(found)
        return
    rows = [(one["id"], one["status"], one["agent"], one["tool"], one["arguments"], one["run_id"]) for one in found]
    show(table(["id", "status", "agent", "tool", "arguments", "run"], rows))


@app.command("grant")
def grant(context: typer.Context, approval_id: ApprovalId, comment: Comment = None, as_json: AsJson = False) -> None:
    """Let the agent use the tool, once. Then execute its run again."""
    _decide(context, approval_id, "grant", comment, as_json)


@app.command("deny")
def deny(context: typer.Context, approval_id: ApprovalId, comment: Comment = None, as_json: AsJson = False) -> None:
    """Do not let the agent use the tool. Then execute its run again."""
    _decide(context, approval_id, "deny", comment, as_json)


def _decide(context: typer.Context, approval_id: str, verb: str, comment: str | None, as_json: bool) -> None:
    with session_of(context).client() as client:
        found = client.decide_approval(approval_id, verb, comment=comment)
    if as_json:
        print_json(found)
        return
    show(
        f"{found['tool']} of {found['agent']}: {found['status']}. Run {found['run_id']} can go on: aiw workflow rerun."
    )
