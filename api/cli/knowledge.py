"""Asking what was learned: search by meaning, and learning paths."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.output import AsJson, print_json, remark, show, table
from api.cli.session import session_of

_EXCERPT = 160


def search(
    context: typer.Context,
    query: Annotated[str, typer.Argument(help="What to look for, in your own words.")],
    limit: Annotated[int, typer.Option(min=1, max=100, help="Passages to show at most.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Search the documents by meaning."""
    with session_of(context).client() as client:
        found = client.search(query, limit=limit)
    if as_json:
        print_json(found)
        return
    if not found.hits:
        remark("nothing found. Are there documents yet? `aiw ingest PATH` brings some in.")
        return
    rows = [
        (f"{hit.score:.3f}", hit.document_title or hit.document_id, hit.section, _excerpt(hit.text))
        for hit in found.hits
    ]
    show(table(["score", "document", "section", "passage"], rows))


def path(
    context: typer.Context,
    target: Annotated[str, typer.Argument(help="The concept to learn.")],
    source: Annotated[str | None, typer.Option("--from", help="A concept that is already known.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a learning path: every prerequisite before what needs it."""
    with session_of(context).client() as client:
        found = client.learning_path(target, source=source)
    if as_json:
        print_json(found)
        return
    rows = [
        (step.order, step.concept.name, step.concept.difficulty, ", ".join(step.requires) or None, step.reason)
        for step in found.steps
    ]
    show(table(["step", "concept", "difficulty", "needs", "why"], rows))


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _EXCERPT else line[:_EXCERPT].rsplit(" ", 1)[0] + " …"
