"""The catalogue of documents."""

from __future__ import annotations

from typing import Annotated

import typer

from api.cli.output import AsJson, Commands, print_json, remark, show, table
from api.cli.session import session_of
from resources.content.model import DocumentStatus

_EXCERPT = 120
_MOST = 10_000

app = typer.Typer(cls=Commands, help="The documents that were handed in.", no_args_is_help=True)


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


@app.command("remove")
def remove_document(
    context: typer.Context, document_id: Annotated[str, typer.Argument(help="The document's id.")]
) -> None:
    """Remove a document, its passages, and what it alone supports in the graph of knowledge."""
    with session_of(context).client() as client:
        client.remove_document(document_id)
    remark(f"removed: {document_id}")


@app.command("similar")
def similar_documents(
    context: typer.Context,
    document_id: Annotated[str, typer.Argument(help="The document's id.")],
    limit: Annotated[int, typer.Option(min=1, max=100, help="Documents to show at most.")] = 10,
    as_json: AsJson = False,
) -> None:
    """List documents about the same, best first."""
    with session_of(context).client() as client:
        found = client.similar(document_id, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (f"{item.similarity:.3f}", item.document_id, item.title, " ".join(item.passage.text.split())[:_EXCERPT])
        for item in found.documents
    ]
    show(table(["similarity", "id", "title", "nearest passage"], rows))


@app.command("reembed")
def embed_anew(
    context: typer.Context,
    rate: Annotated[float, typer.Option(min=0.01, max=1000, help="Documents to start a second.")] = 5.0,
    as_json: AsJson = False,
) -> None:
    """Embed anew what has vectors of another model than the one in use. `aiw backfill show` tells how far it is."""
    with session_of(context).client() as client:
        state = client.index_state(limit=_MOST)
        if not state.outdated:
            remark(f"all {state.documents} documents have vectors of {state.model_id}")
            return
        request = {"workflow": "embed_document", "partitions": state.outdated, "rate": rate}
        started = client.start_backfill(request)
    if as_json:
        print_json(started)
        return
    show(f"{len(state.outdated)} documents are embedded anew with {state.model_id}: aiw backfill show {started.id}")
