"""Bytes to text: byte order marks, declared encodings, UTF-8, UTF-16 without a mark, and what else can be recognised.

A few bad bytes in otherwise good text are replaced by U+FFFD and counted; bytes that are no text are refused. Order: BOM,
encoding declared within the document, strict UTF-8, UTF-16 by its zero bytes, damaged UTF-8, Windows-1252, and last
charset-normalizer's guess (which is slow, and wrong on little text).
"""

from __future__ import annotations

import codecs
import io
import re
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final

from resources.content.parsers.base import BINARY
from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

HELD: Final = 4 * 1024 * 1024
"""Bytes up to which a document is decoded at once; of a larger one the beginning tells the encoding."""
_PIECE: Final = 1024 * 1024
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(
    rb"""<\?xml[^>]{0,80}?encoding=["']([A-Za-z0-9._-]{2,30})["']|<meta[^>]{0,200}?charset=["']?([A-Za-z0-9._-]{2,30})""",
    re.IGNORECASE,
)
_CONTROL = bytes(set(range(32)) - {9, 10, 12, 13, 27})
_SAMPLE = 64 * 1024
_BAD_SHARE = 0.005
_LEAST_VARIETY = 6
_GOOD_LETTER = re.compile("[À-ÖØ-öø-ÿŒœŠšŸŽžƒ‘’“”‚„…–—•€£¥§©®°±²³µ·¼½¾¿¡«»ºª´™\xa0]")


@dataclass(frozen=True, slots=True)
class Decoded:
    """Text, the encoding it was in, and how many undecodable places became U+FFFD."""

    text: str
    encoding: str
    replaced: int = 0


def decode(content: bytes) -> Decoded:
    """The bytes as text. Raises InvalidInputError with the code document_binary when they are not text."""
    for bom, name in _BOMS:
        if content.startswith(bom):
            return _lenient(content[len(bom) :], name)
    declared = _DECLARED.search(content, 0, 2048)
    if declared is not None and (found := _by_declaration(content, (declared[1] or declared[2]).decode())) is not None:
        return found
    if b"\x00" not in content:
        try:
            text = content.decode()
        except UnicodeDecodeError:
            return _guess(content)
        if _controls(content) > _allowed_controls(content):
            raise _not_text("control characters")
        return Decoded(text, "utf-8")
    return _utf16_without_bom(content)


@dataclass(frozen=True, slots=True)
class OpenText:
    """A document's text to be read from `file`, line ends as they are; `large` = not all of it is in memory."""

    file: io.TextIOBase
    encoding: str
    replaced: int
    large: bool

    def pieces(self) -> Iterator[str]:
        """All of it, from where the file stands."""
        while piece := self.file.read(_PIECE):
            yield piece


def open_text(content: IO[bytes], *, newline: str | None = "") -> OpenText:
    """The file as text. Raises what `decode` raises. With `newline=None` all line ends become Unix ones.

    A large file is read through once to see that it is text to its end, in pieces. Where it is not in the encoding that its
    beginning is in, it is decoded as a whole after all.
    """
    head = content.read(HELD + 1)
    if len(head) <= HELD:
        decoded = decode(head)
        return OpenText(io.StringIO(decoded.text, newline), decoded.encoding, decoded.replaced, large=False)
    encoding = decode(_whole_lines(head)).encoding
    replaced = _replaced(content, encoding)
    content.seek(0)
    if replaced is None:
        decoded = decode(content.read())
        return OpenText(io.StringIO(decoded.text, newline), decoded.encoding, decoded.replaced, large=True)
    content.seek(next((len(bom) for bom, name in _BOMS if name == encoding and head.startswith(bom)), 0))
    file = io.TextIOWrapper(content, encoding=encoding, errors="replace", newline=newline)
    return OpenText(file, encoding, replaced, large=True)


def _whole_lines(head: bytes) -> bytes:
    """Without what a cut may have left of a character. Units of UTF-16 and UTF-32 are whole: the length is a multiple of four."""
    head = head[:HELD]
    end = head.rfind(b"\n") + 1
    if end and b"\x00" not in head:
        return head[:end]
    back = next((back for back in range(1, 4) if head[-back] >= 0xC0), 0)  # noqa: PLR2004 - the first byte of a character
    return head[: len(head) - back] if b"\x00" not in head else head


