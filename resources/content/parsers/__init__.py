"""The table of formats: media type → parser. To add a format, write its file and add its row (and its names in sniff.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.content.model import MediaType
from resources.content.parsers import code, csv, docx, epub, html, json, markdown, pdf, rst, text, xml
from resources.content.parsers.base import FileParser, ParseLimits, Parser

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import IO

    from resources.content.model import ParsedDocument

PARSERS: Mapping[MediaType, Parser] = {
    MediaType.TEXT: text.parse,
    MediaType.MARKDOWN: markdown.parse,
    MediaType.RST: rst.parse,
    MediaType.HTML: html.parse,
    MediaType.PDF: pdf.parse,
    MediaType.JSON: json.parse,
    MediaType.XML: xml.parse,
    MediaType.DOCX: docx.parse,
    MediaType.EPUB: epub.parse,
    MediaType.CSV: csv.parse,
    MediaType.CODE: code.parse,
}

STREAMED: Mapping[MediaType, FileParser] = {
    MediaType.TEXT: text.parse_file,
    MediaType.XML: xml.parse_file,
    MediaType.CSV: csv.parse_file,
}
"""Formats of which a large file is read in pieces."""

ISOLATED = frozenset({MediaType.PDF, MediaType.RST, MediaType.MARKDOWN, MediaType.DOCX, MediaType.EPUB, MediaType.CODE})
"""Formats whose parser can hang or crash on a small file: always read in the child process."""

VERSION = "2"
"""Of all parsers together: raise it when a parser's result changes, so that documents are read again."""


def read(media_type: MediaType, content: bytes, *, limits: ParseLimits, name: str = "") -> ParsedDocument:
    """Have the format's parser read it. Of program code, the name tells the language."""
    if media_type is MediaType.CODE:
        return code.parse(content, limits=limits, name=name)
    return PARSERS[media_type](content, limits=limits)


def read_file(media_type: MediaType, file: IO[bytes], *, limits: ParseLimits, name: str = "") -> ParsedDocument:
    """The same of a file, in pieces where the format can be read so."""
    if media_type in STREAMED:
        return STREAMED[media_type](file, limits=limits)
    return read(media_type, file.read(), limits=limits, name=name)


__all__ = ["ISOLATED", "PARSERS", "VERSION", "ParseLimits", "Parser", "read", "read_file"]
