"""What every parser shares: its signature, its limits, and the builder that keeps offsets right.

A parser is a function of the bytes: it reads nothing else, and raises InvalidInputError or LimitExceededError only. All text
that leaves the builder can be stored as JSON in PostgreSQL: no NUL, no control character, no lone surrogate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import urlsplit

from resources.content.citations import citations_in
from resources.content.model import Link, Media, MediaType, ParsedDocument, Section, Table
from resources.errors import InvalidInputError, LimitExceededError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import IO

EMPTY = "document_empty"
TOO_LARGE = "CONTENT_TOO_LARGE"
UNSUPPORTED = "UNSUPPORTED_FORMAT"
PARSE_ERROR = "PARSE_ERROR"
ENCRYPTED = "document_encrypted"
TOO_DEEP = "document_nested_too_deep"
BINARY = "document_binary"
BOMB = "document_bomb"
TIMED_OUT = "TIMEOUT"
DUPLICATE = "duplicate_document"
MISMATCH = "content_type_mismatch"

MAX_LINKS = 5_000
MAX_TABLES = 500
MAX_MEDIA = 1_000
MAX_CELLS = 50_000
MAX_TITLE = 300

_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\ufffe\uffff\ud800-\udfff]")
_URL = re.compile(r"\b(?:https?://|www\.)[^\s<>\"'`\[\]{}|\\^]+", re.IGNORECASE)
_URL_TAIL = ".,;:!?)*_"
_FILES = "(?:pdf|zip|gz|tar|docx?|xlsx?|pptx?|epub|csv|mp[34])"
_FILE = re.compile(rf"\.{_FILES}$", re.IGNORECASE)
_UNUSUAL = re.compile(rf"[^!-\-/-Z\\^-~](?:(?<=[^.])|{_FILES})")
"""What few addresses hold: a sign that is rare in one, or the ending of a file, in lower case."""


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """How much of one document is too much. `timeout` is in seconds, for the whole of one parse.

    `max_ratio` is how many bytes one byte of an archive may unpack to (DEFLATE reaches 1,032; office documents stay below 100).
    """

    max_bytes: int = 10 * 1024 * 1024
    max_depth: int = 200
    max_pages: int = 2000
    max_chars: int = 20_000_000
    max_ratio: float = 200.0
    timeout: float = 30.0


class Parser(Protocol):
    """Reads one format."""

    def __call__(self, content: bytes, *, limits: ParseLimits) -> ParsedDocument:
        """The document. Raises InvalidInputError or LimitExceededError with one of the codes above."""


class FileParser(Protocol):
    """Reads one format from a file that stands at its beginning, without holding all of it."""

    def __call__(self, file: IO[bytes], *, limits: ParseLimits) -> ParsedDocument:
        """The document. Raises InvalidInputError or LimitExceededError with one of the codes above."""


def clean(text: str) -> str:
    """`text` with Unix line ends and without control characters; lone surrogates become U+FFFD."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii() and text.isprintable():
        return text
    return _UNWANTED.sub(_replacement, text)


def is_clean(text: str) -> bool:
    """Whether `clean` would leave it as it is."""
    return (text.isascii() and text.isprintable()) or _UNWANTED.search(text) is None


def _replacement(match: re.Match[str]) -> str:
    character = match[0]
    if "\ud800" <= character <= "\udfff":
        return "\N{REPLACEMENT CHARACTER}"
    return " " if character in "\x0b\x0c\x1c\x1d\x1e\x1f\x85" else ""


def one_line(text: str) -> str:
    """`text` clean and on one line, outer space removed."""
    if text.isascii() and text.isprintable():
        return " ".join(text.split()) if text[:1] == " " or text[-1:] == " " or "  " in text else text
    return " ".join(clean(text).split())


def classify_link(url: str, text: str = "") -> Link | None:
    """The link with its kind, or None for what leads nowhere (`javascript:`, `data:`, an empty one)."""
    url = one_line(url)[:2048]
    lowered = url.lower()
    if not url or lowered.startswith(("javascript:", "data:", "vbscript:", "about:")):
        return None
    text = one_line(text)[:MAX_TITLE]
    if lowered.startswith("mailto:"):
        return Link(kind="email", url=url, text=text)
    if lowered.startswith("tel:"):
        return Link(kind="phone", url=url, text=text)
    is_file = False
    if _UNUSUAL.search(lowered):  # else it is an address, and one of no file, without taking it apart
        try:
            is_file = _FILE.search(urlsplit(url).path) is not None
        except ValueError:
            return None
    if is_file or lowered.startswith("file:"):
        return Link(kind="file", url=url, text=text)
    external = lowered.startswith(("http://", "https://", "ftp://", "//", "www."))
    return Link(kind="external" if external else "internal", url=url, text=text)


def too_deep(max_depth: int) -> InvalidInputError:
    """The error for a document whose nesting exceeds the limit."""
    return InvalidInputError(
        f"The document nests deeper than {max_depth} levels. Flatten it, or raise AIW_CONTENT__MAX_DEPTH.",
        code=TOO_DEEP,
        max_depth=max_depth,
    )


def broken(format_name: str, reason: object) -> InvalidInputError:
    """The error for a document that is not what its format asks for."""
    return InvalidInputError(
        f"The document is not valid {format_name}: {one_line(str(reason))[:300]}", code=PARSE_ERROR
    )


