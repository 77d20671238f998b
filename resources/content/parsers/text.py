"""Plain text (and program code, which is text): paragraphs as they stand, headings where they are plain to see."""

from __future__ import annotations

import re

from resources.content.model import MediaType, ParsedDocument
from resources.content.parsers.base import ParseLimits, TextBuilder, clean
from resources.content.parsers.encoding import decode

_PARAGRAPHS = re.compile(r"\n[ \t]*(?:\n[ \t]*)+")
_UNDERLINE = re.compile(r"^(=|-|~|\*)\1{2,}[ \t]*$")
_NUMBERED = re.compile(r"^\d+(?:\.\d+)*\.?[ \t]+[A-Z][^\n.!?]{2,78}$")
_MAX_HEADING = 80


def parse(content: bytes, *, limits: ParseLimits) -> ParsedDocument:
    """Read plain text. A short first line that stands alone is the title."""
    decoded = decode(content)
    text = clean(decoded.text)
    builder = TextBuilder(limits)
    title: str | None = None
    for number, raw in enumerate(_PARAGRAPHS.split(text)):
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
    builder.links_in(text)
    return builder.build(
        MediaType.TEXT,
        title=title,
        encoding=decoded.encoding,
        metadata={"replaced_characters": decoded.replaced} if decoded.replaced else {},
    )


def _is_shouted(line: str) -> bool:
    return 4 <= len(line) <= _MAX_HEADING and line.isupper() and sum(map(str.isalpha, line)) > len(line) // 2  # noqa: PLR2004
