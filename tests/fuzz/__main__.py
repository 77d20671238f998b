"""Made-up and damaged documents against every parser and the analysers, for a bounded time.

    python -m tests.fuzz [--seconds 60] [--seed N] [--format csv]

Each round takes a real small document of a format and damages it (bits, cuts, repeats, pieces of others, lengths, tags and
quotes), or makes one up from the format's own signs; of archives mostly a part, so that the damage is not the archive's. A parser
may give a document that holds together, or an error of the platform: anything else is a finding, is written to
`fuzz-FORMAT-N.bin`, and ends the run with 1. Formats whose parsers can hang or crash are read in their killable process.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

from resources.content.analysers import analyse
from resources.content.model import MediaType, ParsedDocument
from resources.content.parse import parse_document
from resources.content.parsers.base import ParseLimits
from resources.errors import PlatformError
from tests.fixtures.office import make_zip
from tests.resources.content.test_parsers import DOCUMENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

_LIMITS: Final = ParseLimits(timeout=10.0)
_SLOW: Final = 11.0
_LARGEST: Final = 200_000
_INSIDE: Final = 0.8
_MADE_UP: Final = 0.3
_SIGNS: Final[dict[MediaType, Sequence[bytes]]] = {
    MediaType.HTML: (
        b"<div>",
        b"</p>",
        b"<table><tr><td>",
        b"<!--",
        b"-->",
        b"<script>",
        b"&#0;",
        b"&amp",
        b"<a href='",
        b"<pre>",
    ),
    MediaType.MARKDOWN: (
        b"# ",
        b"**",
        b"[](",
        b"![",
        b"```\n",
        b"> ",
        b"| a |\n|--|\n",
        b"---\n",
        b"<b>",
        b"\\",
        b"1. ",
    ),
    MediaType.RST: (
        b"=====\n",
        b".. note::\n",
        b"``",
        b"`a <b>`_",
        b":ref:`x`",
        b"|x|",
        b"::\n\n  ",
        b"* ",
        b"+--+\n",
        b"_a:",
    ),
    MediaType.JSON: (b"[", b"]", b'{"a":', b"}", b'"', b"\\u0000", b"\\ud800", b"1e999", b",", b"NaN", b"-0"),
    MediaType.XML: (
        b"<a>",
        b"</a>",
        b"<!DOCTYPE a [",
        b"<!ENTITY x 'y'>",
        b"&x;",
        b"<![CDATA[",
        b"]]>",
        b"<?xml ?>",
        b"xmlns='",
    ),
    MediaType.CSV: (b",", b'"', b'""', b"\n", b";", b"\t", b"\r\n", b"\x00", b"=1+1"),
    MediaType.CODE: (b"def f(", b"class A:\n", b'"""', b"/*", b"*/", b"//", b"{", b"}", b"'", b"\\\n", b"#"),
    MediaType.PDF: (
        b"obj\n",
        b"endobj\n",
        b"stream\n",
        b"<<",
        b">>",
        b"0 R",
        b"%PDF-1.7\n",
        b"xref\n",
        b"/Length 9999999",
    ),
    MediaType.TEXT: (b"\n\n", b"====\n", b"1. A\n", b"\xe2\x80\xae", b"\xff", b"\xf0\x9f\x98\x80", b"http://", b"..."),
    MediaType.DOCX: (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"word/document.xml", b"\x00" * 8),
    MediaType.EPUB: (b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"META-INF/container.xml", b"\x00" * 8),
}


def damaged(content: bytes, kind: MediaType, chance: random.Random) -> bytes:
    """The document after one to eight accidents."""
    parts = bytearray(content)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(parts) + 1)
        to = min(len(parts), at + chance.choice((1, 2, 8, 64, 512)))
        match chance.randrange(8):
            case 0 if parts:
                parts[min(at, len(parts) - 1)] ^= 1 << chance.randrange(8)
            case 1:
                del parts[at:to]
            case 2:
                parts[at:at] = parts[at:to] * chance.choice((1, 2, 50))
            case 3:
                parts[at:at] = chance.choice(_SIGNS[kind]) * chance.choice((1, 1, 3, 100))
            case 4:
                parts[at:to] = chance.randbytes(to - at)
            case 5:
                del parts[at:]
            case 6:
                other = DOCUMENTS[chance.choice(list(DOCUMENTS))]
                start = chance.randrange(len(other))
                parts[at:at] = other[start : start + 200]
            case _:
                parts[at:to] = bytes([chance.choice((0, 255, 10, 60, 34))]) * (to - at)
    return bytes(parts[:_LARGEST])


