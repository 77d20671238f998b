"""Documents that nobody should have sent: each gets an error with its code, quickly, and hurts nobody."""

from __future__ import annotations

import io
import os
import random
import time
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.content.analysers import analyse
from resources.content.model import MediaType
from resources.content.parse import parse_document
from resources.content.parsers import PARSERS, ParseLimits
from resources.errors import InvalidInputError, LimitExceededError, PlatformError
from tests.fixtures.office import make_docx, make_epub
from tests.fixtures.pdf import make_pdf

PROSE = "Plain words that make a sentence. " * 20
GARBAGE = random.Random(7).randbytes(5000)
LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">'
    + "".join(f'<!ENTITY lol{n} "{f"&lol{n - 1 if n > 1 else str()};" * 10}">' for n in range(1, 10))
    + "]><lolz>&lol9;</lolz>"
).encode()
XXE = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&f;</x>'

CASES: list[tuple[str, bytes, str, str]] = [
    ("nothing", b"", "a.md", "document_empty"),
    ("white space", b" \n\t\r\n ", "a.txt", "document_empty"),
    ("only a byte order mark", b"\xef\xbb\xbf", "a.txt", "document_empty"),
    ("only zero bytes", b"\x00" * 1000, "a.txt", "document_empty"),
    ("only comments", b"<!-- nothing to see -->", "a.html", "document_empty"),
    ("only a script", b"<html><script>alert('x')</script></html>", "a.html", "document_empty"),
    ("an empty object", b"{}", "a.json", "document_empty"),
    ("a PDF without text", make_pdf([[]]), "scan.pdf", "document_empty"),
    ("garbage named .md", GARBAGE, "a.md", "document_binary"),
    ("garbage without a name", GARBAGE, "", "document_binary"),
    ("an ELF program named .txt", b"\x7fELF" + GARBAGE, "a.txt", "document_binary"),
    ("a ZIP named .html", b"PK\x03\x04" + GARBAGE, "a.html", "document_binary"),
    ("invalid UTF-8 without sense", bytes(range(128, 256)) * 30, "a.txt", "document_binary"),
    ("text with many control characters", b"a\x01b\x02c\x03" * 200, "a.txt", "document_binary"),
    ("a ZIP archive", b"PK\x03\x04" + GARBAGE, "a.zip", "UNSUPPORTED_FORMAT"),
    ("a broken DOCX", b"PK\x03\x04" + GARBAGE, "a.docx", "PARSE_ERROR"),
    ("a DOCX cut off in the middle", make_docx()[:700], "a.docx", "PARSE_ERROR"),
    ("a DOCX with entities", make_docx(parts={"word/document.xml": LAUGHS}), "a.docx", "PARSE_ERROR"),
    (
        "a DOCX without its main part",
        make_docx().replace(b"word/document", b"word/docUment"),
        "a.docx",
        "PARSE_ERROR",
    ),
    ("a DOCX 1,000 levels deep", make_docx("<w:sdt>" * 1000 + "</w:sdt>" * 1000), "a.docx", "PARSE_ERROR"),
    ("a DOCX 240 levels deep", make_docx("<w:sdt>" * 240 + "</w:sdt>" * 240), "a.docx", "document_nested_too_deep"),
    ("an empty DOCX", make_docx(""), "a.docx", "document_empty"),
    ("a DOCX that is a bomb", make_docx(f"<w:p>{' ' * 30_000_000}</w:p>"), "a.docx", "document_bomb"),
    ("an EPUB that is a bomb", make_epub(" " * 30_000_000), "a.epub", "document_bomb"),
    ("an EPUB with too many chapters", make_epub(*["<p>x</p>"] * 2_001), "a.epub", "CONTENT_TOO_LARGE"),
    (
        "a protected EPUB",
        make_epub("<p>x</p>", encryption="<EncryptionMethod Algorithm='aes'/>"),
        "a.epub",
        "document_encrypted",
    ),
    (
        "an EPUB that names files above it",
        make_epub().replace(b"OEBPS/book.opf", b"../../book.opf"),
        "a.epub",
        "PARSE_ERROR",
    ),
    ("CSV with a row of a million columns", b"a,b\n" + b"," * 1_000_000 + b"x", "a.csv", "PARSE_ERROR"),
    ("CSV with a quote that never closes", b'a,b\n"' + b"x" * 1_100_000, "a.csv", "PARSE_ERROR"),
    ("a PNG without a name", b"\x89PNG\r\n\x1a\n" + GARBAGE, "", "UNSUPPORTED_FORMAT"),
    ("text named .docx", PROSE.encode(), "a.docx", "content_type_mismatch"),
    ("a PDF named .txt", make_pdf([["Words"]]), "a.txt", "content_type_mismatch"),
    ("text named .pdf", PROSE.encode(), "a.pdf", "content_type_mismatch"),
    ("a page named .json", b"<!DOCTYPE html><html><body>Not found</body></html>", "a.json", "content_type_mismatch"),
    ("a page named .md", b"<!DOCTYPE html><html><body>Not found</body></html>", "a.md", "content_type_mismatch"),
    ("JSON named .xml", b'{"a": "b c"}', "a.xml", "content_type_mismatch"),
    ("JSON named .html", b'{"a": "b c"}', "a.html", "content_type_mismatch"),
    ("a protected PDF", make_pdf([["Secret"]], encrypted=True), "a.pdf", "document_encrypted"),
    ("a PDF cut off at its head", make_pdf([["Words"]])[:60], "a.pdf", "PARSE_ERROR"),
    ("half a JSON document", b'{"a": [1, 2, {"b": "c d"', "a.json", "PARSE_ERROR"),
    ("JSON with a comma too many", b'{"a": "b",}', "a.json", "PARSE_ERROR"),
    ("XML that does not close", b"<a><b>words</a>", "a.xml", "PARSE_ERROR"),
    ("a billion laughs", LAUGHS, "a.xml", "PARSE_ERROR"),
    ("an external entity", XXE, "a.xml", "PARSE_ERROR"),
    ("JSON a million levels deep", b"[" * 1_000_000, "a.json", "document_nested_too_deep"),
    ("closed JSON 1,000 levels deep", b'{"a":' * 1000 + b'"x"' + b"}" * 1000, "a.json", "document_nested_too_deep"),
    ("XML 100,000 levels deep", b"<a>" * 100_000, "a.xml", "document_nested_too_deep"),
    ("HTML 300,000 levels deep", b"<html>" + b"<div>" * 300_000 + b"x", "a.html", "document_nested_too_deep"),
    ("HTML 2,000 levels deep", b"<html>" + b"<div>" * 2_000 + b"x", "a.html", "document_nested_too_deep"),
]


