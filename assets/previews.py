"""What a person wants to see of a result on its page in the UI."""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

_PREVIEW_CHARS = 1500


def markdown_preview(text: str, *, title: str | None = None) -> dg.MarkdownMetadataValue:
    """The beginning of a text, quoted as a code block so that nothing in it is rendered or fetched."""
    shown = text[:_PREVIEW_CHARS].replace("```", "'''")
    more = f"\n… and {len(text) - _PREVIEW_CHARS:,} more characters" if len(text) > _PREVIEW_CHARS else ""
    heading = f"**{title}**\n\n" if title else ""
    return dg.MetadataValue.md(f"{heading}```text\n{shown}{more}\n```")


def table(rows: Iterable[Mapping[str, Any]], *, columns: Mapping[str, str]) -> dg.TableMetadataValue:
    """Rows as a table; `columns` maps a name to its type (`string`, `int`, `float`)."""
    return dg.MetadataValue.table(
        records=[dg.TableRecord({name: row[name] for name in columns}) for row in rows],
        schema=dg.TableSchema(columns=[dg.TableColumn(name=name, type=kind) for name, kind in columns.items()]),
    )
