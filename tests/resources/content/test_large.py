"""Large files of the formats that are read in pieces: in bounded memory, and to the same result as when they are held."""

from __future__ import annotations

import io
import itertools
from typing import TYPE_CHECKING

import pytest

from resources.content.model import MediaType
from resources.content.parse import parse_document
from resources.content.parsers import STREAMED, ParseLimits, encoding, read
from resources.content.sandbox import ParserProcesses
from resources.errors import LimitExceededError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MEGABYTE = 1024 * 1024
LIMITS = ParseLimits(max_bytes=200 * MEGABYTE)
BOUND = 64 * MEGABYTE
"""What a child may take above what it takes for a small document: less than the file is long."""


def repeated(first: bytes, piece: bytes, last: bytes = b"") -> Iterator[bytes]:
    """105 megabytes."""
    many = piece * (MEGABYTE // len(piece))
    yield first
    yield from itertools.repeat(many, 105 * MEGABYTE // len(many))
    yield last


LARGE = {
    "blank cells.csv": (MediaType.CSV, repeated(b"name,note,more\n", b"tea," + b" " * 40_000 + b",more\n")),
    "mostly markup.xml": (
        MediaType.XML,
        repeated(b"<?xml version='1.0'?><shop><list>", b"<item a='%s'>tea</item>" % (b"x" * 9000), b"</list></shop>"),
    ),
}
TOO_LONG = {
    "lines.csv": (MediaType.CSV, repeated(b"name,note\n", b"green tea,%s\n" % (b"wants cooler water, " * 500))),
    "paragraphs.txt": (MediaType.TEXT, repeated(b"", b"Green tea wants cooler water. " * 500 + b"\n\n")),
    "one line.txt": (MediaType.TEXT, repeated(b"", b"Green tea wants cooler water. " * 500)),
}


@pytest.fixture(scope="module")
def processes() -> Iterator[ParserProcesses]:
    started = ParserProcesses()
    for media_type, content in (
        (MediaType.TEXT, b"tea"),
        (MediaType.CSV, b"a,b\n1,2\n"),
        (MediaType.XML, b"<a>tea</a>"),
    ):
        started.parse(media_type, content, limits=LIMITS)
    yield started
    started.close()


def most_memory(processes: ParserProcesses) -> int:
    """The most that the child has ever had, in bytes."""
    (child,) = processes._all
    with open(f"/proc/{child._process.pid}/status") as status:  # noqa: PTH123 - no file of ours
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


@pytest.fixture(scope="module")
def before(processes: ParserProcesses) -> int:
    return most_memory(processes)


def written(folder: Path, name: str, pieces: Iterable[bytes]) -> Path:
    path = folder / name
    with path.open("wb") as file:
        file.writelines(pieces)
    return path


@pytest.mark.parametrize("name", LARGE)
def test_a_large_file_is_read_in_less_memory_than_it_is_long(
    name: str, processes: ParserProcesses, before: int, tmp_path: Path
) -> None:
    media_type, pieces = LARGE[name]
    path = written(tmp_path, name, pieces)
    parsed = processes.parse(media_type, path, limits=LIMITS)
    path.unlink()
    assert parsed.text.count("tea") > 1_000
    assert most_memory(processes) - before < BOUND


@pytest.mark.parametrize("name", TOO_LONG)
def test_a_file_of_too_much_text_is_refused_in_bounded_memory(
    name: str, processes: ParserProcesses, before: int, tmp_path: Path
) -> None:
    media_type, pieces = TOO_LONG[name]
    path = written(tmp_path, name, pieces)
    with pytest.raises(LimitExceededError, match="characters of text"):
        processes.parse(media_type, path, limits=ParseLimits(max_bytes=200 * MEGABYTE, max_chars=2_000_000))
    path.unlink()
    assert most_memory(processes) - before < BOUND


SMALL = {
    MediaType.TEXT: "First heading\n=============\n\nTea, naïve té 茶 and www.example.org/a.\r\n \r\n\t\nMore.\n\n\n"
    * 40,
    MediaType.CSV: 'name,note\r\n"tea, green","wants\ncooler"\r\n茶,é\r\n' * 60,
    MediaType.XML: "<shop>" + "<item name='a tea'>té <b>茶</b> more</item>" * 60 + "</shop>",
}


@pytest.mark.parametrize("media_type", sorted(STREAMED))
def test_what_is_read_in_pieces_is_what_is_read_at_once(media_type: MediaType, monkeypatch: pytest.MonkeyPatch) -> None:
    content = SMALL[media_type].encode()
    at_once = read(media_type, content, limits=LIMITS)
    monkeypatch.setattr(encoding, "HELD", 64)
    monkeypatch.setattr(encoding, "_PIECE", 7)
    assert STREAMED[media_type](io.BytesIO(content), limits=LIMITS) == at_once


def test_an_element_that_goes_on_is_let_go_in_the_order_of_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = "".join(f"<part><name>Part {number}</name><p>Of <b>tea</b> {number}.</p></part>" for number in range(900))
    content = f"<book><title>All of it</title><body>{parts}</body>The end.</book>".encode()
    monkeypatch.setattr(encoding, "HELD", 64)
    parsed = STREAMED[MediaType.XML](io.BytesIO(content), limits=LIMITS)
    wanted = [line for number in range(900) for line in (f"Part {number}", f"Of tea {number}.")]
    assert parsed.text.split("\n\n") == ["All of it", *wanted, "The end."]
    assert parsed.title == "All of it"


def test_a_large_file_in_another_encoding_than_its_beginning_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(encoding, "HELD", 64)
    path = written(tmp_path, "late.txt", [b"Plain words.\n" * 10, "Später käme Tee.\n".encode("cp1252") * 40])
    parsed = STREAMED[MediaType.TEXT](io.BytesIO(path.read_bytes()), limits=LIMITS)
    assert parsed.encoding == "cp1252"
    assert "Später käme Tee." in parsed.text
    assert "Plain words." in parse_document(path, name="late.txt", limits=LIMITS).text