@pytest.mark.parametrize(("content", "name", "code"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_bad_document_is_refused_with_its_code(content: bytes, name: str, code: str) -> None:
    with pytest.raises((InvalidInputError, LimitExceededError)) as caught:
        parse_document(content, name=name)
    assert caught.value.code == code


def test_a_document_above_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(LimitExceededError) as caught:
        parse_document(b"x" * 101, name="a.txt", limits=ParseLimits(max_bytes=100))
    assert caught.value.code == "CONTENT_TOO_LARGE"
    assert caught.value.details == {"size_bytes": 101, "max_bytes": 100}


def test_two_hundred_megabytes_are_refused_before_they_are_looked_at() -> None:
    with pytest.raises(LimitExceededError) as caught:
        parse_document(bytes(200 * 1024 * 1024), name="a.txt")
    assert caught.value.code == "CONTENT_TOO_LARGE"


def test_a_bomb_that_lies_about_its_size_is_stopped_while_it_unpacks() -> None:
    honest = make_docx(f"<w:p>{' ' * 30_000_000}</w:p>")
    with zipfile.ZipFile(io.BytesIO(honest)) as archive:
        size = archive.getinfo("word/document.xml").file_size
    lying = honest.replace(size.to_bytes(4, "little"), (1_000).to_bytes(4, "little"))
    assert lying != honest
    with pytest.raises((InvalidInputError, LimitExceededError)) as caught:
        parse_document(lying, name="a.docx")
    assert caught.value.code in {"document_bomb", "PARSE_ERROR"}


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("זוהי ספרייה קטנה בעיר. הספרים החדשים נמצאים בקומה השנייה. אפשר להחזיר ספר בכל יום. " * 2, "he"),
        ("هذه مكتبة صغيرة في المدينة. الكتب الجديدة في الطابق الثاني. يمكن إعادة الكتاب في أي يوم. " * 2, "ar"),
        ("这是一座小图书馆。新书在二楼。请把书放进门口的箱子里。" * 3, "zh"),
        ("👩‍👩‍👧 The family 👨‍👩‍👦 is here. 🎉 We are happy! It is a good day for all of us. 🇮🇪", "en"),
    ],
    ids=["Hebrew", "Arabic", "Chinese", "emoji"],
)
def test_text_of_any_script_is_read_and_analysed(text: str, language: str) -> None:
    parsed = parse_document(text.encode(), name="a.txt")
    assert parsed.text == text.strip()
    analysis = analyse(parsed)
    assert analysis.language == language
    assert analysis.sentences >= 2
    assert analysis.summary


def test_a_right_to_left_override_stays_text_and_hides_nothing() -> None:
    parsed = parse_document("safe \u202egnp.exe is a file name\n".encode(), name="a.txt")
    assert "\u202egnp.exe" in parsed.text


def test_pygments_cannot_be_made_to_hang() -> None:
    hostile = b"/*" * 40_000 + b"'" * 40_000 + b'\\"' * 20_000
    for name in ("a.js", "a.c", "a.pl", "a.rb"):
        try:
            assert parse_document(hostile, name=name, limits=ParseLimits(timeout=1)).text
        except PlatformError as error:
            assert error.code == "TIMEOUT"  # noqa: PT017


