"""Plain text (and program code, which is text): paragraphs as they stand, headings where they are plain to see."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from resources.content.model import MediaType, ParsedDocument
from resources.content.parsers.base import ParseLimits, TextBuilder, clean
from resources.content.parsers.encoding import open_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO

_PARAGRAPHS = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_UNDERLINE = re.compile(r"^(=|-|~|\*)\1{2,}[ \t]*$")
_NUMBERED = re.compile(r"^\d+(?:\.\d+)*\.?[ \t]+[A-Z][^\n.!?]{2,78}$")
_MAX_HEADING = 80


def parse(content: bytes, *, limits: ParseLimits) -> ParsedDocument:
    """Read plain text. A short first line that stands alone is the title."""
    return parse_file(io.BytesIO(content), limits=limits)


def parse_file(file: IO[bytes], *, limits: ParseLimits) -> ParsedDocument:
    """The same of a file, of which a paragraph at a time is in memory, and what becomes text."""
    decoded = open_text(file, newline=None)
    builder = TextBuilder(limits)
    title: str | None = None
    for number, raw in enumerate(_paragraphs(map(clean, decoded.pieces()), most=limits.max_chars)):
        builder.links_in(raw)
        paragraph = raw.strip("\n").rstrip()
        lines = paragraph.split("\n", 2)
        first = lines[0].strip()
        if len(lines) > 1 and len(first) <= _MAX_HEADING and (mark := _UNDERLINE.match(lines[1].strip())):
            builder.heading(first, 1 if mark[1] == "=" else 2)
            title = title or first
            paragraph = lines[2].rstrip() if len(lines) > 2 else ""  # noqa: PLR2004 - heading, underline, rest
        elif len(lines) == 1 and (_NUMBERED.match(first) or _is_shouted(first)):
            level = first.split(maxsplit=1)[0].rstrip(".").count(".") + 1 if first[0].isdigit() else 1
            builder.heading(first, level)
            title = title or (first if number == 0 else None)
            continue
        elif number == 0 and len(lines) == 1 and 0 < len(first) <= _MAX_HEADING and first[-1] not in ".,;:":
            title = first
        builder.block(paragraph)
    return builder.build(
        MediaType.TEXT,
        title=title,
        encoding=decoded.encoding,
        metadata={"replaced_characters": decoded.replaced} if decoded.replaced else {},
    )


def _paragraphs(pieces: Iterable[str], *, most: int) -> Iterator[str]:
    """What stands between blank lines. One longer than `most` comes in parts: it is too much in any case."""
    held = ""
    for piece in pieces:
        held += piece
        begin = 0
        for match in _PARAGRAPHS.finditer(held):
            if match.end() == len(held):
                break  # more blank lines may follow
            yield held[begin : match.start()]
            begin = match.end()
        held = held[begin:]
        if len(held) > most:
            yield held
            held = ""
    yield from _PARAGRAPHS.split(held)


def _is_shouted(line: str) -> bool:
    return 4 <= len(line) <= _MAX_HEADING and line.isupper() and sum(map(str.isalpha, line)) > len(line) // 2  # noqa: PLR2004
