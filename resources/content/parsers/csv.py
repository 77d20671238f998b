"""CSV (RFC 4180) and its relatives with tabs, semicolons or bars: a table, and its rows as text with the columns' names.

Read line by line: a large file costs the memory of its text, and a table in the result is cut where it would say no more. A row
of `name: value` pairs is what a person, a search and a model can read without looking up at the header.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from resources.content.model import MediaType, ParsedDocument
from resources.content.parsers.base import MAX_CELLS, ParseLimits, TextBuilder, broken, one_line
from resources.content.parsers.encoding import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

_DELIMITERS: Final = ",;\t|"
_SAMPLE_LINES: Final = 50
_PREVIEW_ROWS: Final = 200
_MAX_COLUMNS: Final = 2_000
_LONGEST_CELL: Final = 1_000_000


def parse(content: bytes, *, limits: ParseLimits) -> ParsedDocument:
    """Read CSV. Raises InvalidInputError when a quote never closes or a row is no row."""
    decoded = decode(content)
    text = decoded.text.lstrip("\ufeff")
    delimiter = _delimiter(text)
    rows = _rows(text, delimiter)
    first = next(rows, [])
    second = next(rows, None)
    header = first if second is None or _is_header(first, second) else []
    if second is None:
        header, kept = [], [first]
    else:
        kept = [second] if header else [first, second]
    builder = TextBuilder(limits)
    names = [one_line(name) for name in header]
    for row in kept:
        _add(builder, names, row)
    widths: Counter[int] = Counter(map(len, kept))
    count = len(kept)
    cells = sum(map(len, kept))
    for row in rows:
        count += 1
        widths[len(row)] += 1
        _add(builder, names, row)
        cells += len(row)
        if len(kept) < _PREVIEW_ROWS and cells <= MAX_CELLS:
            kept.append(row)
    builder.note_table(names, kept)
    columns = len(names) or widths.most_common(1)[0][0]
    metadata: dict[str, Any] = {"rows": count, "columns": columns, "delimiter": delimiter, "column_names": names[:100]}
    ragged = count - widths[columns]
    if ragged:
        metadata["ragged_rows"] = ragged
    if decoded.replaced:
        metadata["replaced_characters"] = decoded.replaced
    return builder.build(MediaType.CSV, encoding=decoded.encoding, metadata=metadata)


def _delimiter(text: str) -> str:
    """The sign that cuts the first lines into the most columns, and into the same number each."""
    sample = text[:100_000].splitlines()[:_SAMPLE_LINES]
    best, best_score = ",", 0.0
    for sign in _DELIMITERS:
        counts = Counter(line.count(sign) for line in sample if line.strip())
        if not counts:
            continue
        columns, lines = counts.most_common(1)[0]
        score = columns and lines / sum(counts.values()) + min(columns, 50) / 100
        if score > best_score:
            best, best_score = sign, score
    return best


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(_LONGEST_CELL)
    try:
        for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
            if len(row) > _MAX_COLUMNS:
                raise broken("CSV", f"a row has {len(row):,} columns; {_MAX_COLUMNS:,} are read")
            if any(map(str.strip, row)):
                yield row
    except csv.Error as error:
        raise broken("CSV", error) from error


def _is_header(first: list[str], second: list[str]) -> bool:
    """Names, all different, none a number; and shorter than prose."""
    names = [cell.strip() for cell in first]
    if len(names) != len(second) or not all(names) or len({name.lower() for name in names}) < len(names):
        return False
    return not any(_is_number(name) for name in names) and all(len(name) <= 100 for name in names)  # noqa: PLR2004


def _is_number(text: str) -> bool:
    try:
        float(text.replace(",", "."))
    except ValueError:
        return False
    return True


def _add(builder: TextBuilder, names: list[str], row: list[str]) -> None:
    cells = [one_line(cell) for cell in row]
    if names and len(names) == len(cells):
        builder.block("; ".join(f"{name}: {cell}" for name, cell in zip(names, cells, strict=True) if cell), tight=True)
    else:
        builder.block(" | ".join(cell for cell in cells if cell), tight=True)
    for cell in cells:
        if cell.startswith(("http://", "https://", "mailto:")):
            builder.link(cell)
