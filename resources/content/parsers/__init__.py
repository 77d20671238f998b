"""The table of formats: media type → parser. To add a format, write its file and add its row (and its names in sniff.py)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.content.model import MediaType
from resources.content.parsers import html, json, markdown, pdf, rst, text, xml
from resources.content.parsers.base import ParseLimits, Parser

if TYPE_CHECKING:
    from collections.abc import Mapping

PARSERS: Mapping[MediaType, Parser] = {
    MediaType.TEXT: text.parse,
    MediaType.MARKDOWN: markdown.parse,
    MediaType.RST: rst.parse,
    MediaType.HTML: html.parse,
    MediaType.PDF: pdf.parse,
    MediaType.JSON: json.parse,
    MediaType.XML: xml.parse,
}

ISOLATED = frozenset({MediaType.PDF, MediaType.RST, MediaType.MARKDOWN})
"""Formats whose parser can hang or crash on a small file: always read in the child process."""

VERSION = "1"
"""Of all parsers together: raise it when a parser's result changes, so that documents are read again."""

__all__ = ["ISOLATED", "PARSERS", "VERSION", "ParseLimits", "Parser"]
