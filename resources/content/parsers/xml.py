"""XML (libxml2, through lxml), with entities, external files and the network off.

A document that declares entities is refused outright: that is what billion laughs and XXE need, and what no document needs.
Elements named title or head open sections, as in DocBook, JATS and TEI; other elements are paragraphs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from resources.content.model import MediaType, ParsedDocument
from resources.content.parsers.base import PARSE_ERROR, ParseLimits, TextBuilder, broken, clean, one_line, too_deep
from resources.content.parsers.encoding import decode
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from lxml.etree import _Element

_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_DOCTYPE_WITH_SUBSET = re.compile(r"<!DOCTYPE\b[^>\[]*\[", re.IGNORECASE)
_TITLES = frozenset({"title", "head", "heading", "h1", "h2", "h3", "h4", "h5", "h6"})
_AUTHORS = frozenset({"author", "creator", "byline", "authors"})
_CODE = frozenset({"programlisting", "screen", "code", "codeblock", "pre", "sourcecode", "script", "style"})
_ROWS = frozenset({"row", "tr"})
_PROSE_ATTRIBUTES = frozenset({"title", "name", "label", "summary", "description", "alt", "caption"})
_LINK_ATTRIBUTES = frozenset({"href", "src", "url", "uri"})


def parse(content: bytes, *, limits: ParseLimits) -> ParsedDocument:
    """Read XML. Raises InvalidInputError when it is not well-formed, declares entities, or nests too deep."""
    from lxml import etree

    decoded = decode(content)
    text = _DECLARATION.sub("", decoded.text, count=1).lstrip("\ufeff \t\r\n")
    subset = _DOCTYPE_WITH_SUBSET.search(text)
    if subset is not None and "<!ENTITY" in text[subset.start() :]:
        raise InvalidInputError(
            "The XML declares entities, which are not read. Expand them and send it again.", code=PARSE_ERROR
        )
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError as error:
        if "xcessive depth" in str(error) or "depth" in str(error).lower():
            raise too_deep(limits.max_depth) from error
        raise broken("XML", error) from error
    except ValueError as error:
        raise broken("XML", error) from error
    if root is None:
        raise broken("XML", "there is no root element")
    builder = TextBuilder(limits)
    facts = _walk(builder, root)
    metadata: dict[str, Any] = {"root": _name(root)}
    if namespace := _namespace(root):
        metadata["namespace"] = namespace
    if decoded.replaced:
        metadata["replaced_characters"] = decoded.replaced
    return builder.build(
        MediaType.XML,
        title=facts.get("title"),
        author=facts.get("author"),
        encoding=decoded.encoding,
        metadata=metadata,
    )


def _name(element: _Element) -> str:
    tag = element.tag
    return tag.rsplit("}", 1)[-1].lower() if isinstance(tag, str) else ""


def _namespace(element: _Element) -> str | None:
    tag = element.tag
    return tag[1:].split("}", 1)[0][:300] if isinstance(tag, str) and tag.startswith("{") else None


def _walk(builder: TextBuilder, root: _Element) -> dict[str, str]:
    """Add the text in document order. An element that has children and text of its own is one paragraph (mixed content)."""
    facts: dict[str, str] = {}
    stack: list[tuple[_Element, int]] = [(root, 1)]
    while stack:
        element, depth = stack.pop()
        if depth > builder.limits.max_depth:
            raise too_deep(builder.limits.max_depth)
        name = _name(element)
        if not name:
            continue
        _attributes(builder, element)
        children = [child for child in element if isinstance(child.tag, str)]
        mixed = bool(children) and _has_own_text(element)
        if children and all(_name(child) in _ROWS for child in children):
            _table(builder, children)
        elif name == "table" and len(rows := [row for row in element.iter() if _name(row) in _ROWS]) > 0:
            _table(builder, rows)
        elif not children or mixed:
            _leaf(builder, name, element, depth, facts)
        else:
            stack.extend((child, depth + 1) for child in reversed(children))
    return facts


def _has_own_text(element: _Element) -> bool:
    return bool((element.text or "").strip()) or any((child.tail or "").strip() for child in element)


def _leaf(builder: TextBuilder, name: str, element: _Element, depth: int, facts: dict[str, str]) -> None:
    for child in element.iter():
        if child is not element:
            _attributes(builder, child)
    raw = "".join(str(part) for part in element.itertext())
    text = one_line(raw)
    if not text:
        return
    if name in _TITLES:
        facts.setdefault("title", text)
        builder.heading(text, max(1, depth - 1))
        return
    if name in _AUTHORS:
        facts.setdefault("author", text)
    if text.startswith(("http://", "https://", "mailto:")) and " " not in text:
        builder.link(text)
    if name in _CODE:
        builder.block(clean(raw).strip("\n").rstrip(), code=True)
    else:
        builder.block(text)


def _attributes(builder: TextBuilder, element: _Element) -> None:
    for key, value in element.attrib.items():
        name = str(key).rsplit("}", 1)[-1].lower()
        if name in _LINK_ATTRIBUTES:
            builder.link(str(value), "")
        elif name in _PROSE_ATTRIBUTES and " " in str(value).strip():
            builder.block(one_line(str(value)))


def _table(builder: TextBuilder, rows: list[_Element]) -> None:
    cells = [
        [one_line("".join(map(str, cell.itertext()))) for cell in row if isinstance(cell.tag, str)] for row in rows
    ]
    head = rows[0]
    parent = head.getparent()
    is_head = parent is not None and _name(parent) == "thead"
    is_head = is_head or (len(head) > 0 and all(_name(cell) == "th" for cell in head))
    builder.table(cells[0] if is_head else (), cells[1:] if is_head else cells)
