from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.content.model import Link, MediaType, ParsedDocument, Section
from resources.knowledge.model import EdgeType, Origin
from resources.knowledge.relations import log_likelihood, occurrences, relations

TERMS = {"graph": "graph", "tree": "tree", "river": "river", "graph-database": "graph database"}


def parsed(text: str, *, sections: tuple[Section, ...] = (), links: tuple[Link, ...] = ()) -> ParsedDocument:
    return ParsedDocument(media_type=MediaType.TEXT, text=text, sections=sections, links=links)


def test_terms_that_stand_together_more_often_than_chance_are_related() -> None:
    text = "A tree is a graph. " * 12 + "The river is wide. " * 12
    ((edge, evidence),) = relations(parsed(text), TERMS, subject=None, passages=[(0, 40), (40, 1000)])
    assert (edge.source, edge.target, edge.type) == ("graph", "tree", EdgeType.RELATED_TO)
    assert edge.weight == pytest.approx(1.0)
    assert evidence.origin is Origin.COOCCURRENCE
    assert evidence.chunks == (0, 1)


def test_terms_that_are_everywhere_say_nothing() -> None:
    assert relations(parsed("The tree, the graph. " * 30), TERMS, subject=None) == []


def test_terms_that_meet_twice_say_nothing() -> None:
    text = "A tree is a graph. " * 2 + "The river is wide. " * 200
    assert relations(parsed(text), TERMS, subject=None) == []


def test_a_term_inside_a_longer_one_does_not_stand_beside_it() -> None:
    text = "A graph database here. " * 12 + "The river is wide. " * 12
    assert relations(parsed(text), TERMS, subject=None) == []


def test_a_section_inside_another_is_a_part_of_it() -> None:
    sections = (
        Section(title="Graph", level=1, start=0, end=30),
        Section(title="Notes", level=2, start=5, end=10),
        Section(title="Tree", level=2, start=10, end=30),
        Section(title="River", level=1, start=30, end=40),
    )
    found = relations(parsed("x" * 40, sections=sections), TERMS, subject="water", passages=[(0, 20), (20, 40)])
    assert [(e.source, e.target, e.type, where.chunks) for e, where in found] == [
        ("graph", "water", EdgeType.PART_OF, (0,)),
        ("tree", "graph", EdgeType.PART_OF, (0,)),
        ("river", "water", EdgeType.PART_OF, (1,)),
    ]


def test_the_subject_is_related_to_what_its_document_links_to() -> None:
    links = (
        Link(kind="external", url="https://example.org", text="Tree"),
        Link(kind="email", url="mailto:x@y", text="River"),
    )
    ((edge, evidence),) = relations(parsed("text", links=links), TERMS, subject="graph")
    assert (edge.source, edge.target) == ("graph", "tree")
    assert evidence.origin is Origin.LINKS


def test_names_stand_in_a_text_as_words_in_any_case() -> None:
    assert occurrences("Tree trees tree-house TREE", "tree") == [0, 11, 22]
    assert occurrences("C++ and c++.", "C++") == [0, 8]


@given(st.integers(1, 200), st.data())
def test_the_ratio_is_never_negative_and_zero_without_association(total: int, data: st.DataObject) -> None:
    one, other = data.draw(st.integers(1, total)), data.draw(st.integers(1, total))
    both = data.draw(st.integers(max(0, one + other - total), min(one, other)))
    ratio = log_likelihood(both, one, other, total)
    assert ratio >= -1e-9
    if both * total <= one * other:
        assert ratio == 0
