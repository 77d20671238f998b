"""DOCX (ECMA-376, WordprocessingML): paragraphs, headings by style or outline level, tables, links, pictures, properties.

Read from the XML itself, as an object model of the whole document would cost more than it gives. Text that was deleted under
change tracking is left out; what was inserted is there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from resources.content.model import MediaType, ParsedDocument
from resources.content.parsers.archive import Archive, resolve
from resources.content.parsers.base import ParseLimits, TextBuilder, broken, one_line, too_deep

if TYPE_CHECKING:
    from lxml.etree import _Element

_W: Final = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_R: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
_A: Final = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_STRICT_W: Final = "{http://purl.oclc.org/ooxml/wordprocessingml/main}"
_RELATIONSHIP: Final = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"
_DC: Final = "{http://purl.org/dc/elements/1.1/}"
_HEADING = re.compile(r"(?:heading|berschrift|titre|título|titolo|kop)\s*([1-6])", re.IGNORECASE)
_TITLE_STYLES: Final = frozenset({"title", "titel"})
_CODE_STYLES: Final = frozenset(
    {"code", "sourcecode", "source code", "htmlpreformatted", "html preformatted", "macrotext"}
)
_DROPPED: Final = frozenset({f"{_W}del", f"{_W}moveFrom", f"{_W}instrText", f"{_W}delText"})


def parse(content: bytes, *, limits: ParseLimits) -> ParsedDocument:
    """Read a DOCX. Raises InvalidInputError for a broken or protected one, LimitExceededError for a bomb."""
    archive = Archive(content, limits=limits, format_name="DOCX")
    main = _main_part(archive)
    root = archive.xml(main)
    if not str(root.tag).startswith((_W, _STRICT_W)):
        raise broken("DOCX", f"its main part is {root.tag!r}")
    if str(root.tag).startswith(_STRICT_W):
        raise broken("DOCX", "it is written in the strict variant; save it as an ordinary DOCX")
    builder = TextBuilder(limits)
    walker = _Walker(builder, _relations(archive, main), _styles(archive, main))
    body = root.find(f"{_W}body")
    if body is not None:
        walker.walk(body)
    facts = _properties(archive)
    return builder.build(
        MediaType.DOCX,
        title=facts.pop("title", None) or walker.title,
        author=facts.pop("creator", None),
        metadata=dict(facts),
    )


def _main_part(archive: Archive) -> str:
    if "_rels/.rels" in archive:
        for relation in archive.xml("_rels/.rels").iter(_RELATIONSHIP):
            if str(relation.get("Type", "")).endswith("/officeDocument"):
                return resolve("", str(relation.get("Target", "")))
    return "word/document.xml"


def _relations(archive: Archive, main: str) -> dict[str, str]:
    folder, _, name = main.rpartition("/")
    part = f"{folder}/_rels/{name}.rels"
    if part not in archive:
        return {}
    return {
        str(relation.get("Id", "")): str(relation.get("Target", ""))
        for relation in archive.xml(part).iter(_RELATIONSHIP)
    }


def _styles(archive: Archive, main: str) -> dict[str, str]:
    """Names of the paragraph styles, by id: ids are translated with the program, names hardly ever."""
    part = resolve(main, "styles.xml")
    if part not in archive:
        return {}
    found: dict[str, str] = {}
    for style in archive.xml(part).iter(f"{_W}style"):
        name = style.find(f"{_W}name")
        if name is not None:
            found[str(style.get(f"{_W}styleId", ""))] = str(name.get(f"{_W}val", ""))
    return found


def _properties(archive: Archive) -> dict[str, str]:
    if "docProps/core.xml" not in archive:
        return {}
    root = archive.xml("docProps/core.xml")
    kept = {
        f"{_DC}title": "title",
        f"{_DC}creator": "creator",
        f"{_DC}subject": "subject",
        f"{_DC}language": "language",
    }
    found = {kept[str(child.tag)]: one_line(child.text or "")[:500] for child in root if str(child.tag) in kept}
    return {name: value for name, value in found.items() if value}


class _Walker:
    """Adds the body's paragraphs and tables in order."""

    def __init__(self, builder: TextBuilder, relations: dict[str, str], styles: dict[str, str]) -> None:
        self._builder = builder
        self._relations = relations
        self._styles = styles
        self.title: str | None = None

    def walk(self, body: _Element) -> None:
        stack: list[tuple[_Element, int]] = [(child, 1) for child in reversed(list(body))]
        while stack:
            element, depth = stack.pop()
            if depth > self._builder.limits.max_depth:
                raise too_deep(self._builder.limits.max_depth)
            tag = str(element.tag)
            if tag == f"{_W}p":
                self._paragraph(element)
            elif tag == f"{_W}tbl":
                self._table(element)
            elif tag not in _DROPPED:
                stack.extend((child, depth + 1) for child in reversed(list(element)))

    def _paragraph(self, paragraph: _Element) -> None:
        text = self._text(paragraph)
        if not text.strip():
            return
        style, level, listed = self._style(paragraph)
        if style in _TITLE_STYLES:
            self.title = self.title or one_line(text)
            level = level or 1
        if level:
            self._builder.heading(text, level)
        else:
            self._builder.block(text, tight=listed, code=style in _CODE_STYLES)

    def _style(self, paragraph: _Element) -> tuple[str, int, bool]:
        """The style's name, the heading level (0 = none), and whether it is an item of a list."""
        properties = paragraph.find(f"{_W}pPr")
        if properties is None:
            return "", 0, False
        style = properties.find(f"{_W}pStyle")
        identity = "" if style is None else str(style.get(f"{_W}val", ""))
        name = self._styles.get(identity, identity).lower()
        outline = properties.find(f"{_W}outlineLvl")
        listed = properties.find(f"{_W}numPr") is not None
        if (heading := _HEADING.search(name)) or (heading := _HEADING.search(identity)):
            return name, int(heading[1]), False
        if outline is not None and str(outline.get(f"{_W}val", "")).isdigit():
            level = int(outline.get(f"{_W}val", "9")) + 1
            return name, level if level <= 6 else 0, listed  # noqa: PLR2004 - levels of headings
        return name, 0, listed

    def _text(self, root: _Element) -> str:
        parts: list[str] = []
        stack: list[Any] = [root]
        while stack:
            element = stack.pop()
            if isinstance(element, str):
                parts.append(element)
                continue
            tag = str(element.tag)
            if tag in _DROPPED:
                continue
            if tag == f"{_W}t":
                parts.append(element.text or "")
            elif tag == f"{_W}tab":
                parts.append("\t")
            elif tag in {f"{_W}br", f"{_W}cr"}:
                parts.append("\n")
            elif tag == f"{_W}noBreakHyphen":
                parts.append("-")
            else:
                self._note(element, tag)
                stack.extend(reversed(list(element)))
        return "".join(parts).strip()

    def _note(self, element: _Element, tag: str) -> None:
        if tag == f"{_W}hyperlink":
            target = self._relations.get(str(element.get(f"{_R}id", "")), "")
            anchor = str(element.get(f"{_W}anchor", ""))
            text = "".join(str(run.text or "") for run in element.iter(f"{_W}t"))
            self._builder.link(target or (f"#{anchor}" if anchor else ""), text)
        elif tag == f"{_A}blip":
            self._builder.media("image", self._relations.get(str(element.get(f"{_R}embed", "")), ""))

    def _table(self, table: _Element) -> None:
        rows: list[list[str]] = []
        header: list[str] = []
        for row in table.iter(f"{_W}tr"):
            cells = [" ".join(self._text(cell).split()) for cell in row.findall(f"{_W}tc")]
            marked = row.find(f"{_W}trPr/{_W}tblHeader") is not None
            if marked and not header and not rows:
                header = cells
            else:
                rows.append(cells)
        self._builder.table(header, rows)
