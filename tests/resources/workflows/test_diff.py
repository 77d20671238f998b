from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resources.workflows.diff import diff
from resources.workflows.validation import parse
from tests.resources.workflows.table import say, workflow

if TYPE_CHECKING:
    from resources.workflows.spec import WorkflowSpec


def spec(*nodes: dict[str, Any], **fields: Any) -> WorkflowSpec:
    return parse(workflow(*nodes, **fields))


def test_the_same_workflow_does_not_differ() -> None:
    assert not diff(spec(say("a")), spec(say("a")))


def test_every_kind_of_change_is_told_by_its_path() -> None:
    before = spec(
        say("a"), say("b", needs="a", timeout=5), {"id": "g", "type": "parallel", "nodes": [say("i")]},
        inputs={"x": {}, "y": {"max": 3}}, outputs={"o": "1"}, tags=["t"],
    )  # fmt: skip
    after = spec(
        say("a", "other"), say("c", needs="a"), {"id": "g", "type": "parallel", "nodes": [say("i", "deep"), say("j")]},
        inputs={"y": {"max": 4}, "z": {}}, outputs={"o": "2"}, tags=["t"], description="new",
    )  # fmt: skip
    found = diff(before, after)
    assert [(change.kind, change.path) for change in found.nodes] == [
        ("removed", "nodes.b"),
        ("changed", "nodes.a.config.text"),
        ("added", "nodes.c"),
        ("changed", "nodes.g.nodes.i.config.text"),
        ("added", "nodes.g.nodes.j"),
    ]
    assert [str(change) for change in found.edges] == ["- nodes.b.needs: 'a'", "+ nodes.c.needs: 'a'"]
    assert [(change.kind, change.path) for change in found.inputs] == [
        ("removed", "inputs.x"),
        ("changed", "inputs.y.max"),
        ("added", "inputs.z"),
    ]
    assert [str(change) for change in found.outputs] == ["~ outputs.o: '1' → '2'"]
    assert [(change.path, change.after) for change in found.other] == [("description", "new")]
    assert len(list(found)) == 12
    assert found


def test_fields_that_come_and_go_are_not_taken_for_changes() -> None:
    found = diff(spec(say("a") | {"config": {"text": "x"}}), spec(say("a") | {"config": {"times": 2}}))
    assert {(change.kind, change.path) for change in found.nodes} == {
        ("removed", "nodes.a.config.text"),
        ("added", "nodes.a.config.times"),
    }
