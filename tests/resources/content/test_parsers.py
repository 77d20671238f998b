"""What each parser finds in a small, typical document."""

from __future__ import annotations

import pytest

from resources.content.model import MediaType, ParsedDocument
from resources.content.parse import parse_document
from resources.content.parsers import PARSERS
from resources.errors import InvalidInputError
from tests.fixtures.office import make_docx, make_epub, make_zip
from tests.fixtures.pdf import make_pdf

MARKDOWN = """---
title: The Guide
author: Ada Lovelace
tags: [a, b]
---
# Guide

[![badge](https://img.example/b.svg)](https://ci.example/x) An *event* loop with `asyncio` and `loop.run()`
goes on, see [the docs](https://docs.example/a(b)) or <mailto:a@example.org>.

## Install

```bash
pip install guide
```

- first
- second **thing**

| Name | Age |
|------|-----|
| Bob  | 7   |

<details><summary>More</summary><h3>Inside</h3><p>Hidden &amp; found.</p></details>

## End

Last words.
"""

RST = """
=====
Guide
=====

:Author: Ada

An *event* loop, see `the docs <https://docs.example/>`_ and :class:`~asyncio.Task` or :func:`run <x.run>`.

Install
-------

.. code-block:: bash

   pip install guide

.. note:: Mind the gap.

.. toctree::
   :maxdepth: 2

   somewhere

Deep
~~~~

=====  =====
Name   Age
=====  =====
Bob    7
=====  =====

End
---

Last words.
"""

HTML = """<!DOCTYPE html><html lang="en"><head><title>The Guide</title><meta name="author" content="Ada">
<meta name="description" content="About it"><style>p {}</style><script>evil()</script></head><body>
<nav><a href="/home">Home</a></nav>
<h1>Guide<a class="headerlink" href="#guide">¶</a></h1><p>An <em>event</em> loop with <code>loop.run()</code>,<br>see
<a href="https://docs.example/">the docs</a>.</p><h2>Install</h2><pre>pip install
  guide</pre><ul><li>first</li><li>second</li></ul>
<table><tr><th>Name</th><th>Age</th></tr><tr><td>Bob</td><td>7</td></tr></table>
<p hidden>secret</p><h2>End</h2><div>Last <b>words</b>.</div><footer>Imprint</footer></body></html>"""

JSON = """{"title": "The Guide", "author": "Ada", "description": "An event loop.", "homepage": "https://docs.example/",
"sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "nested": {"releaseNotes": "Last words.",
"stable": true, "since": 2001}, "people": [{"name": "Bob", "age": 7}, {"name": "Eve", "age": 8}], "tags": ["a", "b"]}"""

XML = """<?xml version="1.0" encoding="ISO-8859-1"?>
<book xmlns="http://docbook.org/ns/docbook" xmlns:xlink="http://www.w3.org/1999/xlink"><info><title>The Guide</title>
<author>Ad\xe1</author></info><chapter><title>Install</title><para>An <emphasis>event</emphasis> loop, see
<link xlink:href="https://docs.example/">the docs</link>.</para><programlisting>pip install guide</programlisting></chapter>
<chapter><title>End</title><table><thead><row><entry>Name</entry><entry>Age</entry></row></thead>
<tbody><row><entry>Bob</entry><entry>7</entry></row></tbody></table><para>Last words.</para></chapter></book>"""

TEXT = """The Guide

An event loop, see https://docs.example/ for more.

1. Install

Use the installer.

END OF IT

Last words.
"""

PDF = make_pdf(
    [["Guide", "An event loop for peo-", "ple, see https://docs.example/"], ["Install", "Use it.", "Last words."]],
    title="The Guide",
    author="Ada",
    outline=[("Guide", 0), ("Install", 1)],
)

CHAPTERS = (
    "<h1>Guide</h1><p>An event loop, see <a href='https://docs.example/'>the docs</a>.</p><img src='a.png' alt='A loop'/>",
    (
        "<h2>Install</h2><pre>pip install guide</pre><table><tr><th>Name</th><th>Age</th></tr><tr><td>Bob</td><td>7</td></tr>"
        "</table><p>Last words.</p>"
    ),
)

