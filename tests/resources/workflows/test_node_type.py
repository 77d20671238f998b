from __future__ import annotations

import pytest

from resources.errors import NotFoundError
from tests.resources.workflows.table import TYPES


def test_the_table_is_a_mapping() -> None:
    assert list(TYPES) == [known.name for known in TYPES.values()]
    assert len(TYPES) == len(list(TYPES))
    assert "say" in TYPES
    assert TYPES.find("say") is TYPES["say"]
    assert TYPES.find("gone") is None


def test_an_unknown_type_is_told_with_those_there_are() -> None:
    with pytest.raises(NotFoundError, match="only: any, call"):
        TYPES["gone"]


def test_a_type_tells_the_shape_of_its_output() -> None:
    schema = TYPES["say"].output_schema()
    assert schema is not None
    assert set(schema["properties"]) == {"text", "words", "count"}
    assert TYPES["any"].output_schema() is None
    assert TYPES["map"].output_schema() == {"type": "array"}
