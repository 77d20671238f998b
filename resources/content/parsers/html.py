"""HTML by the rules of browsers (lexbor, through selectolax): headings, paragraphs, lists, code, tables, links.

Scripts, styles and navigation are left out. The tree is walked with a stack of our own. Building a tree is quadratic in its
depth in lexbor (measured: 300,000 open elements take minutes), so that the depth of tags is counted before.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from resources.content.model import MediaType, ParsedDocument
from resources.content.parsers.base import ParseLimits, TextBuilder, is_clean, one_line, too_deep
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
_BLOCK_TAGS = frozenset(
    {"address", "article", "aside", "blockquote", "body", "center", "dd", "details", "div", "dl", "dt", "fieldset"}
    | {"figcaption", "figure", "footer", "header", "hgroup", "hr", "html", "li", "main", "nav", "ol", "p", "section"}
    | {"summary", "ul", "caption", "tbody", "thead", "tfoot", "tr", "td", "th"}
)
_TIGHT_TAGS = frozenset({"li", "dd", "dt", "tr", "summary"})
_VOID = frozenset(
    b"area base br col embed hr img input link meta param source track wbr p li dd dt tr td th option tbody thead".split()
)
_TAG = re.compile(rb"<(/?)([A-Za-z][A-Za-z0-9:-]*)")
_CODE_TAGS = frozenset({"code", "kbd", "samp", "tt"})
_SPECIAL_TAGS = frozenset({"br", "pre", "table", "a"}) | _HEADINGS.keys() | _MEDIA.keys()
_CODE, _BLOCK, _TIGHT, _SPECIAL = 1, 2, 4, 8
_KINDS = {
    tag: _CODE * (tag in _CODE_TAGS)
    + _BLOCK * (tag in _BLOCK_TAGS)
    + _TIGHT * (tag in _TIGHT_TAGS)
    + _SPECIAL * (tag in _SPECIAL_TAGS)
    for tag in _CODE_TAGS | _BLOCK_TAGS | _SPECIAL_TAGS
}
"""What a tag is, as bits, so that each element is looked up once. None is both a block and special."""
_SPACE = re.compile(r"\s+")
_MANY_TAGS = 5_000
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
    language = (tree.root.attrs.get("lang") or "") if tree.root is not None else ""
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
    tree = LexborHTMLParser(text)
    if "hidden" in text.lower():
        for node in tree.css("[hidden]"):
            node.decompose()
    return tree


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
        key = (node.attrs.get("name") or node.attrs.get("property") or "").lower()
        value = one_line(node.attrs.get("content") or "")[:1000]
        if key and value:
            found.setdefault(key, value)
    return found


class _Run:
    """The inline text since the last block began."""

    __slots__ = ("_builder", "_code", "_parts", "ends_in_space", "length", "tight")

    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self._parts: list[str] = []
        self._code: list[tuple[int, int]] = []
        self.ends_in_space = True
        self.length = 0
        self.tight = False

    def add(self, text: str, *, code: bool) -> None:
        """`text` is more than space, unless space counts here."""
        if "  " in text or not text.isprintable():
            text = _SPACE.sub(" ", text)
        if self.ends_in_space:
            text = text.lstrip()
        start = self.length
        self.length = end = start + len(text)
        if code and not _is_word(text.strip()):
            self._code.append((start, end))
        self._parts.append(text)
        self.ends_in_space = text[-1] == " "

    def line_break(self) -> None:
        if self.length:
            self._parts.append("\n")
            self.length += 1
            self.ends_in_space = True

    def flush(self) -> None:
        """The block ends here."""
        if self.length:
            text = "".join(self._parts).rstrip()
            size = len(text)
            if self._code and is_clean(text):
                code = [(start, min(end, size)) for start, end in self._code if start < size]
                self._builder.block(text, tight=self.tight, spans=code)
            elif text:
                self._builder.block(text, tight=self.tight)
            self._parts, self._code, self.length, self.ends_in_space = [], [], 0, True
        self.tight = False


def _is_word(text: str) -> bool:
    return text.isascii() and text.isalpha()


def add_tree(builder: TextBuilder, root: LexborNode | None, *, dropped: frozenset[str]) -> None:
    """Add what a reader of the page would see, in order. Iterative: enter a node, its children, leave it.

    The nodes that are open are kept here, with their tags: asking the tree for a parent or a tag costs more than all the rest.
    """
    run = _Run(builder)
    max_depth = builder.limits.max_depth
    code_depth = 0
    open_nodes: list[tuple[LexborNode, int]] = [] if root is None else [(root, _KINDS.get(root.tag or "", 0))]
    node = None if root is None else root.child
    while open_nodes:
        while node is None and open_nodes:
            left, kind = open_nodes.pop()
            if kind:
                if kind & _BLOCK:
                    if run.length:
                        run.flush()
                    run.tight = False
                code_depth -= kind & _CODE
            node = left.next if open_nodes else None
        if node is None:
            break
        tag = node.tag or ""
        if tag == "-text":
            text = node.text_content
            if text and not (run.ends_in_space and text.isspace()):
                run.add(text, code=code_depth > 0)
        elif tag not in dropped:
            kind = _KINDS.get(tag, 0)
            child = node.child if not kind & _SPECIAL or _special(builder, run, node, tag) else None
            if child is not None:
                if kind:
                    if kind & _BLOCK:
                        if run.length:
                            run.flush()
                        run.tight = kind & _TIGHT != 0
                    code_depth += kind & _CODE
                open_nodes.append((node, kind))
                if len(open_nodes) > max_depth:
                    raise too_deep(max_depth)
                node = child
                continue
        node = node.next
    run.flush()


def _special(builder: TextBuilder, run: _Run, node: LexborNode, tag: str) -> bool:
    """What is more than its children. Whether these are to be read still."""
    if tag == "br":
        run.line_break()
    elif tag == "pre":
        run.flush()
        builder.block(_text_of(node).strip("\n").rstrip(), code=True)
    elif tag in _HEADINGS:
        run.flush()
        builder.heading(_text_of(node).rstrip().rstrip("¶"), _HEADINGS[tag])
        _links_below(builder, node)
    elif tag in _MEDIA:
        _note_media(builder, node, tag)
    elif tag == "table" and _is_tabular(node):
        run.flush()
        _add_table(builder, node)
    else:
        if tag == "a":
            builder.link(node.attrs.get("href") or "", _text_of(node))
        return True
    return False


def _text_of(node: LexborNode) -> str:
    """The text below a node, scripts and styles excepted. Bounded by the tree: its depth was checked on the way."""
    child = node.child
    if child is not None and child.next is None and child.tag == "-text":
        return child.text_content or ""
    return "".join(
        child.text_content or ""
        for child in node.traverse(include_text=True)
        if child.tag == "-text" and child.parent is not None and child.parent.tag not in {"script", "style", "template"}
    )


def _note_media(builder: TextBuilder, node: LexborNode, tag: str) -> None:
    url = node.attrs.get("src") or node.attrs.get("data-src") or ""
    if not url and (source := node.css_first("source[src]")) is not None:
        url = source.attrs.get("src") or ""
    builder.media(_MEDIA[tag], url, node.attrs.get("alt") or node.attrs.get("title") or "")


def _links_below(builder: TextBuilder, node: LexborNode) -> None:
    for anchor in node.traverse():
        if anchor.tag == "a" and (text := one_line(_text_of(anchor))).strip("¶#§ "):
            builder.link(anchor.attrs.get("href") or "", text)


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