@dataclass(slots=True)
class TextBuilder:
    """Collects blocks of text, separated by blank lines, and knows where each heading and piece of code stands."""

    limits: ParseLimits
    _parts: list[str] = field(default_factory=list)
    _length: int = 0
    _headings: list[tuple[str, int, int]] = field(default_factory=list)
    _code: list[tuple[int, int]] = field(default_factory=list)
    _links: dict[tuple[str, str], Link] = field(default_factory=dict)
    _tables: list[Table] = field(default_factory=list)
    _media: dict[str, Media] = field(default_factory=dict)
    _cells: int = 0

    def __len__(self) -> int:
        return self._length

    def block(
        self, text: str, *, code: bool = False, tight: bool = False, spans: Sequence[tuple[int, int]] = ()
    ) -> int:
        """Add a block and return its offset; `tight` = no blank line before. `spans` are pieces of code within `text`."""
        if not spans:
            text = clean(text)
        if not text or text.isspace():
            return self._length
        if self._parts:
            separator = "\n" if tight else "\n\n"
            self._parts.append(separator)
            self._length += len(separator)
        start = self._length
        self._parts.append(text)
        self._length += len(text)
        if self._length > self.limits.max_chars:
            raise LimitExceededError(
                f"The document unpacks to more than {self.limits.max_chars:,} characters of text. Split it.",
                code=TOO_LARGE,
                max_chars=self.limits.max_chars,
            )
        if code:
            self._code.append((start, self._length))
        if spans:
            self._code += [(start + first, start + last) for first, last in spans]
        return start

    def heading(self, title: str, level: int) -> None:
        """Add a heading on its own line; a section begins."""
        title = one_line(title)
        if title:
            start = self.block(title)
            self._headings.append((title[:MAX_TITLE], min(max(level, 1), 6), start))

    def mark_section(self, title: str, level: int, start: int) -> None:
        """A section begins at `start`, where text already stands. Calls come in order of `start`."""
        title = one_line(title)
        if title:
            self._headings.append((title[:MAX_TITLE], min(max(level, 1), 6), start))

    def link(self, url: str, text: str = "") -> None:
        """Note a link, once."""
        if len(self._links) < MAX_LINKS and (link := classify_link(url, text)) is not None:
            self._links.setdefault((link.url, link.text), link)

    def media(self, kind: Literal["image", "video", "audio"], url: str, text: str = "") -> None:
        """Note a picture, film or sound that the document shows, once. What is embedded in the address itself has no address."""
        url = one_line(url[:2100])[:2048]
        if url.lower().startswith("data:"):
            url = url.partition(",")[0][:100]
        if url and len(self._media) < MAX_MEDIA:
            self._media.setdefault(url, Media(kind=kind, url=url, text=one_line(text)[:MAX_TITLE]))

    def links_in(self, text: str) -> None:
        """Note the addresses that are written out in `text`."""
        for match in _URL.finditer(text):
            if len(self._links) >= MAX_LINKS:
                return
            self.link(match[0].rstrip(_URL_TAIL))

    def table(self, header: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
        """Note a table, and add its rows to the text, one a line."""
        table = self.note_table(header, rows)
        lines = (" | ".join(row).strip(" |") for row in (table.header, *table.rows))
        self.block("\n".join(line for line in lines if line))

    def note_table(self, header: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
        """Note a table whose text stands elsewhere. What is too much to keep is not kept as a table."""
        table = Table(
            header=tuple(one_line(cell) for cell in header),
            rows=tuple(tuple(one_line(cell) for cell in row) for row in rows),
        )
        cells = len(table.header) + sum(len(row) for row in table.rows)
        if len(self._tables) < MAX_TABLES and self._cells + cells <= MAX_CELLS and cells:
            self._cells += cells
            self._tables.append(table)
        return table

    def build(
        self,
        media_type: MediaType,
        *,
        title: str | None = None,
        author: str | None = None,
        encoding: str | None = None,
        pages: int | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> ParsedDocument:
        """The document. Raises InvalidInputError when there is no text in it."""
        if not self._parts:
            raise InvalidInputError("The document holds no text.", code=EMPTY)
        text = "".join(self._parts)
        return ParsedDocument(
            media_type=media_type,
            text=text,
            title=one_line(title or "")[:MAX_TITLE] or self._first_title(),
            author=one_line(author or "")[:MAX_TITLE] or None,
            encoding=encoding,
            pages=pages,
            sections=_sections(self._headings, end=len(text)),
            links=tuple(self._links.values()),
            citations=citations_in(text),
            media=tuple(self._media.values()),
            tables=tuple(self._tables),
            code=tuple(sorted(self._code)),
            metadata=metadata or {},
        )

    def _first_title(self) -> str | None:
        if not self._headings:
            return None
        top = min(level for _, level, _ in self._headings[:3])
        return next(title for title, level, _ in self._headings if level == top)


def _sections(headings: list[tuple[str, int, int]], *, end: int) -> tuple[Section, ...]:
    """Close each section where the next heading of the same or a higher level begins."""
    ends = [end] * len(headings)
    open_sections: list[int] = []
    for index, (_, level, start) in enumerate(headings):
        while open_sections and headings[open_sections[-1]][1] >= level:
            ends[open_sections.pop()] = start
        open_sections.append(index)
    return tuple(
        Section(title=title, level=level, start=start, end=ends[index])
        for index, (title, level, start) in enumerate(headings)
    )