CSV = 'Name;Age;Home\nBob;7;https://docs.example/\n"Eve; the second";8;"Last words."\n'

CODE = '''#!/usr/bin/env python
"""An event loop, see https://docs.example/ for more."""
import asyncio
from os.path import join

class Loop:
    """Runs what is ready."""

    def run(self):
        # Last words.
        return asyncio.run("not prose")

def main(): Loop().run()
'''

DOCUMENTS: dict[MediaType, bytes] = {
    MediaType.MARKDOWN: MARKDOWN.encode(),
    MediaType.RST: RST.encode(),
    MediaType.HTML: HTML.encode(),
    MediaType.JSON: JSON.encode(),
    MediaType.XML: XML.encode("latin-1"),
    MediaType.TEXT: TEXT.encode(),
    MediaType.PDF: PDF,
    MediaType.DOCX: make_docx(),
    MediaType.EPUB: make_epub(*CHAPTERS),
    MediaType.CSV: CSV.encode(),
    MediaType.CODE: CODE.encode(),
}


def parsed(media_type: MediaType) -> ParsedDocument:
    return parse_document(DOCUMENTS[media_type], declared=media_type)


def outline(document: ParsedDocument) -> list[tuple[int, str]]:
    return [(section.level, section.title) for section in document.sections]


def code_of(document: ParsedDocument) -> list[str]:
    return [document.text[start:end] for start, end in document.code]


def test_every_format_has_a_parser_and_an_example() -> None:
    assert set(PARSERS) == set(MediaType) == set(DOCUMENTS)


@pytest.mark.parametrize("media_type", sorted({*MediaType} - {MediaType.CODE}))
def test_sections_stand_where_they_say(media_type: MediaType) -> None:
    document = parsed(media_type)
    for section in document.sections:
        assert document.text.startswith(section.title, section.start)
        assert section.start < section.end <= len(document.text)


@pytest.mark.parametrize("media_type", sorted(MediaType))
def test_the_link_to_the_docs_is_found(media_type: MediaType) -> None:
    links = [link for link in parsed(media_type).links if link.url.startswith("https://docs.example/")]
    assert [link.kind for link in links] == ["external"]


@pytest.mark.parametrize("media_type", sorted(MediaType))
def test_the_text_ends_with_the_last_words(media_type: MediaType) -> None:
    assert "Last words." in parsed(media_type).text


@pytest.mark.parametrize(
    "media_type", sorted({*MediaType} - {MediaType.TEXT, MediaType.RST, MediaType.CSV, MediaType.CODE})
)
def test_title_and_author_are_found(media_type: MediaType) -> None:
    document = parsed(media_type)
    assert document.title == "The Guide"
    assert document.author in {"Ada", "Ada Lovelace", "Adá"}


@pytest.mark.parametrize(
    "media_type",
    sorted({*MediaType} - {MediaType.TEXT, MediaType.JSON, MediaType.PDF, MediaType.CSV, MediaType.CODE}),
)
def test_the_table_is_found(media_type: MediaType) -> None:
    (table,) = parsed(media_type).tables
    assert (table.header, table.rows) == (("Name", "Age"), (("Bob", "7"),))


def test_markdown_structure() -> None:
    document = parsed(MediaType.MARKDOWN)
    assert outline(document) == [(1, "Guide"), (2, "Install"), (3, "Inside"), (2, "End")]
    assert code_of(document) == ["loop.run()", "pip install guide"]
    assert "An event loop with asyncio and loop.run() goes on, see the docs or" in document.text
    assert "Hidden & found." in document.text
    assert "first\nsecond thing" in document.text
    assert "badge" not in document.text
    assert document.metadata["front_matter"]["tags"] == "[a, b]"
    assert {link.kind for link in document.links} == {"external", "email"}


def test_restructuredtext_structure() -> None:
    document = parsed(MediaType.RST)
    assert document.title == "Guide"
    assert outline(document) == [(1, "Guide"), (2, "Install"), (3, "Deep"), (2, "End")]
    assert "see the docs and asyncio.Task or run." in document.text
    assert "Mind the gap." in document.text
    assert "somewhere" not in document.text
    assert code_of(document) == ["pip install guide"]
    assert document.metadata["syntax_errors"] > 0


