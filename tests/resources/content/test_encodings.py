from __future__ import annotations

import codecs

import pytest

from resources.content.model import MediaType
from resources.content.parse import parse_document
from resources.content.parsers.encoding import decode
from resources.content.sniff import sniff
from resources.errors import InvalidInputError

GERMAN = "Größe und Übermaß: die Straße führt durch schöne Täler. " * 10
RUSSIAN = "Это обычный русский текст, в котором нет ничего особенного, кроме букв. " * 10
JAPANESE = "これは日本語の普通の文章です。特別なことは何も書いてありません。" * 10


@pytest.mark.parametrize(
    ("content", "text", "encoding"),
    [
        (GERMAN.encode(), GERMAN, "utf-8"),
        (codecs.BOM_UTF8 + GERMAN.encode(), GERMAN, "utf-8"),
        (codecs.BOM_UTF16_LE + GERMAN.encode("utf-16-le"), GERMAN, "utf-16-le"),
        (codecs.BOM_UTF16_BE + GERMAN.encode("utf-16-be"), GERMAN, "utf-16-be"),
        (codecs.BOM_UTF32_LE + GERMAN.encode("utf-32-le"), GERMAN, "utf-32-le"),
        (GERMAN.encode("utf-16-le"), GERMAN, "utf-16-le"),
        (GERMAN.encode("utf-16-be"), GERMAN, "utf-16-be"),
        (GERMAN.encode("cp1252"), GERMAN, "cp1252"),
        (RUSSIAN.encode("cp1251"), RUSSIAN, "cp1251"),
        (JAPANESE.encode("shift_jis"), JAPANESE, None),
    ],
    ids=[
        "utf-8",
        "utf-8 bom",
        "utf-16le bom",
        "utf-16be bom",
        "utf-32 bom",
        "utf-16le",
        "utf-16be",
        "1252",
        "1251",
        "sjis",
    ],
)
def test_encodings_are_recognised(content: bytes, text: str, encoding: str | None) -> None:
    decoded = decode(content)
    assert decoded.text == text
    assert decoded.replaced == 0
    assert encoding in {None, decoded.encoding}


def test_a_declared_encoding_is_used() -> None:
    content = f'<html><head><meta charset="iso-8859-2"></head><body><p>Łódź i Gdańsk {GERMAN}</p></body></html>'
    document = parse_document(content.encode("iso-8859-2"), name="a.html")
    assert "Łódź i Gdańsk" in document.text
    assert document.encoding == "iso8859-2"


def test_a_declared_encoding_that_is_wrong_is_not_believed() -> None:
    content = f'<?xml version="1.0" encoding="us-ascii"?><a>{GERMAN}</a>'.encode()
    assert "Größe" in parse_document(content, name="a.xml").text


def test_a_handful_of_bad_bytes_is_replaced_and_noted() -> None:
    content = GERMAN.encode()[:200] + b"\xff\xfe" + GERMAN.encode()[200:]
    document = parse_document(content, name="a.txt")
    assert document.metadata["replaced_characters"] == 2
    assert document.text.count("\ufffd") == 2


@pytest.mark.parametrize("content", [bytes(range(128, 256)) * 20, b"abc\x00\x01\x02" * 100, b"\xff" * 500])
def test_bytes_that_are_no_text_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidInputError) as caught:
        decode(content)
    assert caught.value.code == "document_binary"


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.md", b"# Title", MediaType.MARKDOWN),
        ("A.MARKDOWN", b"# Title", MediaType.MARKDOWN),
        ("a.rst", b"Title\n=====", MediaType.RST),
        ("script.py", b"print('hello')", MediaType.CODE),
        ("", b"#!/bin/sh\necho hello", MediaType.CODE),
        ("a.csv", b"a,b\n1,2", MediaType.CSV),
        ("LICENSE", b"Do what you want.", MediaType.TEXT),
        ("", b"  <!-- x --><!DOCTYPE html><p>x", MediaType.HTML),
        ("", b"<?xml version='1.0'?><a>x</a>", MediaType.XML),
        ("", b'{"a": 1}', MediaType.JSON),
        ("", b"[1, 2]", MediaType.JSON),
        ("", b"[link](x) is text", MediaType.TEXT),
        ("", b"%PDF-1.4\n...", MediaType.PDF),
        ("notes.txt", b"The %PDF- signature opens a file.", MediaType.TEXT),
        ("page.txt", b"<!DOCTYPE html><p>the source of a page", MediaType.TEXT),
    ],
)
def test_the_format_is_found_out(name: str, content: bytes, expected: MediaType) -> None:
    assert sniff(content, name=name) is expected


def test_a_name_may_say_more_than_text_plain() -> None:
    assert sniff(b"# Title", name="a.md", declared=MediaType.TEXT) is MediaType.MARKDOWN
    assert sniff(b"{}", name="a.json", declared=MediaType.TEXT) is MediaType.TEXT
