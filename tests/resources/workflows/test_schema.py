from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from resources.workflows.loading import read
from resources.workflows.schema import json_schema
from tests.resources.workflows.table import TYPES, choose, say, workflow
from tests.resources.workflows.test_builder import YAML

VALIDATOR = jsonschema.Draft202012Validator(json_schema(TYPES))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema(TYPES))


@pytest.mark.parametrize(
    "raw",
    [
        read(YAML).raw,
        workflow(say("a"), estimated_duration=600),
        workflow(say("a"), choose("r", "x"), say("b", needs="a", asset={"key": "a/b"})),
        {"name": "w", "nodes": {"a": {"type": "say", "config": {"text": "x", "times": "{{ inputs.n }}"}}}},
        {
            "name": "w",
            "nodes": {"a": {"type": "map", "config": {"items": "{{ inputs.list }}"}, "nodes": {"b": {"type": "any"}}}},
        },
    ],
)
def test_right_workflows_fit(raw: dict[str, Any]) -> None:
    VALIDATOR.validate(raw)


@pytest.mark.parametrize(
    "raw",
    [
        {"name": "w"},
        {"name": "Bad Name", "nodes": []},
        workflow({"id": "a", "type": "unknown"}),
        workflow({"id": "a", "type": "say"}),
        workflow(say("a") | {"config": {"text": "x", "times": "three"}}),
        workflow(say("a") | {"config": {"text": "x", "extra": 1}}),
        workflow(say("a") | {"config": {"text": "x", "tone": "rude"}}),
        workflow(say("a", need="b")),
        workflow({"type": "any"}),
        {"name": "w", "nodes": {"a": {"type": "parallel", "nodes": {"b": {"type": "nothing"}}}}},
    ],
)
def test_wrong_workflows_do_not(raw: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(raw)