def test_html_structure() -> None:
    document = parsed(MediaType.HTML)
    assert outline(document) == [(1, "Guide"), (2, "Install"), (2, "End")]
    assert code_of(document) == ["loop.run()", "pip install\n  guide"]
    assert "An event loop with loop.run(),\nsee the docs." in document.text
    assert "first\nsecond" in document.text
    for unwanted in ("evil", "secret", "Imprint", "Home", "p {}"):
        assert unwanted not in document.text
    assert document.metadata == {"description": "About it", "language": "en"}


def test_json_structure() -> None:
    document = parsed(MediaType.JSON)
    assert outline(document) == [(1, "nested"), (1, "people")]
    assert "release Notes: Last words." in document.text
    assert "stable: yes" in document.text
    assert "9f86d081" not in document.text
    assert document.tables[0].header == ("name", "age")
    assert document.tables[0].rows == (("Bob", "7"), ("Eve", "8"))
    assert "tags: a, b" in document.text


def test_xml_structure() -> None:
    document = parsed(MediaType.XML)
    assert [section.title for section in document.sections] == ["The Guide", "Install", "End"]
    assert document.encoding == "iso8859-1"
    assert code_of(document) == ["pip install guide"]
    assert "An event loop, see the docs." in document.text
    assert document.metadata["root"] == "book"


def test_text_structure() -> None:
    document = parsed(MediaType.TEXT)
    assert document.title == "The Guide"
    assert outline(document) == [(1, "1. Install"), (1, "END OF IT")]


def test_pdf_structure() -> None:
    document = parsed(MediaType.PDF)
    assert document.pages == 2
    assert outline(document) == [(1, "Guide"), (1, "Install")]
    assert document.text.startswith("Guide\nAn event loop for people, see")
    assert document.text[document.metadata["page_starts"][1] :].startswith("Install")


def test_docx_structure() -> None:
    document = parsed(MediaType.DOCX)
    assert outline(document) == [(1, "Guide"), (2, "Install")]
    assert "An event loop, see the docs. Added." in document.text
    assert "never said" not in document.text
    assert code_of(document) == ["pip install\nguide"]
    assert [media.url for media in document.media] == ["media/image1.png"]


def test_epub_structure() -> None:
    document = parsed(MediaType.EPUB)
    assert outline(document) == [(1, "Guide"), (2, "Install")]
    assert document.pages == 2
    assert document.text[document.metadata["page_starts"][1] :].strip().startswith("Install")
    assert document.metadata["language"] == "en"
    assert [(media.kind, media.url, media.text) for media in document.media] == [("image", "a.png", "A loop")]


def test_csv_structure() -> None:
    document = parsed(MediaType.CSV)
    (table,) = document.tables
    assert table.header == ("Name", "Age", "Home")
    assert table.rows[1] == ("Eve; the second", "8", "Last words.")
    assert document.text.split("\n")[0] == "Name: Bob; Age: 7; Home: https://docs.example/"
    assert (document.metadata["rows"], document.metadata["delimiter"]) == (2, ";")


def test_csv_without_a_header_keeps_its_first_row() -> None:
    document = parse_document(b"1,2\n3,4\n5,6\n", name="a.csv")
    assert document.tables[0].header == ()
    assert len(document.tables[0].rows) == 3


def test_a_large_csv_is_cut_as_a_table_but_not_as_text() -> None:
    content = b"id,name\n" + b"".join(b"%d,row number %d\n" % (n, n) for n in range(20_000))
    document = parse_document(content, name="a.csv")
    assert len(document.tables[0].rows) == 200
    assert document.text.endswith("id: 19999; name: row number 19999")


def test_code_structure() -> None:
    document = parse_document(CODE.encode(), name="loop.py")
    assert outline(document) == [(1, "Loop"), (2, "Loop.run"), (1, "main")]
    assert document.text[document.sections[1].start :].lstrip().startswith("def run(self)")
    assert document.metadata["programming_language"] == "Python"
    assert document.metadata["imports"] == ["asyncio", "os.path"]
    prose = document.text
    for start, end in reversed(document.code):
        prose = prose[:start] + prose[end:]
    assert "Runs what is ready." in prose
    assert "Last words." in prose
    assert "not prose" not in prose


