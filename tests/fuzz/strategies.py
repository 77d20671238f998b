"""Documents made up by hypothesis, and real ones that it damages: what fails is made as small as it can be.

A real small document of a format is edited in one to six places (bytes, cuts, repeats, pieces of other documents, signs of
the format); or a document is made up from the format's signs, words and bytes. Of archives mostly a part is damaged, so that
the damage is not the archive's.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Final, NamedTuple

from hypothesis import strategies as st

from resources.content.model import MediaType
from tests.fixtures.office import make_zip
from tests.resources.content.test_parsers import DOCUMENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hypothesis.strategies import SearchStrategy

_LARGEST: Final = 100_000
_ARCHIVES: Final = frozenset({MediaType.DOCX, MediaType.EPUB})
_WORDS: Final = (b"word ", b"\n", " א漢😀é ".encode(), b"3.14 ")
_PLACES: Final = st.integers(0, max(map(len, DOCUMENTS.values())))
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


class Edit(NamedTuple):
    """`put` and the piece at `at` so many times, in place of that piece."""

    at: int
    length: int
    times: int
    put: bytes


def documents(kind: MediaType) -> SearchStrategy[bytes]:
    """Documents of the format, most of which are none."""
    signs = _SIGNS[kind]
    made_up = st.lists(st.sampled_from((*signs, *_WORDS)) | st.binary(max_size=8), min_size=1, max_size=60).map(
        b"".join
    )
    damaged = _edits(signs).map(lambda edits: damage(DOCUMENTS[kind], edits))
    if kind not in _ARCHIVES:
        return made_up | damaged
    names = sorted(_parts(DOCUMENTS[kind]))
    inside = st.builds(
        lambda name, edits: _damage_part(DOCUMENTS[kind], name, edits),
        st.sampled_from(names),
        _edits((*_SIGNS[MediaType.XML], *_SIGNS[MediaType.HTML])),
    )
    return made_up | damaged | inside | inside


def _edits(signs: Sequence[bytes]) -> SearchStrategy[list[Edit]]:
    many = st.builds(lambda sign, times: sign * times, st.sampled_from(signs), st.sampled_from((1, 3, 100)))
    stolen = st.builds(
        lambda kind, at: DOCUMENTS[kind][at : at + 200], st.sampled_from(sorted(DOCUMENTS)), st.integers(0, 2_000)
    )
    cut = st.builds(Edit, at=_PLACES, length=st.just(_LARGEST), times=st.just(0), put=st.just(b""))
    edit = st.builds(
        Edit,
        at=_PLACES,
        length=st.sampled_from((0, 1, 2, 8, 64, 512)),
        times=st.sampled_from((0, 1, 2, 50)),
        put=st.just(b"") | many | stolen | st.binary(max_size=64),
    )
    return st.lists(edit | cut, min_size=1, max_size=6)


def damage(content: bytes, edits: Sequence[Edit]) -> bytes:
    """The document after the edits, one after another. A place beyond its end is counted from its beginning again."""
    for edit in edits:
        at = edit.at % (len(content) + 1)
        piece = content[at : at + edit.length]
        content = (content[:at] + edit.put + piece * edit.times + content[at + edit.length :])[:_LARGEST]
    return content


def _parts(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _damage_part(content: bytes, name: str, edits: Sequence[Edit]) -> bytes:
    parts = _parts(content)
    return make_zip({**parts, name: damage(parts[name], edits)}, stored=("mimetype",))