def test_a_pdf_with_too_many_pages_is_refused() -> None:
    with pytest.raises(LimitExceededError) as caught:
        parse_document(make_pdf([["Words"]] * 4), limits=ParseLimits(max_pages=3))
    assert caught.value.code == "CONTENT_TOO_LARGE"


def test_text_that_unpacks_to_more_than_the_limit_is_refused() -> None:
    with pytest.raises(LimitExceededError) as caught:
        parse_document(PROSE.encode(), name="a.txt", limits=ParseLimits(max_chars=100))
    assert caught.value.code == "CONTENT_TOO_LARGE"


def test_a_declared_type_that_the_bytes_contradict_is_refused() -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_document(PROSE.encode(), name="a.md", declared=MediaType.PDF)
    assert caught.value.code == "content_type_mismatch"


def test_a_declared_type_wins_over_the_name() -> None:
    assert parse_document(make_pdf([["Words of it"]]), name="a.txt", declared=MediaType.PDF).pages == 1


def test_a_pdf_cut_off_in_the_middle_is_read_or_refused() -> None:
    content = make_pdf([["Words"], ["More words"]])
    for length in range(100, len(content), 97):
        try:
            assert parse_document(content[:length], name="a.pdf").text
        except PlatformError as error:
            assert error.code in {"PARSE_ERROR", "document_empty", "document_binary"}, length  # noqa: PT017


@pytest.mark.parametrize("name", ["line.txt", "line.md", "line.rst", "line.html"])
def test_ten_megabytes_on_one_line_end_quickly(name: str) -> None:
    content = (b"<p>" if name == "line.html" else b"") + b"word and word " * 700_000
    started = time.monotonic()
    try:
        assert parse_document(content, name=name, limits=ParseLimits(timeout=2)).text
    except LimitExceededError as error:
        assert error.code == "TIMEOUT"  # noqa: PT017
    except InvalidInputError as error:
        assert error.code == "PARSE_ERROR"  # noqa: PT017
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(
    "hostile",
    [
        b"[" * 50_000 + b"](",
        b"*a_ " * 50_000,
        b"> " * 20_000 + b"x",
        b"![[]()" * 20_000,
        b"<!--" * 20_000 + b"x",
        b"| a " * 5_000 + b"\n" + b"|-" * 5_000 + b"|\n" + b"| b " * 5_000,
    ],
    ids=["brackets", "emphasis", "quotes", "images", "comments", "wide table"],
)
def test_markdown_made_to_be_slow_ends_within_its_timeout(hostile: bytes) -> None:
    started = time.monotonic()
    try:
        parse_document(hostile, name="a.md", limits=ParseLimits(timeout=1))
    except PlatformError as error:
        assert error.code in {"TIMEOUT", "PARSE_ERROR", "document_empty", "document_nested_too_deep"}  # noqa: PT017
    assert time.monotonic() - started < 40


def test_restructuredtext_reads_no_files_and_runs_nothing() -> None:
    source = (
        b"Title\n=====\n\n.. include:: /etc/passwd\n\n.. raw:: html\n\n   <b>raw</b>\n\n"
        b".. csv-table::\n   :file: /etc/passwd\n\nThe end."
    )
    parsed = parse_document(source, name="a.rst")
    assert "root:" not in parsed.text
    assert "raw" not in parsed.text
    assert parsed.text.endswith("The end.")


def test_what_leaves_a_parser_can_be_stored() -> None:
    source = '{"title": "a\\u0000b", "lone": "x \\ud800 y", "bell": "ding\\u0007 dong"}'
    parsed = parse_document(source.encode(), name="a.json")
    assert "\x00" not in parsed.model_dump_json()
    assert "\\u0000" not in parsed.model_dump_json()
    parsed.text.encode()
    assert parsed.title == "ab"


@pytest.mark.parametrize("media_type", sorted(PARSERS))
@given(content=st.binary(max_size=300))
@settings(max_examples=60)
def test_a_parser_raises_nothing_but_errors_of_ours(media_type: MediaType, content: bytes) -> None:
    try:
        parse_document(content, declared=media_type)
    except PlatformError:
        return


@pytest.mark.parametrize("media_type", sorted(set(PARSERS) - {MediaType.PDF}))
@given(
    content=st.text(
        alphabet=st.sampled_from("<>[](){}|*_`#=-:. \n\t\"'&;/\\!aé漢\u202e\u0301😀0"), min_size=1, max_size=120
    )
)
@settings(max_examples=80)
def test_markup_in_any_disorder_is_read_or_refused(media_type: MediaType, content: str) -> None:
    try:
        parsed = parse_document(content.encode(), declared=media_type)
    except PlatformError:
        return
    assert parsed.text.strip()
    assert all(0 <= section.start <= section.end <= len(parsed.text) for section in parsed.sections)
    assert all(0 <= start < end <= len(parsed.text) for start, end in parsed.code)


def test_the_result_is_the_same_every_time() -> None:
    content = os.urandom(0) + PROSE.encode()
    assert parse_document(content, name="a.md") == parse_document(content, name="a.md")
