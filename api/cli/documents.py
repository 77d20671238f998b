"""The catalogue of documents."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.output import AsJson, Commands, print_json, remark, show, table
from api.cli.session import session_of
from resources.content.model import DocumentStatus

app = typer.Typer(cls=Commands, help="See the documents that were handed in.", no_args_is_help=True)


@app.command("list")
def list_documents(
    context: typer.Context,
    status: Annotated[DocumentStatus | None, typer.Option(help="Only documents that stand there.")] = None,
    after: Annotated[str | None, typer.Option(help="Only documents whose id comes after this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Documents to show at most.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List documents in order of id."""
    with session_of(context).client() as client:
        page = client.documents(after=after, limit=limit, status=status)
    if as_json:
        print_json(page)
        return
    rows = [
        (item.id, item.status, item.language, item.chunk_count, item.concept_count, item.title or item.source.name)
        for item in page.documents
    ]
    show(table(["id", "status", "language", "chunks", "concepts", "title"], rows))
    if page.next_after is not None:
        remark(f"there are more: --after {page.next_after}")


@app.command("show")
def show_document(
    context: typer.Context,
    document_id: Annotated[str, typer.Argument(help="The document's id.")],
    as_json: AsJson = False,
) -> None:
    """Show one document: where it comes from, where it stands, why it was rejected."""
    with session_of(context).client() as client:
        document = client.document(document_id)
    if as_json:
        print_json(document)
        return
    fields = document.model_dump(mode="json")
    source = fields.pop("source")
    rows = [(name, ", ".join(value) if isinstance(value, list) else value) for name, value in (source | fields).items()]
    show(table(["field", "value"], [row for row in rows if row[1] not in (None, "")]))
