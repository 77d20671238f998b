"""A small table of node types of every kind, and the shortest way to check a workflow with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest
from pydantic import BaseModel, Field

from resources.workflows.node_type import NodeConfig, NodeType, NodeTypes
from resources.workflows.validation import WorkflowInvalidError, check

if TYPE_CHECKING:
    from resources.workflows.graph import CheckedWorkflow
    from resources.workflows.spec import NodeSpec


class Say(NodeConfig):
    text: str = Field(description="What to say")
    times: int = Field(default=1, ge=1)
    tone: Literal["kind", "stern"] = "kind"


class Said(BaseModel):
    text: str
    words: list[str]
    count: int


class Case(NodeConfig):
    when: str
    branch: str


class Choose(NodeConfig):
    cases: tuple[Case, ...] = ()
    several: bool = False


class Items(NodeConfig):
    items: list[Any] = Field(default_factory=list)
    as_: str = Field(default="item", alias="as")
    until: str | None = None


class Call(NodeConfig):
    workflow: str
    revision: int | None = None
    inputs: dict[str, Any] = Field(default_factory=dict)


class Anything(NodeConfig):
    value: Any = None


def branches(spec: NodeSpec) -> tuple[str, ...]:
    return tuple(case["branch"] for case in spec.config.get("cases", ()))


TYPES = NodeTypes(
    [
        NodeType("say", "Say something", Say, None, output=Said),
        NodeType("any", "Anything at all", Anything, None),
        NodeType(
            "choose",
            "Choose a branch",
            Choose,
            None,
            kind="router",
            lazy=frozenset({"cases"}),
            branches=branches,
            exclusive=lambda spec: not spec.config.get("several", False),
        ),
        NodeType("map", "For each", Items, None, kind="map", output={"type": "array"}),
        NodeType("loop", "Again and again", Items, None, kind="loop", lazy=frozenset({"until"})),
        NodeType("parallel", "Together", Anything, None, kind="parallel"),
        NodeType("call", "Another workflow", Call, None, kind="sub_workflow", output={"type": "object"}),
    ]
)


def say(id: str, text: str = "x", **fields: Any) -> dict[str, Any]:
    return {"id": id, "type": "say", "config": {"text": text}, **fields}


def choose(id: str, *names: str, **fields: Any) -> dict[str, Any]:
    cases = [{"when": "{{ inputs.x == 1 }}", "branch": name} for name in names]
    return {"id": id, "type": "choose", "config": {"cases": cases}, **fields}


def workflow(*nodes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"name": "w", "inputs": {"x": {"type": "any", "required": False}}, "nodes": list(nodes), **fields}


def checked(*nodes: dict[str, Any], **fields: Any) -> CheckedWorkflow:
    return check(workflow(*nodes, **fields), TYPES)


def problems(*nodes: dict[str, Any], **fields: Any) -> list[tuple[str, str | None]]:
    """Path and code of everything that is wrong."""
    with pytest.raises(WorkflowInvalidError) as caught:
        checked(*nodes, **fields)
    return [(problem.path, problem.code) for problem in caught.value.problems]
