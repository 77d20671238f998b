from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.content.model import (
    Analysis,
    Document,
    DocumentSource,
    DocumentStatus,
    Link,
    MediaType,
    ParsedDocument,
    ScoredTerm,
    Section,
)
from resources.content.parsers import html, markdown
from resources.content.parsers.base import ParseLimits
from resources.knowledge.contribution import contribution_of
from resources.knowledge.extraction import MAX_TOPICS, extract
from resources.knowledge.model import Edge, EdgeType, Extraction, Origin

if TYPE_CHECKING:
    from resources.content.parsers.base import Parser

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def document(**source: Any) -> Document:
    return Document(
        id="doc",
        tenant="t",
        source=DocumentSource(uri="file:///doc.md", name="doc.md", **source),
        media_type=MediaType.MARKDOWN,
        sha256="0" * 64,
        size_bytes=1,
        status=DocumentStatus.ANALYSED,
        received_at=NOW,
        updated_at=NOW,
    )


def analysis(*terms: tuple[str, float], summary: str = "A summary.") -> Analysis:
    return Analysis(
        language="en",
        language_confidence=1,
        words=1,
        sentences=1,
        reading_seconds=1,
        summary=summary,
        keywords=(),
        concepts=tuple(ScoredTerm(text=text, score=score, count=1) for text, score in terms),
        quality=1,
        readability=None,
        difficulty=0.3,
        difficulty_level="intermediate",
    )


def parsed(*sections: tuple[str, str], title: str | None = None, links: tuple[str, ...] = ()) -> ParsedDocument:
    text, found = "", []
    for heading, body in sections:
        start = len(text)
        text += f"{heading}\n{body}\n"
        found.append(Section(title=heading, level=1, start=start, end=len(text)))
    return ParsedDocument(
        media_type=MediaType.MARKDOWN,
        text=text,
        title=title,
        sections=tuple(found),
        links=tuple(Link(kind="external", url="https://example.org", text=link) for link in links),
    )


def of_type(extraction: Extraction, type: EdgeType) -> list[Edge]:
    return [edge for edge in extraction.edges if edge.type is type]


def requirements(extraction: Extraction) -> list[tuple[str, str]]:
    return [(edge.source, edge.target) for edge in of_type(extraction, EdgeType.REQUIRES)]


def subjects(extraction: Extraction) -> list[str]:
    return [concept.name for concept in extraction.concepts if concept.kind == "subject"]


def test_the_declared_subject_requires_what_is_declared() -> None:
    result = extract(document(subject="Pandas", requires=("NumPy", "python-dateutil")), parsed(), analysis())
    assert subjects(result) == ["NumPy", "Pandas", "python-dateutil"]
    assert requirements(result) == [("pandas", "numpy"), ("pandas", "python-dateutil")]
    assert {edge.weight for edge in result.edges} == {1.0}
    assert result.mentions == {"pandas": 1.0}


def test_the_subject_is_described_by_the_document() -> None:
    result = extract(document(subject="Pandas"), parsed(), analysis(summary="Data  frames\nfor Python."))
    assert result.concepts[0].description == "Data frames for Python."
    assert result.concepts[0].difficulty == "intermediate"


def test_a_long_summary_is_cut_at_a_word() -> None:
    description = extract(document(subject="X"), parsed(), analysis(summary="word " * 200)).concepts[0].description
    assert description is not None
    assert description.endswith("word…")
    assert len(description) <= 301


def test_topics_are_mentioned_and_related_to_the_subject() -> None:
    result = extract(document(subject="Pandas"), parsed(), analysis(("data frame", 0.8), ("Series", 0.4)))
    assert result.mentions == {"data-frame": 0.8, "pandas": 1.0, "series": 0.4}
    assert [(edge.source, edge.target, edge.weight) for edge in of_type(result, EdgeType.RELATED_TO)] == [
        ("data-frame", "pandas", 0.8),
        ("pandas", "series", 0.4),
    ]


def test_what_is_required_is_not_also_related() -> None:
    result = extract(document(subject="Pandas", requires=("NumPy",)), parsed(), analysis(("numpy", 0.9)))
    assert of_type(result, EdgeType.RELATED_TO) == []
    assert result.mentions["numpy"] == 0.9
    assert subjects(result) == ["NumPy", "Pandas"]


def test_nothing_requires_itself() -> None:
    result = extract(document(subject="Pandas", requires=("pandas", "PANDAS ")), parsed(), analysis(("pandas", 0.5)))
    assert result.edges == ()
    assert [concept.id for concept in result.concepts] == ["pandas"]


def test_only_the_strongest_topics_count() -> None:
    terms = [(f"topic {number}", number / 100) for number in range(1, 60)]
    result = extract(document(), parsed(), analysis(*terms))
    assert len(result.mentions) == MAX_TOPICS
    assert result.mentions["topic-59"] == 0.59


def test_a_topic_without_weight_may_still_be_related() -> None:
    result = extract(document(subject="X"), parsed(), analysis(("zero", 0.0)))
    assert of_type(result, EdgeType.RELATED_TO)[0].weight > 0


def test_terms_without_letters_are_no_concepts() -> None:
    result = extract(document(requires=("***",)), parsed(), analysis(("--", 0.5)))
    assert result.concepts == ()


def test_languages_that_differ_by_a_sign_are_different_concepts() -> None:
    result = extract(document(), parsed(), analysis(("C", 0.5), ("C++", 0.5), ("C#", 0.5)))
    assert len(result.concepts) == 3