@pytest.mark.parametrize(
    ("name", "source", "symbols"),
    [
        ("a.go", "package a\n\ntype Tree struct {\n}\n\nfunc (t *Tree) Walk() {\n}\n", ["Tree", "Walk"]),
        ("a.rs", "pub struct Tree;\nimpl Tree {\n    fn walk(&self) {}\n}\n", ["Tree", "Tree", "walk"]),
        ("a.ts", "export class Tree {\n}\nfunction walk() {}\ninterface Leaf {}\n", ["Tree", "walk", "Leaf"]),
        ("a.java", "class Tree {\n  int walk() { return 1; }\n}\n", ["Tree", "walk"]),
        ("a.c", "struct tree { int a; };\nint walk(void) { return 0; }\n", ["tree", "walk"]),
        ("a.rb", "class Tree\n  def walk\n  end\nend\n", ["Tree", "walk"]),
    ],
)
def test_what_code_declares_are_its_sections(name: str, source: str, symbols: list[str]) -> None:
    titles = [section.title for section in parse_document(source.encode(), name=name).sections]
    assert [title for title in titles if title in symbols] == symbols


def test_the_sections_are_a_tree() -> None:
    (guide,) = parsed(MediaType.MARKDOWN).tree()
    assert guide.section.title == "Guide"
    assert [node.section.title for node in guide.subsections] == ["Install", "End"]
    assert [node.section.title for node in guide.subsections[0].subsections] == ["Inside"]


def test_citations_are_told_by_their_identifiers() -> None:
    text = "See doi:10.1000/182. And arXiv:1706.03762v5, RFC 9457, PEP 8, ISBN 978-0-306-40615-7; not ISBN 978-0-306-40615-8."
    document = parse_document(text.encode(), name="a.txt")
    assert [(found.kind, found.id) for found in document.citations] == [
        ("doi", "10.1000/182"),
        ("arxiv", "1706.03762v5"),
        ("rfc", "9457"),
        ("pep", "8"),
        ("isbn", "9780306406157"),
    ]
    assert document.text[document.citations[2].start : document.citations[2].end] == "RFC 9457"


def test_pictures_are_noted_with_their_words() -> None:
    markdown = parse_document(b"Look: ![A tree](tree.png)\n", name="a.md")
    rst = parse_document(b"Look at it.\n\n.. image:: tree.png\n   :alt: A tree\n", name="a.rst")
    page = parse_document(b"<p>Look<img src=tree.png alt='A tree'><video><source src=v.mp4></video>", name="a.html")
    assert [(media.url, media.text) for media in (*markdown.media, *rst.media)] == [("tree.png", "A tree")] * 2
    assert [(media.kind, media.url) for media in page.media] == [("image", "tree.png"), ("video", "v.mp4")]


@pytest.mark.parametrize("name", ["a.docx", "", "a.zip"])
def test_an_archive_is_known_by_its_parts(name: str) -> None:
    assert parse_document(make_docx(), name=name).media_type is MediaType.DOCX


def test_an_archive_of_something_else_is_not_supported() -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_document(make_zip({"xl/workbook.xml": "<x/>"}), name="a.xlsx")
    assert caught.value.code == "UNSUPPORTED_FORMAT"


def test_text_in_other_scripts_is_kept() -> None:
    text = "# שלום עולם\n\nمرحبا بالعالم، هذا نص عربي.\n\n## 見出し\n\n日本語の文章です。👩‍👩‍👧 e\u0301\n"
    document = parse_document(text.encode(), name="a.md")
    assert outline(document) == [(1, "שלום עולם"), (2, "見出し")]
    assert "日本語の文章です。👩‍👩‍👧 e\u0301" in document.text


def test_an_untitled_document_takes_its_first_heading() -> None:
    assert parse_document(b"intro\n\n## Second\n\n# First\n", name="a.md").title == "First"


def test_links_that_run_code_are_left_out() -> None:
    document = parse_document(b"<html><a href='javascript:alert(1)'>x</a><a href='tel:+1'>y</a></html>", name="a.html")
    assert [(link.kind, link.url) for link in document.links] == [("phone", "tel:+1")]
