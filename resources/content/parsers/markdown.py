"""CommonMark with tables, strikethrough and YAML front matter (markdown-it-py). HTML within is read as HTML."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

from resources.content.model import MediaType, ParsedDocument
from resources.content.parsers import html
from resources.content.parsers.base import ParseLimits, TextBuilder, broken, clean, one_line
from resources.content.parsers.encoding import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_WORD = re.compile(r"[A-Za-z]+")
_FRONT_KEY = re.compile(r"^([A-Za-z][\w-]{0,40}):[ \t]*(.*)$")
_TITLE_KEYS, _AUTHOR_KEYS = ("title",), ("author", "authors")
_DIRECTIVE = re.compile(r"^\[![A-Z]+\]\s*")


@functools.cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt
    from mdit_py_plugins.front_matter import front_matter_plugin

    return (
        MarkdownIt("commonmark", {"html": True, "maxNesting": 100})
        .enable(["table", "strikethrough"])
        .use(front_matter_plugin)
    )


def parse(content: bytes, *, limits: ParseLimits) -> ParsedDocument:
    """Read Markdown. Anything is Markdown, so that this fails for what is not text, or holds none."""
    decoded = decode(content)
    try:
        tokens = _markdown().parse(clean(decoded.text))
    except (RecursionError, ValueError, IndexError) as error:
        raise broken("Markdown", error) from error
    builder = TextBuilder(limits)
    front = _front_matter(tokens)
    _Walker(builder).walk(tokens)
    metadata: dict[str, Any] = {"front_matter": front} if front else {}
    if decoded.replaced:
        metadata["replaced_characters"] = decoded.replaced
    return builder.build(
        MediaType.MARKDOWN,
        title=next((front[key] for key in _TITLE_KEYS if front.get(key)), None),
        author=next((front[key] for key in _AUTHOR_KEYS if front.get(key)), None),
        encoding=decoded.encoding,
        metadata=metadata,
    )


def _front_matter(tokens: Sequence[Token]) -> dict[str, str]:
    """The plain `key: value` lines; YAML beyond these is not interpreted (no aliases, no tags, no bombs)."""
    if not tokens or tokens[0].type != "front_matter":
        return {}
    pairs = (_FRONT_KEY.match(line) for line in tokens[0].content.splitlines()[:200])
    return {pair[1].lower(): one_line(pair[2]).strip("\"'")[:1000] for pair in pairs if pair and pair[2].strip()}


class _Walker:
    """Turns the flat list of tokens into blocks."""

    def __init__(self, builder: TextBuilder) -> None:
        self._builder = builder
        self._tight = False

    def walk(self, tokens: Sequence[Token]) -> None:
        position = 0
        while position < len(tokens):
            token = tokens[position]
            if token.type == "heading_open":
                text, _ = self._inline(tokens[position + 1])
                self._builder.heading(text, int(token.tag[1]))
                position += 3
                continue
            if token.type == "table_open":
                position = self._table(tokens, position)
                continue
            self._block(token)
            position += 1

    def _block(self, token: Token) -> None:
        match token.type:
            case "list_item_open":
                self._tight = True
            case "inline":
                text, code = self._inline(token)
                self._builder.block(text, tight=self._tight, spans=code)
                self._tight = False
            case "fence" | "code_block":
                self._builder.block(token.content.rstrip(), code=True)
                self._tight = False
            case "html_block":
                html.add_fragment(self._builder, token.content)

    def _inline(self, token: Token) -> tuple[str, list[tuple[int, int]]]:
        """The text of a paragraph and where code stands in it. Images speak through the links around them only."""
        parts: list[str] = []
        code: list[tuple[int, int]] = []
        length = 0
        link: tuple[str, int] | None = None
        for child in token.children or ():
            text = ""
            match child.type:
                case "text":
                    text = child.content
                    if link is None and ("://" in text or "www." in text):
                        self._builder.links_in(text)
                case "code_inline":
                    text = child.content
                    if not _WORD.fullmatch(text):
                        code.append((length, length + len(text)))
                case "softbreak":
                    text = " "
                case "hardbreak":
                    text = "\n"
                case "link_open":
                    link = (str(child.attrs.get("href", "")), len(parts))
                case "link_close" if link is not None:
                    self._builder.link(link[0], "".join(parts[link[1] :]))
                    link = None
                case "image":
                    self._builder.media("image", str(child.attrs.get("src", "")), child.content)
                case "html_inline" if child.content[:4].lower() in {"<br>", "<br/", "<br "}:
                    text = "\n"
            parts.append(text)
            length += len(text)
        text = "".join(parts)
        stripped = text.lstrip()
        shift = len(text) - len(stripped)
        if marker := _DIRECTIVE.match(stripped):
            shift += marker.end()
            stripped = stripped[marker.end() :]
        stripped = stripped.rstrip()
        spans = [(max(0, start - shift), min(end - shift, len(stripped))) for start, end in code]
        return stripped, [(start, end) for start, end in spans if start < end]

    def _table(self, tokens: Sequence[Token], position: int) -> int:
        """Read the table that opens at `position`; returns the position behind it."""
        header: list[str] = []
        rows: list[list[str]] = []
        row: list[str] = []
        while position < len(tokens) and tokens[position].type != "table_close":
            token = tokens[position]
            match token.type:
                case "tr_open":
                    row = []
                case "inline":
                    row.append(self._inline(token)[0])
                case "tr_close":
                    rows.append(row)
                case "thead_close":
                    header, rows = (rows[0] if rows else []), []
            position += 1
        self._builder.table(header, rows)
        return position + 1