def _replaced(content: IO[bytes], encoding: str) -> int | None:
    """How many places of the whole file cannot be decoded; None when they, or control characters, are too many."""
    content.seek(0)
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    read = replaced = controls = 0
    wide = encoding.startswith(("utf-16", "utf-32"))
    while piece := content.read(_PIECE):
        read += len(piece)
        replaced += decoder.decode(piece).count("\N{REPLACEMENT CHARACTER}")
        controls += 0 if wide else _controls(piece)
    return replaced if replaced <= max(3, read * _BAD_SHARE) and controls <= max(1.0, read * 0.002) else None


def _lenient(content: bytes, encoding: str) -> Decoded:
    text = content.decode(encoding, "replace")
    replaced = text.count("\N{REPLACEMENT CHARACTER}")
    strange = text.count("\x00") + sum(text.count(chr(control)) for control in _CONTROL)
    if max(replaced, strange) > max(3, len(text) * 0.01):
        raise _not_text(f"bytes that are not valid {encoding}")
    return Decoded(text, encoding, replaced)


def _by_declaration(content: bytes, name: str) -> Decoded | None:
    try:
        encoding = codecs.lookup(name).name
        text = content.decode(encoding)
    except (LookupError, UnicodeError, ValueError):
        return None
    if not isinstance(text, str) or encoding.startswith(("utf-16", "utf-32", "utf-7")):
        return None  # a declaration that could be read as ASCII is not in UTF-16; codecs such as hex give no text
    return Decoded(text, encoding) if _controls(content) <= _allowed_controls(content) else None


def _utf16_without_bom(content: bytes) -> Decoded:
    sample = content[:_SAMPLE]
    pairs = len(sample) // 2
    even_zeros, odd_zeros = sample[0::2].count(0), sample[1::2].count(0)
    if pairs >= 4:  # noqa: PLR2004 - too short to tell
        if odd_zeros > 0.4 * pairs and even_zeros < 0.05 * pairs:
            return _lenient(content, "utf-16-le")
        if even_zeros > 0.4 * pairs and odd_zeros < 0.05 * pairs:
            return _lenient(content, "utf-16-be")
    if content.count(0) <= max(1, len(content) // 100_000):
        return _guess(content)
    raise _not_text("zero bytes")


def _guess(content: bytes) -> Decoded:
    if _controls(content) > _allowed_controls(content):
        raise _not_text("control characters")
    text = content.decode("utf-8", "replace")
    bad = text.count("\N{REPLACEMENT CHARACTER}")
    multibyte = sum(1 for character in text[:_SAMPLE] if character > "\x7f") - text.count(
        "\N{REPLACEMENT CHARACTER}", 0, _SAMPLE
    )
    if bad <= max(3, len(content) * _BAD_SHARE) and multibyte > 0:
        return Decoded(text, "utf-8", bad)
    western = _windows_1252(content)
    if western is not None:
        return western
    if bad <= max(3, len(content) * _BAD_SHARE):
        return Decoded(text, "utf-8", bad)
    return _recognised(content)


def _windows_1252(content: bytes) -> Decoded | None:
    """Western text: few letters beyond ASCII, and those that Western languages use."""
    try:
        text = content.decode("cp1252")
    except UnicodeDecodeError:
        return None
    beyond = len(text) - len(text.encode("ascii", "ignore"))
    letters = len(_GOOD_LETTER.findall(text))
    return Decoded(text, "cp1252") if letters == beyond and beyond <= 0.15 * len(text) else None


def _recognised(content: bytes) -> Decoded:
    from charset_normalizer import from_bytes

    if len(set(content[:_SAMPLE])) < _LEAST_VARIETY:
        raise _not_text("bytes of no known encoding")
    match = from_bytes(content[:_SAMPLE], threshold=0.15).best()
    if match is None or match.encoding.startswith(("utf_16", "utf_32", "utf_7")):
        raise _not_text("bytes of no known encoding")
    text = content.decode(match.encoding, "replace")
    replaced = text.count("\N{REPLACEMENT CHARACTER}")
    if replaced > max(3, len(text) * _BAD_SHARE):
        raise _not_text("bytes of no known encoding")
    return Decoded(text, codecs.lookup(match.encoding).name, replaced)


def _controls(content: bytes) -> int:
    return len(content) - len(content.translate(None, _CONTROL))


def _allowed_controls(content: bytes) -> float:
    return max(1.0, len(content) * 0.002)


def _not_text(found: str) -> InvalidInputError:
    return InvalidInputError(
        f"The document is not text: it holds {found}. Send the file in a supported format, text as UTF-8.",
        code=BINARY,
    )
