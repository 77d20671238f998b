"""References to other works, by identifiers that are plain to see: DOI, arXiv, ISBN, RFC, PEP."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

from resources.content.model import Citation

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["doi", "arxiv", "isbn", "rfc", "pep"]

MAX_CITATIONS: Final = 1_000
# It begins with one set of characters, which the engine looks for in a tight loop.
_CITED = re.compile(
    r"[1aIRP](?:"
    r"(?<=\b1)(?P<doi>0\.\d{4,9}/[^\s\"'<>{}|\\^`]{1,200})"
    r"|(?<=\ba)rXiv:\s?(?P<arxiv>\d{4}\.\d{4,5}(?:v\d{1,2})?|[a-z-]{2,12}(?:\.[A-Z]{2})?/\d{7})"
    r"|(?<=\bI)SBN(?:-1[03])?:?\s(?P<isbn>[0-9][0-9 -]{8,16}[0-9Xx])\b"
    r"|(?<=\bR)FC[ -]?(?P<rfc>\d{1,5})\b"
    r"|(?<=\bP)EP[ -]?(?P<pep>\d{1,4})\b"
    r")"
)
_MARKS = ("10.", "arXiv", "ISBN", "RFC", "PEP")
_ISBN_LENGTHS = frozenset({10, 13})


def citations_in(text: str) -> tuple[Citation, ...]:
    """The works that `text` names, each where it stands first."""
    if not any(mark in text for mark in _MARKS):
        return ()
    found: dict[tuple[Kind, str], Citation] = {}
    for kind, identifier, start, end in _mentions(text):
        if len(found) >= MAX_CITATIONS:
            break
        found.setdefault((kind, identifier), Citation(kind=kind, id=identifier, start=start, end=end))
    return tuple(found.values())


def _mentions(text: str) -> Iterator[tuple[Kind, str, int, int]]:
    for match in _CITED.finditer(text):
        start, end = match.span()
        if match["doi"]:
            doi = match[0].rstrip(".,;:!?)]*_")
            yield "doi", doi, start, start + len(doi)
        elif match["arxiv"]:
            yield "arxiv", match["arxiv"], start, end
        elif match["isbn"]:
            digits = match["isbn"].replace("-", "").replace(" ", "").upper()
            if len(digits) in _ISBN_LENGTHS and _valid_isbn(digits):
                yield "isbn", digits, start, end
        elif match["rfc"]:
            yield "rfc", str(int(match["rfc"])), start, end
        else:
            yield "pep", str(int(match["pep"])), start, end


def _valid_isbn(digits: str) -> bool:
    """Whether the check digit is right (ISO 2108)."""
    values = [10 if digit == "X" else int(digit) for digit in digits]
    if len(digits) == 10:  # noqa: PLR2004 - ISBN-10
        return sum(value * (10 - index) for index, value in enumerate(values)) % 11 == 0
    return sum(value * (1 + 2 * (index % 2)) for index, value in enumerate(values)) % 10 == 0
