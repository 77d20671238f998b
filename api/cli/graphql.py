"""`aiw graphql`: the schema of the graph, for programs and people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from api.cli.output import Commands, remark

app = typer.Typer(cls=Commands, no_args_is_help=True, help="The graph over everything: its schema.")


@app.callback()
def graphql() -> None:
    """The graph over everything."""


@app.command("schema")
def schema(
    typescript: Annotated[bool, typer.Option("--typescript", help="Types for TypeScript instead of SDL.")] = False,
    subgraph: Annotated[str | None, typer.Option(help="Of one module alone.")] = None,
    out: Annotated[Path | None, typer.Option(help="A folder to write schema.graphql and schema.ts to.")] = None,
) -> None:
    """Print the schema, or write it and its types into a folder."""
    from api.graphql import export
    from api.graphql import schema as assemblies
    from api.graphql.subgraphs import MODULES

    names = [module.name for module in MODULES]
    if subgraph is not None and subgraph not in names:
        raise typer.BadParameter(f"There is no module {subgraph!r}, only: {', '.join(names)}.")
    core = (assemblies.unified() if subgraph is None else assemblies.subgraph(subgraph)).core
    if out is None:
        typer.echo(export.typescript(core) if typescript else export.sdl(core), nl=False)
        return
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (("schema.graphql", export.sdl(core)), ("schema.ts", export.typescript(core))):
        (out / name).write_text(text)
        remark(f"wrote {out / name}")