@pytest.mark.parametrize(
    ("title", "subject"),
    [
        ("Linear Algebra", "Linear Algebra"),
        ("FastAPI: modern web framework", "FastAPI"),
        ("httpx - A next-generation HTTP client", "httpx"),
        ("scikit-learn", "scikit-learn"),
        ("1.2 Vector spaces", "Vector spaces"),
        ("`attrs`", "attrs"),
        ("README", None),
        ("Table of Contents", None),
        ("How do I install this?", None),
        ("This package does very many things for all of you", None),
        ("2024", None),
        ("", None),
        (None, None),
    ],
)
def test_without_a_declaration_the_title_is_the_subject_if_it_names_something(
    title: str | None, subject: str | None
) -> None:
    result = extract(document(), parsed(title=title), analysis())
    assert subjects(result) == ([subject] if subject else [])


def test_without_a_title_the_first_heading_names_the_subject() -> None:
    assert subjects(extract(document(), parsed(("Vectors", ""), ("Matrices", "")), analysis())) == ["Vectors"]


def prerequisites_in(content: str, parse: Parser) -> set[str]:
    page = parse(content.encode(), limits=ParseLimits())
    return {target for _, target in requirements(extract(document(), page, analysis()))}


LISTED = {"python", "numpy", "pandas", "linear-algebra", "matrix-multiplication"}


def test_a_prerequisites_section_of_markdown_lists_what_comes_first() -> None:
    content = """
# Tensors

- Not this

## 2. Prerequisites

You need these, and some prose about Rust.

- Python 3.8+
* [NumPy](https://numpy.org) for arrays: fast
- `pandas>=2.0`
- Linear algebra (basics)
- You should be able to read long sentences like this one

1. Matrix multiplication

```
cd tensors
python setup.py
```

| Package | Version |
|---|---|
| SciPy | 1.2 |

## Usage

- Nor this
"""
    assert prerequisites_in(content, markdown.parse) == LISTED


def test_a_prerequisites_section_of_html_lists_what_comes_first() -> None:
    content = """
<h1>Tensors</h1><ul><li>Not this</li></ul><h2>Requirements</h2><p>Prose.</p>
<ul><li>Python 3.8+</li><li><a href="https://numpy.org">NumPy</a> for arrays</li><li><code>pandas&gt;=2.0</code></li>
<li>Linear algebra (basics)</li><li>Matrix multiplication</li></ul><pre>cd tensors
python setup.py</pre><h2>Usage</h2><ul><li>Nor this</li></ul>
"""
    assert prerequisites_in(content, html.parse) == LISTED


def test_a_prerequisites_section_of_plain_text_needs_bullets() -> None:
    page = parsed(("Tensors", ""), ("Dependencies:", "prose that\nwraps here\n- Vectors\n * Matrices >= 2\n"))
    plain = page.model_copy(update={"media_type": MediaType.TEXT})
    result = extract(document(), plain, analysis())
    assert [target for _, target in requirements(result)] == ["matrices", "vectors"]
    assert {edge.weight for edge in result.edges} == {0.6}


def test_a_line_that_is_a_link_is_a_prerequisite() -> None:
    content = (
        "# Tensors\n\n## Before you begin\n\n[Vectors](https://example.org)\n\nNot [this](https://example.org/2).\n"
    )
    assert prerequisites_in(content, markdown.parse) == {"vectors"}


def test_lists_elsewhere_are_no_prerequisites() -> None:
    result = extract(document(), parsed(("Tensors", "- Vectors"), ("Features", "- Speed")), analysis())
    assert requirements(result) == []


def test_declarations_leave_cues_aside() -> None:
    page = parsed(("Tensors", ""), ("Prerequisites", "- Vectors"))
    assert requirements(extract(document(subject="Tensors"), page, analysis())) == []
    assert requirements(extract(document(requires=("Scalars",)), page, analysis())) == [("tensors", "scalars")]


TEXT = st.characters(codec="utf-8", exclude_characters="\x00")


@given(
    subject=st.none() | st.text(TEXT, max_size=20).filter(bool),
    required=st.lists(st.text(TEXT, max_size=10), max_size=5),
    terms=st.lists(st.tuples(st.text(max_size=10), st.floats(0, 1)), max_size=25),
    title=st.none() | st.text(max_size=40),
    body=st.text(max_size=200),
)
def test_every_extraction_fits_together(
    subject: str | None, required: list[str], terms: list[tuple[str, float]], title: str | None, body: str
) -> None:
    source = document(subject=subject, requires=tuple(required))
    page = parsed(("Prerequisites", body), title=title)
    result = extract(source, page, analysis(*terms))
    contribution_of(result)
    assert extract(source, page, analysis(*terms)) == result


@pytest.mark.parametrize("front", ["prerequisites: [Sets, 'Logic']", "requires: Sets, Logic"])
def test_what_the_front_matter_requires_is_declared(front: str) -> None:
    content = f"---\n{front}\n---\n# Graphs\n\nGraphs have nodes.\n".encode()
    read = markdown.parse(content, limits=ParseLimits())
    found = extract(document(), read, analysis())
    assert requirements(found) == [("graphs", "logic"), ("graphs", "sets")]
    assert {edge.weight for edge in of_type(found, EdgeType.REQUIRES)} == {1.0}
    assert found.evidence["sets"].origin is Origin.DECLARED
    assert requirements(extract(document(requires=("Trees",)), read, analysis())) == [("graphs", "trees")]
