from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.content.chunking import chunk
from resources.content.model import MediaType, ParsedDocument, Section, sha256_of
from resources.content.parse import parse_document
from resources.errors import InvalidInputError

TEXTS = st.text(alphabet=st.sampled_from("ab c.\n\n \t!?é\u0301漢。🎉\u200d👩‍"), max_size=600)


@st.composite
def documents(draw: st.DrawFn) -> ParsedDocument:
    text = draw(TEXTS)
    starts = sorted(draw(st.sets(st.integers(0, max(0, len(text) - 1)), max_size=6))) if text else []
    sections = tuple(Section(title=f"S{start}", level=1 + start % 3, start=start, end=len(text)) for start in starts)
    return ParsedDocument(media_type=MediaType.TEXT, text=text, sections=sections)


@given(documents(), st.integers(2, 120), st.data())
def test_chunks_cover_the_text_with_exact_offsets(document: ParsedDocument, target: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, target - 1))
    chunks = chunk(document, target=target, overlap=overlap)
    covered: set[int] = set()
    for number, item in enumerate(chunks):
        assert item.ordinal == number
        assert document.text[item.start : item.end] == item.text
        assert item.text.strip() == item.text != ""
        assert len(item.text) <= target
        assert item.sha256 == sha256_of(item.text.encode())
        covered.update(range(item.start, item.end))
    assert all(character.isspace() for place, character in enumerate(document.text) if place not in covered)
    assert [item.start for item in chunks] == sorted({item.start for item in chunks})


@given(documents())
def test_the_same_document_gives_the_same_chunks(document: ParsedDocument) -> None:
    assert chunk(document, target=50, overlap=10) == chunk(document, target=50, overlap=10)


def test_chunks_keep_to_their_sections() -> None:
    text = "# One\n\n" + "First words here. " * 30 + "\n\n# Two\n\n" + "Second words here. " * 30
    document = parse_document(text.encode(), name="a.md")
    chunks = chunk(document, target=300, overlap=40)
    assert {item.section for item in chunks} == {"One", "Two"}
    assert all("Second" not in item.text for item in chunks if item.section == "One")


def test_small_sections_share_a_chunk() -> None:
    text = "".join(f"# Part {number}\n\nFew words.\n\n" for number in range(6))
    chunks = chunk(parse_document(text.encode(), name="a.md"), target=400, overlap=0)
    assert [item.section for item in chunks] == ["Part 0", "Part 5"]
    assert len(chunks[0].text) >= 400 // 4 - 2


def test_cuts_fall_between_sentences_where_they_can() -> None:
    text = "This is a sentence of some length. " * 40
    chunks = chunk(parse_document(text.encode(), name="a.txt"), target=200, overlap=0)
    assert all(item.text.endswith(".") for item in chunks)


def test_neighbours_share_the_overlap() -> None:
    text = " ".join(f"word{number}" for number in range(300))
    chunks = chunk(parse_document(text.encode(), name="a.txt"), target=200, overlap=50)
    for before, after in pairwise(chunks):
        assert 0 < before.end - after.start <= 50


def test_a_long_word_is_cut_without_losing_a_letter() -> None:
    chunks = chunk(ParsedDocument(media_type=MediaType.TEXT, text="x" * 1050), target=100, overlap=0)
    assert [len(item.text) for item in chunks] == [100] * 10 + [50]


def test_ten_megabytes_are_cut() -> None:
    chunks = chunk(ParsedDocument(media_type=MediaType.TEXT, text="word and word " * 700_000))
    assert 9_000 < len(chunks) < 25_000


@pytest.mark.parametrize(("target", "overlap"), [(100, 100), (100, -1), (0, 0)])
def test_an_impossible_overlap_is_refused(target: int, overlap: int) -> None:
    with pytest.raises(InvalidInputError):
        chunk(ParsedDocument(media_type=MediaType.TEXT, text="x"), target=target, overlap=overlap)
