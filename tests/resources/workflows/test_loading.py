from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from resources.workflows.loading import load, load_file, load_folder, read
from resources.workflows.validation import WorkflowInvalidError, parse

if TYPE_CHECKING:
    from pathlib import Path

HELLO = """\
name: hello
inputs:
  who: {type: string, default: world}
nodes:
  greet: {type: say, config: {text: "Hello, {{ inputs.who }}!"}}
outputs: {greeting: "{{ nodes.greet.output.text }}"}
"""

LEVELS = zip("abcdefg", "bcdefgh", strict=True)
BOMB = "a: &a [1]\n" + "".join(f"{name}: &{name} [{','.join([f'*{last}'] * 9)}]\n" for last, name in LEVELS)


def why(text: str | bytes) -> list[str]:
    with pytest.raises(WorkflowInvalidError) as caught:
        load(text)
    return [str(problem) for problem in caught.value.problems]


def test_yaml_and_json_give_the_same_workflow() -> None:
    spec = load(HELLO)
    assert spec.nodes[0].id == "greet"
    raw = read(HELLO).raw
    assert load(json.dumps(raw, indent="\t")).fingerprint() == load(HELLO.encode()).fingerprint() == spec.fingerprint()


def test_nodes_as_a_list_and_as_a_mapping_are_the_same() -> None:
    listed = HELLO.replace("  greet: {type", "  - {id: greet, type")
    assert load(listed).fingerprint() == load(HELLO).fingerprint()


def test_problems_tell_line_and_column() -> None:
    text = "name: a\nnodes:\n  - id: x\n    type: say\n    timeout: -5\n  - id: y\n    typ: say\n"
    assert why(text) == [
        "nodes.x.timeout: Input should be greater than 0 (line 5, column 5)",
        "nodes.y.type: is required (line 6, column 5)",
        "nodes.y.typ: there is no such field (line 7, column 5: did you mean 'type'?)",
    ]


def test_words_and_times_stay_texts() -> None:
    raw = read("a: no\nb: on\nc: 12:30\nd: 2026-01-31\ne: 1e3\nf: 007\ng: ~\nh: true\ni: 0x10\nj: '1'").raw
    assert raw == {
        "a": "no", "b": "on", "c": "12:30", "d": "2026-01-31", "e": 1000.0, "f": 7, "g": None, "h": True, "i": "0x10", "j": "1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name: [", "line 2"),
        ("[1]", "mapping"),
        ("", "mapping"),
        ("name: a\nname: b", "two 'name'"),
        ("? [a]\n: b", "key"),
        ("a: !!python/object/apply:os.system [ls]", "tag"),
        ("a: !!python/name:os.system", "tag"),
        ("a: 1\n---\nb: 2", "single document"),
        ("a: \x00", "not YAML"),
        (b"a: \xff\xfe", "not YAML"),
        ("[" * 100_000, "nested too deeply"),
        ("a: " * 1, "is required"),
        ("&a [*a]", "mapping"),
        ("a: &a\n  b: *a", "nested too deeply"),
        ("x" * (4 * 1024 * 1024 + 1), "more than"),
        (BOMB, "too many"),
    ],
)  # fmt: skip
def test_a_bad_text_is_refused_and_harms_nobody(text: str | bytes, reason: str) -> None:
    assert reason in why(text)[0]


def test_a_bad_file_in_a_folder_is_told_and_takes_nothing_else_down(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(HELLO)
    (tmp_path / "bad.yml").write_text("name: [")
    (tmp_path / "same.yaml").write_text(HELLO)
    (tmp_path / "other.json").write_text(json.dumps(read(HELLO).raw | {"name": "other"}))
    (tmp_path / "notes.txt").write_text("no workflow")
    (tmp_path / "folder.yaml").mkdir()
    found = load_folder(tmp_path)
    assert sorted(found.specs) == ["hello", "other"]
    assert sorted(found.broken) == ["bad.yml", "folder.yaml", "same.yaml"]
    assert load_file(tmp_path / "good.yaml") == found.specs["hello"]


def test_what_is_stored_is_read_back_as_it_was() -> None:
    spec = parse(
        {
            "name": "w",
            "inputs": {"a": {"default": None}, "b": {"default": 0, "type": "integer"}, "c": {"required": False}},
            "nodes": [{"id": "n", "type": "say", "config": {"x": None, "y": [1.5, {}]}, "asset": {"key": "a/b"}}],
            "triggers": [{"type": "webhook", "name": "h"}, {"type": "event", "event": "document.*"}],
            "estimated_duration": 600,
        }
    )
    again = type(spec).model_validate_json(spec.canonical())
    assert again.fingerprint() == spec.fingerprint()
    assert again.inputs == spec.inputs
