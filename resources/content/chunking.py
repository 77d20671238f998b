"""Documents cut into passages, along their structure: sections first, then paragraphs, then sentences, then words.

A chunk never reaches from one section into another, unless the section is too small to stand alone. Neighbours within a section
share up to `overlap` characters, so that a thought cut in two is found whole. Offsets are exact: `text[start:end] == chunk.text`.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from resources.content.model import Chunk, sha256_of
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from resources.content.model import ParsedDocument

VERSION = "1"
_BREAKS: tuple[re.Pattern[str], ...] = (
    re.compile(r"\n\s*\n"),
    re.compile(r"\n"),
    re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+|(?<=[。！？])"),
    re.compile(r"\s+"),
)
"""Where to cut, best first: between paragraphs, lines, sentences, words."""

_JOINERS = re.compile("[\u0300-\u036f\u200d\u20d0-\u20ff\ufe00-\ufe0f\U0001f3fb-\U0001f3ff]")
_SMALL_SHARE = 4


def chunk(parsed: ParsedDocument, *, target: int = 1000, overlap: int = 100) -> list[Chunk]:
    """The passages in order, each of at most `target` characters and never blank.

    Raises InvalidInputError unless 0 <= overlap < target.
    """
    if not 0 <= overlap < target:
        raise InvalidInputError(
            f"Chunks of {target} characters cannot overlap by {overlap}: the overlap must be smaller, and not negative.",
            code="chunking_invalid",
        )
    text = parsed.text
    chunks: list[Chunk] = []
    for start, end, title in _segments(parsed, target):
        for first, last in _passages(text, start, end, target, overlap):
            passage = text[first:last]
            chunks.append(
                Chunk(
                    ordinal=len(chunks),
                    text=passage,
                    start=first,
                    end=last,
                    section=title,
                    sha256=sha256_of(passage.encode("utf-8", "surrogatepass")),
                )
            )
    return chunks


def _segments(parsed: ParsedDocument, target: int) -> Iterator[tuple[int, int, str | None]]:
    """Ranges between headings. One smaller than a quarter of the target takes in what follows, if all fits into one chunk."""
    length = len(parsed.text)
    titles: dict[int, str | None] = {0: None}
    for section in parsed.sections:
        if 0 <= section.start < length:
            titles[section.start] = section.title
    edges = [*sorted(titles), length]
    open_start, open_title = 0, titles[0]
    for start, end in pairwise(edges):
        if start - open_start >= target // _SMALL_SHARE or end - open_start > target:
            if start > open_start:
                yield open_start, start, open_title
            open_start, open_title = start, titles[start]
        elif open_title is None or not parsed.text[open_start:start].strip():
            open_title = titles[start]
    if length > open_start:
        yield open_start, length, open_title


def _passages(text: str, start: int, end: int, target: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Fill passages greedily, each up to the best break before the target."""
    position, end = _trim(text, start, end)
    while position < end:
        stop = end if end - position <= target else _cut(text, position, position + target)
        first, last = _trim(text, position, stop)
        if first < last:
            yield first, last
        if stop >= end:
            return
        position = _step_back(text, first, stop, overlap)


def _cut(text: str, start: int, limit: int) -> int:
    """The last good break in `text[start:limit]`, not in its first half; any place if there is none."""
    for pattern in _BREAKS:
        best = -1
        for match in pattern.finditer(text, start + (limit - start) // 2, limit):
            best = match.end()
        if best > start:
            return best
    return _between_characters(text, start, limit)


def _between_characters(text: str, start: int, limit: int) -> int:
    """`limit`, or a little less, so that a letter keeps its accent and an emoji its parts."""
    cut = limit
    while cut > start + 1 and cut < len(text) and (_JOINERS.match(text[cut]) or text[cut - 1] == "\u200d"):
        cut -= 1
    return cut if cut > start + 1 else limit


def _step_back(text: str, start: int, stop: int, overlap: int) -> int:
    """Where the next passage begins: at most `overlap` before `stop`, at a sentence or else at a word."""
    earliest = max(start + 1, stop - overlap)
    if not overlap or earliest >= stop:
        return stop
    for pattern in _BREAKS[1:]:
        match = pattern.search(text, earliest, stop)
        if match is not None and match.end() < stop:
            return match.end()
    return stop


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    """The range without white space at its ends."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def same_passages(before: Sequence[Chunk], after: Sequence[Chunk]) -> bool:
    """Whether nothing about the passages has changed."""
    return list(before) == list(after)
