"""HTML by the rules of browsers (lexbor, through selectolax): headings, paragraphs, lists, code, tables, links.

Scripts, styles and navigation are left out. The tree is walked with a stack of our own. Building a tree is quadratic in its
depth in lexbor (measured: 300,000 open elements take minutes), so that the depth of tags is counted before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from resources.content.model import MediaType, ParsedDocument
from resources.content.parsers.base import ParseLimits, TextBuilder, clean, one_line, too_deep
from resources.content.parsers.encoding import decode

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_DROPPED = frozenset(
    {
        "script",
        "style",
        "noscript",
        "template",
        "svg",
        "math",
        "iframe",
        "object",
        "embed",
        "head",
        "canvas",
    }
    | {"form", "button", "select", "input", "textarea", "dialog", "title", "meta", "link", "base"}
)
_MEDIA: dict[str, Literal["image", "video", "audio"]] = {"img": "image", "video": "video", "audio": "audio"}
_FURNITURE = frozenset({"nav", "footer"})
_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "body", "center", "dd", "details", "div", "dl", "dt", "fieldset"}
    | {"figcaption", "figure", "footer", "header", "hgroup", "hr", "html", "li", "main", "nav", "ol", "p", "section"}
    | {"summary", "ul", "caption", "tbody", "thead", "tfoot", "tr", "td", "th"}
)
_TIGHT = frozenset({"li", "dd", "dt", "tr", "summary"})
_VOID = frozenset(
    b"area base br col embed hr img input link meta param source track wbr p li dd dt tr td th option tbody thead".split()
)
_TAG = re.compile(rb"<(/?)([A-Za-z][A-Za-z0-9:-]*)")
_SPACE = re.compile(r"\s+")
_MANY_TAGS = 5_000
_WORD = re.compile(r"[A-Za-z]+")
_META_TITLES = ("og:title", "dc.title", "citation_title")
_META_AUTHORS = ("author", "article:author", "dc.creator", "citation_author")
_META_KEPT = ("description", "keywords", "generator", "og:type", "og:site_name", "date", "article:published_time")


def parse(content: bytes, *, limits: ParseLimits) -> ParsedDocument:
    """Read HTML. Raises InvalidInputError when it nests too deep or holds no text."""
    decoded = decode(content)
    tree = _tree(decoded.text, limits)
    builder = TextBuilder(limits)
    add_tree(builder, tree.body or tree.root, dropped=_DROPPED | _FURNITURE)
    if not len(builder):
        builder = TextBuilder(limits)
        add_tree(builder, tree.body or tree.root, dropped=_DROPPED)
    title_node = tree.css_first("title")
    meta = _meta(tree)
    metadata: dict[str, Any] = {key: meta[key] for key in _META_KEPT if key in meta}
    if decoded.replaced:
        metadata["replaced_characters"] = decoded.replaced
    language = (tree.root.attributes.get("lang") or "") if tree.root is not None else ""
    if language:
        metadata["language"] = one_line(language)[:35]
    return builder.build(
        MediaType.HTML,
        title=(title_node.text() if title_node is not None else "")
        or next((meta[key] for key in _META_TITLES if key in meta), ""),
        author=next((meta[key] for key in _META_AUTHORS if key in meta), None),
        encoding=decoded.encoding,
        metadata=metadata,
    )


def add_fragment(builder: TextBuilder, fragment: str) -> None:
    """Add a piece of HTML that stands in another format, such as Markdown."""
    tree = _tree(fragment, builder.limits)
    add_tree(builder, tree.body, dropped=_DROPPED)


def _tree(text: str, limits: ParseLimits) -> Any:
    from selectolax.lexbor import LexborHTMLParser

    if text.count("<") > _MANY_TAGS:
        _refuse_depth(text.encode("utf-8", "replace"), limits)
    return LexborHTMLParser(text)


def _refuse_depth(content: bytes, limits: ParseLimits) -> None:
    """Refuse markup that is certainly too deep: more than four times the limit open at once, of tags that must be closed."""
    depth = 0
    for match in _TAG.finditer(content):
        name = match[2].lower()
        if name in _VOID:
            continue
        depth = max(0, depth - 1) if match[1] else depth + 1
        if depth > 4 * limits.max_depth:
            raise too_deep(limits.max_depth)


def _meta(tree: Any) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in tree.css("meta[content]")[:200]:
        key = (node.attributes.get("name") or node.attributes.get("property") or "").lower()
        value = one_line(node.attributes.get("content") or "")[:1000]
        if key and value:
            found.setdefault(key, value)
    return found


@dataclass(slots=True)
class _Run:
    """The inline text since the last block began."""

    parts: list[str] = field(default_factory=list)
    code: list[tuple[int, int]] = field(default_factory=list)
    length: int = 0

    def add(self, text: str, *, code: bool = False) -> None:
        text = _SPACE.sub(" ", clean(text))
        if not self.length or self.parts[-1].endswith((" ", "\n")):
            text = text.lstrip()
        if not text:
            return
        if code and not _WORD.fullmatch(text.strip()):
            self.code.append((self.length, self.length + len(text)))
        self.parts.append(text)
        self.length += len(text)

    def line_break(self) -> None:
        if self.length:
            self.parts.append("\n")
            self.length += 1

    def take(self) -> tuple[str, list[tuple[int, int]]]:
        text = "".join(self.parts).rstrip()
        code = [(start, min(end, len(text))) for start, end in self.code if start < len(text)]
        self.parts, self.code, self.length = [], [], 0
        return text, code


def add_tree(builder: TextBuilder, root: LexborNode | None, *, dropped: frozenset[str]) -> None:
    """Add what a reader of the page would see, in order. Iterative: enter a node, its children, leave it."""
    run = _Run()
    tight = False
    depth = 0
    code_depth = 0

    def flush() -> None:
        nonlocal tight
        text, code = run.take()
        if text:
            builder.block(text, tight=tight, spans=code)
        tight = False

    node = root
    leaving = False
    while node is not None:
        tag = node.tag or ""
        if not leaving:
            if tag == "-text":
                run.add(node.text_content or "", code=code_depth > 0)
            elif tag == "br":
                run.line_break()
            elif tag == "pre":
                flush()
                builder.block(_text_of(node).strip("\n").rstrip(), code=True)
            elif tag in _HEADINGS:
                flush()
                builder.heading(_text_of(node).rstrip().rstrip("¶"), _HEADINGS[tag])
                _links_below(builder, node)
            elif tag in _MEDIA:
                _note_media(builder, node, tag)
            elif tag == "table" and _is_tabular(node):
                flush()
                _add_table(builder, node)
            elif tag not in dropped and tag[:1] not in {"-", "_", "!"} and "hidden" not in node.attributes:
                if tag == "a":
                    builder.link(node.attributes.get("href") or "", _text_of(node))
                if tag in _BLOCKS:
                    flush()
                    tight = tag in _TIGHT
                if tag in {"code", "kbd", "samp", "tt"}:
                    code_depth += 1
                child = node.child
                if child is not None:
                    depth += 1
                    if depth > builder.limits.max_depth:
                        raise too_deep(builder.limits.max_depth)
                    node = child
                    continue
                leaving = True
                continue
        else:
            leaving = False
            if tag in _BLOCKS:
                flush()
            if tag in {"code", "kbd", "samp", "tt"}:
                code_depth -= 1
        if depth == 0:
            break
        if node.next is not None:
            node = node.next
        else:
            node = node.parent
            depth -= 1
            leaving = True
    flush()


def _text_of(node: LexborNode) -> str:
    """The text below a node, scripts and styles excepted. Bounded by the tree: its depth was checked on the way."""
    return "".join(
        child.text_content or ""
        for child in node.traverse(include_text=True)
        if child.tag == "-text" and child.parent is not None and child.parent.tag not in {"script", "style", "template"}
    )


def _note_media(builder: TextBuilder, node: LexborNode, tag: str) -> None:
    url = node.attributes.get("src") or node.attributes.get("data-src") or ""
    if not url and (source := node.css_first("source[src]")) is not None:
        url = source.attributes.get("src") or ""
    builder.media(_MEDIA[tag], url, node.attributes.get("alt") or node.attributes.get("title") or "")


def _links_below(builder: TextBuilder, node: LexborNode) -> None:
    for anchor in node.css("a[href]"):
        text = one_line(_text_of(anchor))
        if text.strip("¶#§ "):
            builder.link(anchor.attributes.get("href") or "", text)


def _is_tabular(table: LexborNode) -> bool:
    """A table of data, not one that lays out a page."""
    return table.css_first("table table, h1, h2, h3, pre, ul, ol, blockquote") is None


def _add_table(builder: TextBuilder, table: LexborNode) -> None:
    header: list[str] = []
    rows: list[list[str]] = []
    for row in table.css("tr"):
        cells = row.css("th, td")
        texts = [_text_of(cell) for cell in cells]
        if not header and not rows and cells and all(cell.tag == "th" for cell in cells):
            header = texts
        elif any(text.strip() for text in texts):
            rows.append(texts)
    builder.table(header, rows)
    _links_below(builder, table)
