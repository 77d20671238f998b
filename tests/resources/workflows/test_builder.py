from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.errors import InvalidInputError, Problem
from resources.workflows.builder import WorkflowBuilder
from resources.workflows.loading import load
from resources.workflows.validation import WorkflowInvalidError
from tests.resources.workflows.table import TYPES

YAML = """\
name: triage
description: Sorts letters.
version: "2"
inputs:
  x: {type: string, min: 1}
nodes:
  - id: sort
    type: choose
    config: {cases: [{when: "{{ inputs.x }}", branch: "true"}, {when: "{{ not inputs.x }}", branch: "false"}]}
  - {id: long, type: say, config: {text: long}, needs: sort:true}
  - {id: short, type: say, config: {text: short}, needs: sort:false, timeout: 5}
  - {id: answer, type: say, config: {text: "{{ inputs.x }}"}, needs: [long, short], join: any}
  - {id: both, type: parallel, nodes: [{id: one, type: any}, {id: two, type: any}]}
  - {id: rows, type: map, config: {items: [1, 2], as: row}, nodes: [{id: row_of, type: say, config: {text: "{{ row }}"}}]}
  - {id: again, type: loop, config: {items: [1], until: "{{ state }}"}, nodes: {turn: {type: any}}}
  - {id: end, type: say, config: {text: end}, needs: [answer, both]}
outputs: {answer: "{{ nodes.answer.output.text }}"}
triggers: [{type: event, event: document.ready, inputs: {x: "{{ event.data.document_id }}"}}]
config: {timeout: 60, max_parallel: 4, retries: 1}
metadata: {owner: ada}
tags: [post, demo]
"""


def built() -> WorkflowBuilder:
    return (
        WorkflowBuilder("triage")
        .describe("Sorts letters.")
        .version("2")
        .input("x", min=1)
        .add_node(
            "sort",
            "choose",
            {
                "cases": [
                    {"when": "{{ inputs.x }}", "branch": "true"},
                    {"when": "{{ not inputs.x }}", "branch": "false"},
                ]
            },
        )
        .add_node("long", "say", {"text": "long"})
        .add_node("short", "say", {"text": "short"}, timeout=5)
        .branch_if("sort", true="long", false="short")
        .add_node("answer", "say", {"text": "{{ inputs.x }}"})
        .merge_to("answer", "long", "short")
        .parallel("both", WorkflowBuilder("body").add_node("one", "any").add_node("two", "any"))
        .map_over("rows", [1, 2], [{"id": "row_of", "type": "say", "config": {"text": "{{ row }}"}}], **{"as": "row"})
        .loop("again", [{"id": "turn", "type": "any"}], items=[1], until="{{ state }}")
        .add_node("end", "say", {"text": "end"})
        .connect("answer", "end")
        .connect("both", "end")
        .output("answer", "{{ nodes.answer.output.text }}")
        .trigger("event", event="document.ready", inputs={"x": "{{ event.data.document_id }}"})
        .timeout(60)
        .max_parallel(4)
        .config(retries=1)
        .metadata(owner="ada")
        .tags("post", "demo")
    )


def test_the_builder_gives_what_yaml_gives() -> None:
    spec = built().build(TYPES)
    assert spec == load(YAML)
    assert spec.fingerprint() == load(YAML).fingerprint()


def test_a_schedule_is_set() -> None:
    spec = WorkflowBuilder("w").add_node("a", "any").schedule("0 7 * * *").build(TYPES)
    assert spec.schedule == "0 7 * * *"


def test_rules_of_ones_own_are_asked_and_told_with_all_other_problems() -> None:
    def needs_owner(spec: Any) -> list[Problem]:
        return [] if "owner" in spec.metadata else [Problem("metadata.owner", "is required here")]

    builder = WorkflowBuilder("w").add_node("a", "sey").validate(needs_owner)
    with pytest.raises(WorkflowInvalidError) as caught:
        builder.build(TYPES)
    assert [problem.path for problem in caught.value.problems] == ["nodes.a.type", "metadata.owner"]
    builder.metadata(owner="ada").build()


def test_ids_are_looked_at_when_they_are_used() -> None:
    builder = WorkflowBuilder("w").add_node("a", "any")
    with pytest.raises(InvalidInputError, match="already"):
        builder.add_node("a", "any")
    with pytest.raises(InvalidInputError, match="no node 'b'"):
        builder.connect("a", "b")


IDS = st.from_regex(r"n[a-z0-9_]{0,8}", fullmatch=True)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.lists(st.tuples(IDS, VALUES), min_size=1, max_size=6, unique_by=lambda pair: pair[0]), st.data())
def test_whatever_is_built_is_what_the_same_yaml_says(nodes: list[tuple[str, Any]], data: st.DataObject) -> None:
    builder = WorkflowBuilder("w")
    raw: list[dict[str, Any]] = []
    for position, (name, value) in enumerate(nodes):
        builder.add_node(name, "any", {"value": value})
        raw.append({"id": name, "type": "any", "config": {"value": value}})
        if position:
            before = data.draw(st.sampled_from([one for one, _ in nodes[:position]]))
            builder.connect(before, name)
            raw[-1]["needs"] = [before]
    text = "# YAML, as JSON is\n" + json.dumps({"name": "w", "nodes": raw}, ensure_ascii=False)
    assert load(text).fingerprint() == builder.build().fingerprint()