def damaged_inside(content: bytes, chance: random.Random) -> bytes:
    """The archive with one of its parts damaged as XML and HTML are."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = chance.choice(list(parts))
    parts[name] = damaged(parts[name], chance.choice((MediaType.XML, MediaType.HTML)), chance)
    return make_zip(parts, stored=("mimetype",))


def made_up(kind: MediaType, chance: random.Random) -> bytes:
    """A document of nothing but signs and words."""
    pieces = [*_SIGNS[kind], b"word ", b"\n", " א漢😀é ".encode(), b"3.14 "]
    return b"".join(chance.choice(pieces) for _ in range(chance.choice((3, 30, 300))))[:_LARGEST]


def next_document(kind: MediaType, chance: random.Random) -> bytes:
    """One document of the format, made by chance."""
    if kind in {MediaType.DOCX, MediaType.EPUB} and chance.random() < _INSIDE:
        return damaged_inside(DOCUMENTS[kind], chance)
    return made_up(kind, chance) if chance.random() < _MADE_UP else damaged(DOCUMENTS[kind], kind, chance)


def check(kind: MediaType, content: bytes) -> str:
    """What became of it: `read` or a code. Raises AssertionError for a document that does not hold together."""
    begun = time.monotonic()
    try:
        parsed = parse_document(content, declared=kind, limits=_LIMITS)
    except PlatformError as error:
        assert time.monotonic() - begun < _SLOW + 30, "it took too long"
        return error.code
    _check_document(parsed)
    analysis = analyse(parsed)
    assert analysis == analyse(parsed), "the analysis is not the same again"
    ParsedDocument.model_validate_json(parsed.model_dump_json())
    return "read"


def _check_document(parsed: ParsedDocument) -> None:
    size = len(parsed.text)
    assert parsed.text.strip(), "the text is empty"
    assert "\x00" not in parsed.text, "a zero byte is left"
    parsed.text.encode()
    assert all(0 <= section.start <= section.end <= size for section in parsed.sections), "a section stands outside"
    assert all(0 <= start < end <= size for start, end in parsed.code), "code stands outside"
    assert all(parsed.text[cited.start : cited.end] for cited in parsed.citations), "a citation stands outside"
    assert sum(1 for _ in parsed.tree()) <= len(parsed.sections)


def fuzz(*, seconds: float, seed: int, kinds: Sequence[MediaType], folder: Path) -> int:
    """The number of findings, of which there is a file each."""
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    outcomes: Counter[tuple[str, str]] = Counter()
    findings = rounds = 0
    while time.monotonic() < until:
        kind = kinds[rounds % len(kinds)]
        rounds += 1
        content = next_document(kind, chance)
        try:
            outcomes[kind.name, check(kind, content)] += 1
        except Exception as error:  # noqa: BLE001 - any other exception is what is looked for
            findings += 1
            path = folder / f"fuzz-{kind.name.lower()}-{findings}.bin"
            path.write_bytes(content)
            print(f"FINDING {path}: {type(error).__name__}: {str(error)[:200]}")
    for (name, outcome), count in sorted(outcomes.items()):
        print(f"{name:<10} {outcome:<28} {count:>7,}")
    print(f"{rounds:,} documents, seed {seed}: {findings} findings")
    return findings


def main() -> int:
    """Read the arguments and do it. 1 = there are findings."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Damaged documents against the parsers.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None, help="the same seed makes the same documents")
    parser.add_argument("--format", choices=[kind.name.lower() for kind in MediaType], help="only this one")
    arguments = parser.parse_args()
    seed = random.SystemRandom().randrange(1 << 32) if arguments.seed is None else arguments.seed
    kinds = [kind for kind in MediaType if arguments.format in {None, kind.name.lower()}]
    return 1 if fuzz(seconds=arguments.seconds, seed=seed, kinds=kinds, folder=Path.cwd()) else 0


if __name__ == "__main__":
    sys.exit(main())
