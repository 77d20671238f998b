from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.knowledge.model import concept_id


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("Data  Frame", "data-frame"),
        ("ruamel.yaml", "ruamel-yaml"),
        ("typing_extensions", "typing-extensions"),
        ("C++", "c-plus-plus"),
        ("C#", "c-sharp"),
        ("Größe", "grösse"),
        ("图", "图"),
        ("--", ""),
        ("", ""),
    ],
)
def test_a_concept_is_known_by_its_normalised_name(name: str, id: str) -> None:
    assert concept_id(name) == id


@given(st.text())
def test_normalising_again_changes_nothing(name: str) -> None:
    assert concept_id(concept_id(name)) == concept_id(name)
