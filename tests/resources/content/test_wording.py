from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.content.retrieval.wording import base, content_words, highlights


@pytest.mark.parametrize(
    "forms",
    [
        ("query", "queries"),
        ("run", "runs", "running"),
        ("cache", "caches", "cached", "caching"),
        ("boil", "boils", "boiled", "boiling"),
        ("session", "sessions"),
        ("process", "processes", "processing"),
    ],
)
def test_forms_of_a_word_are_one(forms: tuple[str, ...]) -> None:
    assert len({base(form) for form in forms}) == 1


@pytest.mark.parametrize(
    ("one", "other"), [("tea", "teas'"), ("class", "clash"), ("ring", "rung"), ("straße", "straßen")]
)
def test_words_that_only_look_alike_are_not(one: str, other: str) -> None:
    assert base(one) != base(other)


def test_words_without_meaning_are_left_out() -> None:
    assert content_words("What is the use of a kettle?") == ["use", "kettl"]


@given(st.text(max_size=200))
def test_highlights_are_words_of_the_text(text: str) -> None:
    asked = frozenset(content_words(text))
    for start, end in highlights(text, asked):
        assert 0 <= start < end <= len(text)
        assert base(text[start:end].lower()) in asked
