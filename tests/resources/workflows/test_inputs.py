from __future__ import annotations

from typing import Any

import pytest

from resources.errors import InvalidInputError
from resources.workflows.inputs import check_inputs, matches
from resources.workflows.validation import parse
from tests.resources.workflows.table import say, workflow


def checked(inputs: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    return check_inputs(parse(workflow(say("a"), inputs=inputs)), given)


def codes(inputs: dict[str, Any], given: dict[str, Any]) -> list[tuple[str, str | None]]:
    with pytest.raises(InvalidInputError) as caught:
        checked(inputs, given)
    assert caught.value.code == "inputs_invalid"
    return [(problem.path, problem.code) for problem in caught.value.problems]


def test_defaults_fill_what_is_not_given() -> None:
    inputs = {"a": {"default": "x"}, "b": {"required": False}, "c": {"type": "integer"}, "d": {"default": None}}
    assert checked(inputs, {"c": 2.0}) == {"a": "x", "b": None, "c": 2, "d": None}


def test_null_stands_for_the_default() -> None:
    assert checked({"a": {"default": "x"}}, {"a": None}) == {"a": "x"}


@pytest.mark.parametrize(
    ("wanted", "value", "code"),
    [
        ({"type": "string"}, 1, "type_mismatch"),
        ({"type": "integer"}, "1", "type_mismatch"),
        ({"type": "integer"}, 1.5, "type_mismatch"),
        ({"type": "integer"}, True, "type_mismatch"),
        ({"type": "number"}, float("inf"), "type_mismatch"),
        ({"type": "boolean"}, 1, "type_mismatch"),
        ({"type": "object"}, [], "type_mismatch"),
        ({"type": "array"}, {}, "type_mismatch"),
        ({"min": 3}, "ab", "input_invalid"),
        ({"max": 3}, "abcd", "input_invalid"),
        ({"type": "integer", "min": 3}, 2, "input_invalid"),
        ({"type": "number", "max": 3}, 3.5, "input_invalid"),
        ({"type": "array", "max": 1}, [1, 2], "input_invalid"),
        ({"pattern": "[a-z]+"}, "abc1", "input_invalid"),
        ({"pattern": "a|b"}, "ab", "input_invalid"),
        ({"enum": ["a", "b"]}, "c", "input_invalid"),
        ({"type": "integer", "enum": [1]}, 2, "input_invalid"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(wanted: dict[str, Any], value: Any, code: str) -> None:
    assert codes({"x": wanted}, {"x": value}) == [("inputs.x", code)]


@pytest.mark.parametrize(
    ("wanted", "value"),
    [
        ({"type": "any"}, [1]),
        ({"type": "number"}, 1),
        ({"min": 1, "max": 3, "pattern": "a+"}, "aaa"),
        ({"enum": ["a"]}, "a"),
        ({"type": "object"}, {"a": 1}),
    ],
)
def test_a_value_that_fits_is_taken(wanted: dict[str, Any], value: Any) -> None:
    assert checked({"x": wanted}, {"x": value}) == {"x": value}


def test_all_problems_are_told_at_once() -> None:
    assert codes({"topic": {}, "size": {"type": "integer"}}, {"topik": 1, "size": "x"}) == [
        ("inputs.topik", "input_not_found"),
        ("inputs.topic", "input_missing"),
        ("inputs.size", "type_mismatch"),
    ]


def test_a_pattern_that_would_take_for_ever_elsewhere_does_not_here() -> None:
    assert not matches("(a+)+b", "a" * 50_000)
