"""`aiw doctor`: is this machine fit to run the platform, and if not, what to do."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from api.cli.output import AsJson, print_json, show, table
from api.cli.session import session_of

if TYPE_CHECKING:
    from api.doctor import Finding


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Check this machine and say what is wrong and how to fix it. Ends with 1 if the platform cannot run."""
    from rich.text import Text

    from api.doctor import examine

    findings = list(examine(session_of(context).settings))
    if as_json:
        print_json({"ok": _fit(findings), "findings": [asdict(finding) for finding in findings]})
    else:
        styles = {"ok": "green", "warning": "yellow", "failed": "red"}
        show(
            table(
                ("check", "", "found"),
                (
                    (
                        one.name,
                        Text(one.status, style=styles[one.status]),
                        one.detail + (f"\n-> {one.fix}" if one.fix else ""),
                    )
                    for one in findings
                ),
            )
        )
    if not _fit(findings):
        raise typer.Exit(1)


def _fit(findings: list[Finding]) -> bool:
    return all(finding.status != "failed" for finding in findings)
