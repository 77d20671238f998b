"""reStructuredText (docutils), with everything off that reads files, runs code or reaches the network.

Text written for Sphinx is read as well as can be: an unknown role leaves its text, an unknown directive is left out. The
long descriptions of packages are seldom free of errors; docutils' complaints are counted in the metadata, not raised.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from resources.content.model import MediaType, ParsedDocument
from resources.content.parsers.base import ParseLimits, TextBuilder, broken, clean, too_deep
from resources.content.parsers.encoding import decode

if TYPE_CHECKING:
    from docutils import nodes

_ROLE = re.compile(r":[\w:+.-]+:`~?([^`<]*?)\s*(?:<[^`>]*>)?`")
_WORD = re.compile(r"[A-Za-z]+")
_SETTINGS: dict[str, Any] = {
    "file_insertion_enabled": False,
    "raw_enabled": False,
    "_disable_config": True,
    "report_level": 5,
    "halt_level": 5,
    "exit_status_level": 5,
    "traceback": True,
    "syntax_highlight": "none",
    "smart_quotes": False,
    "doctitle_xform": False,
    "docinfo_xform": False,
    "sectsubtitle_xform": False,
    "math_output": "LaTeX",
    "warning_stream": False,
    "line_length_limit": 100_000_000,
    "record_dependencies": None,
    "input_encoding": "unicode",
}


def parse(content: bytes, *, limits: ParseLimits) -> ParsedDocument:
    """Read reStructuredText. Raises InvalidInputError when docutils gives up."""
    from docutils.core import publish_doctree

    decoded = decode(content)
    try:
        tree = publish_doctree(clean(decoded.text), settings_overrides=dict(_SETTINGS))
    except RecursionError as error:
        raise too_deep(limits.max_depth) from error
    except Exception as error:  # docutils' own mistakes on broken input have no common base
        raise broken("reStructuredText", error) from error
    builder = TextBuilder(limits)
    walker = _Walker(builder)
    walker.walk(tree)
    metadata: dict[str, Any] = {}
    if walker.complaints:
        metadata["syntax_errors"] = walker.complaints
    if decoded.replaced:
        metadata["replaced_characters"] = decoded.replaced
    return builder.build(MediaType.RST, author=walker.author, encoding=decoded.encoding, metadata=metadata)


class _Walker:
    """Walks the document tree with a stack; each entry is a node and its section level."""

    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self.complaints = 0
        self.author: str | None = None

    def walk(self, tree: nodes.document) -> None:
        from docutils import nodes

        skipped = (nodes.comment, nodes.substitution_definition, nodes.target, nodes.meta, nodes.raw)
        stack: list[tuple[nodes.Node, int, int, bool]] = [(tree, 0, 0, False)]
        while stack:
            node, level, depth, tight = stack.pop()
            if depth > self._builder.limits.max_depth:
                raise too_deep(self._builder.limits.max_depth)
            if isinstance(node, nodes.system_message):
                self.complaints += 1
                continue
            if isinstance(node, nodes.image):
                self._builder.media("image", str(node.get("uri", "")), str(node.get("alt", "")))
                continue
            if isinstance(node, skipped) or (isinstance(node, nodes.topic) and "contents" in node["classes"]):
                continue
            if isinstance(node, nodes.title):
                self._builder.heading(self._inline(node)[0], level)
                continue
            if isinstance(node, (nodes.literal_block, nodes.doctest_block, nodes.math_block)):
                self._builder.block(node.astext().rstrip(), code=True)
                continue
            if isinstance(node, nodes.table):
                self._table(node)
                continue
            if isinstance(node, (nodes.TextElement, nodes.Text)):
                text, code = self._inline(node)
                self._builder.block(text, tight=tight, spans=code)
                continue
            if isinstance(node, nodes.section):
                level += 1
            tight = isinstance(node, (nodes.list_item, nodes.definition_list_item, nodes.field))
            children = [
                (child, level, depth + 1, tight and position == 0) for position, child in enumerate(node.children)
            ]
            stack.extend(reversed(children))

    def _inline(self, node: nodes.Node) -> tuple[str, list[tuple[int, int]]]:
        """The text of a paragraph and where code stands in it."""
        from docutils import nodes

        parts: list[str] = []
        code: list[tuple[int, int]] = []
        length = 0
        stack: list[nodes.Node] = [node]
        while stack:
            current = stack.pop()
            if isinstance(current, nodes.system_message):
                self.complaints += 1
            elif isinstance(current, (nodes.Text, nodes.literal, nodes.math, nodes.problematic)):
                text = clean(current.astext()).replace("\n", " ")
                if isinstance(current, nodes.problematic):
                    text = _ROLE.sub(r"\1", text)
                if isinstance(current, nodes.literal) and not _WORD.fullmatch(text):
                    code.append((length, length + len(text)))
                parts.append(text)
                length += len(text)
            elif not isinstance(current, (nodes.image, nodes.raw)):
                if isinstance(current, nodes.reference) and current.get("refuri"):
                    self._builder.link(str(current["refuri"]), current.astext())
                stack.extend(reversed(current.children))
        text = "".join(parts)
        stripped = text.lstrip()
        shift = len(text) - len(stripped)
        stripped = stripped.rstrip()
        spans = [(max(0, start - shift), min(end - shift, len(stripped))) for start, end in code]
        return stripped, [(start, end) for start, end in spans if start < end]

    def _table(self, table: nodes.table) -> None:
        from docutils import nodes

        header: list[str] = []
        rows: list[list[str]] = []
        for row in table.findall(nodes.row):
            cells = [self._inline(cell)[0] for cell in row.children]
            if isinstance(row.parent, nodes.thead) and not header:
                header = cells
            else:
                rows.append(cells)
        self._builder.table(header, rows)
