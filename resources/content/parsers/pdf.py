"""PDF (PDFium, through pypdfium2): the text of each page, the outline as sections, author and title.

PDFium is C++ fed with hostile files: this parser always runs in the killable child process (see sandbox.py). A scanned
document has no text; saying so is better than an empty entry in the index.
"""

from __future__ import annotations

import re
from typing import Any

from resources.content.model import MediaType, ParsedDocument
from resources.content.parsers.base import ENCRYPTED, TOO_LARGE, ParseLimits, TextBuilder, broken, clean, one_line
from resources.errors import InvalidInputError, LimitExceededError

_HYPHEN_BREAK = re.compile(r"(?<=[^\W\d_])(?:\ufffe|\x02|\xad|-)\r?\n(?=[a-zß-ÿ])|\ufffe\r?\n?|\x02\r?\n?")
_SOFT_BREAK = re.compile(r"(?<![.!?:;\n])\n(?=[a-zß-ÿ(])")
_MAX_OUTLINE = 2_000


def parse(content: bytes, *, limits: ParseLimits) -> ParsedDocument:
    """Read a PDF. Raises InvalidInputError for a broken, protected or textless one, LimitExceededError for too many pages."""
    import pypdfium2

    try:
        pdf = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower() or "security" in str(error).lower():
            raise InvalidInputError(
                "The PDF is protected by a password. Send it without one.", code=ENCRYPTED
            ) from error
        raise broken("PDF", error) from error
    try:
        return _read(pdf, limits)
    except pypdfium2.PdfiumError as error:
        raise broken("PDF", error) from error
    finally:
        pdf.close()


def _read(pdf: Any, limits: ParseLimits) -> ParsedDocument:
    pages = len(pdf)
    if pages > limits.max_pages:
        raise LimitExceededError(
            f"The PDF has {pages:,} pages; {limits.max_pages:,} are accepted. Split it.",
            code=TOO_LARGE,
            pages=pages,
            max_pages=limits.max_pages,
        )
    builder = TextBuilder(limits)
    starts: list[int] = []
    texts: list[str] = []
    for number in range(pages):
        text = _page_text(pdf, number)
        starts.append(builder.block(text) if text else len(builder))
        texts.append(text)
        builder.links_in(text)
    for title, level, start in _outline(pdf, starts, texts):
        builder.mark_section(title, level, start)
    info = pdf.get_metadata_dict(skip_empty=True)
    return builder.build(
        MediaType.PDF,
        title=info.get("Title") or _first_line(texts),
        author=info.get("Author"),
        pages=pages,
        metadata={
            "page_starts": starts,
            **{
                key.lower(): one_line(info[key])[:500]
                for key in ("Subject", "Keywords", "Creator", "Producer", "CreationDate")
                if key in info
            },
        },
    )


def _page_text(pdf: Any, number: int) -> str:
    page = pdf.get_page(number)
    try:
        text_page = page.get_textpage()
        try:
            text = str(text_page.get_text_bounded())
        finally:
            text_page.close()
    finally:
        page.close()
    text = _HYPHEN_BREAK.sub("", text)
    return _SOFT_BREAK.sub(" ", clean(text)).strip()


def _outline(pdf: Any, starts: list[int], texts: list[str]) -> list[tuple[str, int, int]]:
    """The bookmarks: each where its title stands on its page, or else where the page begins."""
    found: list[tuple[str, int, int]] = []
    last = 0
    for item in pdf.get_toc(max_depth=6):
        if len(found) >= _MAX_OUTLINE:
            break
        destination = item.get_dest()
        page = destination.get_index() if destination is not None else None
        title = one_line(item.get_title() or "")
        if page is None or not title or not 0 <= page < len(starts):
            continue
        at = texts[page].find(title)
        last = max(last, starts[page] + max(at, 0))
        found.append((title, item.level + 1, last))
    return found


def _first_line(texts: list[str]) -> str | None:
    line = next((text.split("\n", 1)[0] for text in texts if text), "")
    return line if 3 <= len(line) <= 120 else None  # noqa: PLR2004 - the length of a title
