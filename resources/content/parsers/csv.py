"""CSV (RFC 4180) and its relatives with tabs, semicolons or bars: a table, and its rows as text with the columns' names.

Read line by line: a large file costs the memory of its text, and a table in the result is cut where it would say no more. A row
of `name: value` pairs is what a person, a search and a model can read without looking up at the header.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from resources.content.model import MediaType, ParsedDocument
from resources.content.parsers.base import MAX_CELLS, ParseLimits, TextBuilder, broken, one_line
from resources.content.parsers.encoding import open_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import TextIOBase
    from typing import IO

_DELIMITERS: Final = ",;\t|"
_SAMPLE_LINES: Final = 50
_PREVIEW_ROWS: Final = 200
_MAX_COLUMNS: Final = 2_000
_LONGEST_CELL: Final = 1_000_000
_LONGEST_LINE: Final = 16_000_000
_SAMPLE_CHARS: Final = 100_000


def parse(content: bytes, *, limits: ParseLimits) -> ParsedDocument:
    """Read CSV. Raises InvalidInputError when a quote never closes or a row is no row."""
    return parse_file(io.BytesIO(content), limits=limits)


def parse_file(file: IO[bytes], *, limits: ParseLimits) -> ParsedDocument:
    """The same of a file, of which one line at a time is in memory, and what becomes text."""
    decoded = open_text(file)
    begun = decoded.file.read(_SAMPLE_CHARS).lstrip("\ufeff") + decoded.file.readline(_LONGEST_LINE)
    delimiter = _delimiter(begun)
    rows = _rows(itertools.chain(io.StringIO(begun, newline=""), _lines(decoded.file)), delimiter)
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
    sample = text[:_SAMPLE_CHARS].splitlines()[:_SAMPLE_LINES]
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


def _lines(file: TextIOBase) -> Iterator[str]:
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            raise broken("CSV", f"a line has more than {_LONGEST_LINE:,} characters")
        yield line


def _rows(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(_LONGEST_CELL)
    try:
        for row in csv.reader(lines, delimiter=delimiter):
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
