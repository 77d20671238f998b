from __future__ import annotations

from typing import Any, Literal

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field

from resources.ai.model import OutputSchema
from resources.ai.structured import (
    AnswerInvalidError,
    check_schema,
    closed,
    members,
    openai_strict,
    output_of,
    read_answer,
    read_model,
)
from resources.errors import InvalidInputError


class Part(BaseModel):
    name: str = Field(min_length=1)
    amount: float = Field(default=1.0, ge=0)


class Report(BaseModel):
    title: str
    kind: Literal["short", "long"] = "short"
    parts: list[Part] = Field(default_factory=list, max_length=3)
    note: str | None = None
    lead: Part | None = None


SCHEMA = Report.model_json_schema()


def objects_of(schema: Any) -> list[dict[str, Any]]:
    found = [schema] if isinstance(schema, dict) and "properties" in schema else []
    inside = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    return found + [one for inner in inside for one in objects_of(inner)]


def test_strict_mode_requires_every_property_and_allows_no_other() -> None:
    strict = openai_strict(SCHEMA)
    assert strict is not None
    found = objects_of(strict)
    assert len(found) == 2
    assert all(one["additionalProperties"] is False and one["required"] == list(one["properties"]) for one in found)


def test_strict_mode_lets_what_was_optional_be_null() -> None:
    strict = openai_strict(SCHEMA)
    assert strict is not None
    assert {"type": "null"} in strict["properties"]["kind"]["anyOf"]
    Draft202012Validator(strict).validate({"title": "t", "kind": None, "parts": None, "note": None, "lead": None})


def test_rewriting_leaves_the_schema_as_it_was() -> None:
    before = Report.model_json_schema()
    openai_strict(before)
    closed(before)
    assert before == SCHEMA


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"type": "string"}},
        {"type": "object", "additionalProperties": {"type": "string"}},
        {"type": "object", "properties": {"a": {"not": {"type": "string"}}}},
        {"type": "object", "properties": {"a": {"allOf": [{"type": "string"}, {"minLength": 2}]}}},
    ],
)
def test_what_strict_mode_cannot_say_is_not_made_strict(schema: dict[str, Any]) -> None:
    assert openai_strict(schema) is None


def test_strict_mode_is_told_in_words_what_it_cannot_be_told_otherwise() -> None:
    schema = {
        "type": "object",
        "properties": {
            "names": {
                "type": "array",
                "maxItems": 3,
                "items": {"type": "string", "maxLength": 9, "description": "a name"},
            },
            "share": {"type": "integer", "minimum": 0, "maximum": 100},
        },
        "required": ["names", "share"],
    }
    strict = openai_strict(schema)
    assert strict is not None
    names, share = strict["properties"]["names"], strict["properties"]["share"]
    assert (names["maxItems"], share["maximum"]) == (3, 100)
    assert names["items"] == {"type": "string", "description": "a name (maxLength: 9)"}


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ('{"a": 1, "b": {"c": [1]}, "d": "x', {"a": 1, "b": {"c": [1]}}),
        ('{"a": "x", "b": 12', {"a": "x"}),
        ('```json\n{"a": "x"}\n```', {"a": "x"}),
        ('{"a": [1, 2], "b"', {"a": [1, 2]}),
        ("no object", {}),
        ('["a"]', {}),
        ('{"a": ' + "[" * 100_000, {}),
    ],
)
def test_of_an_object_that_was_cut_off_the_whole_members_are_read(text: str, whole: dict[str, object]) -> None:
    assert members(text) == whole


def test_a_closed_schema_says_limits_in_words() -> None:
    part = closed(SCHEMA)["$defs"]["Part"]
    assert part["additionalProperties"] is False
    assert "minLength" not in part["properties"]["name"]
    assert part["properties"]["name"]["description"] == "minLength: 1"


def test_nulls_of_strict_mode_are_taken_for_missing() -> None:
    text = '{"title": "t", "kind": null, "parts": [{"name": "a", "amount": null}], "note": null, "lead": null}'
    assert read_model(text, Report) == Report(title="t", parts=[Part(name="a")])


def test_a_null_where_a_value_is_required_is_a_problem() -> None:
    with pytest.raises(AnswerInvalidError) as caught:
        read_model('{"title": null}', Report)
    assert [problem.path for problem in caught.value.problems] == ["$.title"]


def test_all_problems_are_told_with_their_places() -> None:
    with pytest.raises(AnswerInvalidError) as caught:
        read_model('{"title": 1, "kind": "odd", "parts": [{"amount": -1}]}', Report)
    assert {problem.path for problem in caught.value.problems} == {
        "$.title",
        "$.kind",
        "$.parts[0]",
        "$.parts[0].amount",
    }


@pytest.mark.parametrize("text", ["", "Sure! Here it is", '{"title": "t"', "[1, 2"])
def test_what_is_no_json_is_a_problem(text: str) -> None:
    with pytest.raises(AnswerInvalidError) as caught:
        read_model(text, Report)
    assert caught.value.problems[0].path == "$"


def test_a_code_fence_is_taken_off() -> None:
    assert read_model('```json\n{"title": "t"}\n```', Report).title == "t"


def test_what_only_the_model_checks_is_checked() -> None:
    class Even(BaseModel):
        number: int

        def model_post_init(self, _context: Any) -> None:
            if self.number % 2:
                raise ValueError("not even")

    assert read_model('{"number": 2}', Even).number == 2
    with pytest.raises((AnswerInvalidError, ValueError)):
        read_model('{"number": 3}', Even)


def test_a_reference_to_elsewhere_is_not_fetched() -> None:
    output = OutputSchema(json_schema={"$ref": "http://127.0.0.1:9/schema.json"})
    with pytest.raises(InvalidInputError):
        read_answer("{}", output)


def test_a_schema_that_is_none_is_invalid() -> None:
    with pytest.raises(InvalidInputError):
        check_schema({"type": "strange"})


def test_the_name_of_a_schema_is_one_that_vendors_take() -> None:
    class Weird(BaseModel):
        pass

    Weird.__name__ = "List[Weird]"
    assert output_of(Weird).name == "List_Weird_"
