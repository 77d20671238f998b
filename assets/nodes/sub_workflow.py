"""Another workflow as one node of this one."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from assets.nodes.base import is_expression
from resources.errors import Problem
from resources.workflows.node_type import NodeConfig, NodeType
from resources.workflows.spec import NAME, NodeSpec


class Config(NodeConfig):
    """Which workflow, and what it is given."""

    workflow: str = Field(pattern=NAME, max_length=100, description="Name of the published workflow")
    revision: int | None = Field(
        default=None, ge=1, description="Its revision; unset: the newest when this workflow is published"
    )
    inputs: dict[str, Any] = Field(default_factory=dict, description="Values for its inputs, with expressions")


def _check(spec: NodeSpec) -> Sequence[Problem]:
    """The workflow that runs is known before it runs: name and revision are part of the graph."""
    return [
        Problem(f"config.{name}", "cannot be an expression", "which workflow it is must be known when it is published")
        for name in ("workflow", "revision")
        if is_expression(spec.config.get(name))
    ]


sub_workflow = NodeType(
    name="sub_workflow",
    kind="sub_workflow",
    summary="Run another workflow as a part of this one; the output holds its outputs by name",
    config=Config,
    run=None,
    output={"type": "object"},
    check=_check,
    examples=({"id": "greet", "type": "sub_workflow", "config": {"workflow": "hello", "inputs": {"who": "world"}}},),
)
