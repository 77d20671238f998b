"""What each parser finds in a small, typical document."""

from __future__ import annotations

import pytest

from resources.content.model import MediaType, ParsedDocument
from resources.content.parse import parse_document
from resources.content.parsers import PARSERS
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

DOCUMENTS: dict[MediaType, bytes] = {
    MediaType.MARKDOWN: MARKDOWN.encode(),
    MediaType.RST: RST.encode(),
    MediaType.HTML: HTML.encode(),
    MediaType.JSON: JSON.encode(),
    MediaType.XML: XML.encode("latin-1"),
    MediaType.TEXT: TEXT.encode(),
    MediaType.PDF: PDF,
}


def parsed(media_type: MediaType) -> ParsedDocument:
    return parse_document(DOCUMENTS[media_type], declared=media_type)


def outline(document: ParsedDocument) -> list[tuple[int, str]]:
    return [(section.level, section.title) for section in document.sections]


def code_of(document: ParsedDocument) -> list[str]:
    return [document.text[start:end] for start, end in document.code]


def test_every_format_has_a_parser_and_an_example() -> None:
    assert set(PARSERS) == set(MediaType) == set(DOCUMENTS)


@pytest.mark.parametrize("media_type", sorted(MediaType))
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


@pytest.mark.parametrize("media_type", sorted({*MediaType} - {MediaType.TEXT, MediaType.RST}))
def test_title_and_author_are_found(media_type: MediaType) -> None:
    document = parsed(media_type)
    assert document.title == "The Guide"
    assert document.author in {"Ada", "Ada Lovelace", "Adá"}


@pytest.mark.parametrize("media_type", sorted({*MediaType} - {MediaType.TEXT, MediaType.JSON, MediaType.PDF}))
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
