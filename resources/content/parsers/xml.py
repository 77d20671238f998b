"""XML (libxml2, through lxml), with entities, external files and the network off.

A document that declares entities is refused outright: that is what billion laughs and XXE need, and what no document needs.
Elements named title or head open sections, as in DocBook, JATS and TEI; other elements are paragraphs.
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any, Final, cast

from resources.content.model import MediaType, ParsedDocument
from resources.content.parsers.base import PARSE_ERROR, ParseLimits, TextBuilder, broken, clean, one_line, too_deep
from resources.content.parsers.encoding import OpenText, open_text
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from lxml.etree import _Element

_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")
_DOCTYPE_WITH_SUBSET = re.compile(r"<!DOCTYPE\b[^>\[]*\[", re.IGNORECASE)
_OVERLAP: Final = 1_000
"""Characters of the piece before that are looked at with the next: what is looked for may be cut in two."""
_MANY_CHILDREN: Final = 200
_TITLES = frozenset({"title", "head", "heading", "h1", "h2", "h3", "h4", "h5", "h6"})
_AUTHORS = frozenset({"author", "creator", "byline", "authors"})
_CODE = frozenset({"programlisting", "screen", "code", "codeblock", "pre", "sourcecode", "script", "style"})
_ROWS = frozenset({"row", "tr"})
_PROSE_ATTRIBUTES = frozenset({"title", "name", "label", "summary", "description", "alt", "caption"})
_LINK_ATTRIBUTES = frozenset({"href", "src", "url", "uri"})


def parse(content: bytes, *, limits: ParseLimits) -> ParsedDocument:
    """Read XML. Raises InvalidInputError when it is not well-formed, declares entities, or nests too deep."""
    return parse_file(io.BytesIO(content), limits=limits)


def parse_file(file: IO[bytes], *, limits: ParseLimits) -> ParsedDocument:
    """The same of a file. Of a large one, what has been read is let go while the rest comes."""
    decoded = open_text(file)
    builder = TextBuilder(limits)
    walk = _Walk(builder)
    root = _read(decoded, walk, limits)
    walk.element(root, 1)
    metadata: dict[str, Any] = {"root": _name(root)}
    if namespace := _namespace(root):
        metadata["namespace"] = namespace
    if decoded.replaced:
        metadata["replaced_characters"] = decoded.replaced
    return builder.build(
        MediaType.XML,
        title=walk.facts.get("title"),
        author=walk.facts.get("author"),
        encoding=decoded.encoding,
        metadata=metadata,
    )


def _read(decoded: OpenText, walk: _Walk, limits: ParseLimits) -> _Element:
    """The root, with all that is below it and was not let go on the way."""
    from lxml import etree

    parser = etree.XMLPullParser(
        events=("start", "end") if decoded.large else (),
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    has_doctype, before = False, ""
    path: list[_Element] = []
    try:
        for number, piece in enumerate(decoded.pieces()):
            text = piece if number else _DECLARATION.sub("", piece.lstrip("\ufeff"), count=1).lstrip("\ufeff \t\r\n")
            has_doctype = has_doctype or _DOCTYPE_WITH_SUBSET.search(before + text) is not None
            if has_doctype and "<!ENTITY" in before + text:
                raise InvalidInputError(
                    "The XML declares entities, which are not read. Expand them and send it again.", code=PARSE_ERROR
                )
            before = text[-_OVERLAP:]
            parser.feed(text.encode("utf-8", "replace"))
            for event, element in cast("Iterator[tuple[str, _Element]]", parser.read_events()):
                if event == "start":
                    path.append(element)
                    if len(path) > limits.max_depth:
                        raise too_deep(limits.max_depth)
                else:
                    path.pop()
                    if path and len(path[-1]) > _MANY_CHILDREN:
                        walk.let_go(path)
        root = parser.close()
    except etree.XMLSyntaxError as error:
        if "depth" in str(error).lower():
            raise too_deep(limits.max_depth) from error
        raise broken("XML", error) from error
    except ValueError as error:
        raise broken("XML", error) from error
    if root is None:
        raise broken("XML", "there is no root element")
    return root


def _name(element: _Element) -> str:
    tag = element.tag
    return tag.rsplit("}", 1)[-1].lower() if isinstance(tag, str) else ""


def _namespace(element: _Element) -> str | None:
    tag = element.tag
    return tag[1:].split("}", 1)[0][:300] if isinstance(tag, str) and tag.startswith("{") else None


class _Walk:
    """Adds the text in document order. An element that has children and text of its own is one paragraph (mixed content).

    An element of a large document that has many children is begun before it has ended: then it is a container, whatever follows.
    """

    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self._begun: set[_Element] = set()
        self.facts: dict[str, str] = {}

    def let_go(self, path: list[_Element]) -> None:
        """Add what has ended below the open elements of `path`, and free it, unless one of these is a paragraph itself."""
        if not self._begun.issuperset(path) and any(
            element not in self._begun and _has_own_text(element, but_last=True) for element in path
        ):
            return
        for depth, element in enumerate(path, 1):
            if element not in self._begun:
                self._begun.add(element)
                _attributes(self._builder, element)
            ended = list(element)[:-1]  # the text behind the last one may be still to come
            self._children(element, ended, depth)
            for child in ended:
                element.remove(child)

    def element(self, root: _Element, depth: int) -> None:
        """Add an element that has ended, but for what was added before."""
        builder = self._builder
        stack: list[tuple[_Element, int]] = [(root, depth)]
        while stack:
            element, depth = stack.pop()
            if depth > builder.limits.max_depth:
                raise too_deep(builder.limits.max_depth)
            name = _name(element)
            if not name:
                continue
            children = [child for child in element if isinstance(child.tag, str)]
            if element in self._begun:
                self._begun.discard(element)
                self._children(element, children, depth)
                continue
            _attributes(builder, element)
            mixed = bool(children) and _has_own_text(element)
            if children and all(_name(child) in _ROWS for child in children):
                _table(builder, children)
            elif name == "table" and len(rows := [row for row in element.iter() if _name(row) in _ROWS]) > 0:
                _table(builder, rows)
            elif not children or mixed:
                _leaf(builder, name, element, depth, self.facts)
            else:
                stack.extend((child, depth + 1) for child in reversed(children))

    def _children(self, element: _Element, children: list[_Element], depth: int) -> None:
        """Children of a container that was begun, with the text between them."""
        if element.text and element.text.strip():
            self._builder.block(one_line(element.text))
            element.text = None
        if children and all(_name(child) in _ROWS for child in children):
            _table(self._builder, children)
            return
        for child in children:
            self.element(child, depth + 1)
            if child.tail and child.tail.strip():
                self._builder.block(one_line(child.tail))


def _has_own_text(element: _Element, *, but_last: bool = False) -> bool:
    children = list(element)[:-1] if but_last else element
    return bool((element.text or "").strip()) or any((child.tail or "").strip() for child in children)


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
