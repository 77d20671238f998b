"""Another workflow as one node of this one."""

from typing import Any

from pydantic import Field

from resources.workflows.node_type import NodeConfig, NodeType
from resources.workflows.spec import NAME


class Config(NodeConfig):
    """Which workflow, and what it is given."""

    workflow: str = Field(pattern=NAME, max_length=100, description="Name of the published workflow")
    revision: int | None = Field(
        default=None, ge=1, description="Its revision; unset: the newest when this workflow is published"
    )
    inputs: dict[str, Any] = Field(default_factory=dict, description="Values for its inputs, with expressions")


sub_workflow = NodeType(
    name="sub_workflow",
    kind="sub_workflow",
    summary="Run another workflow as a part of this one; the output holds its outputs by name",
    config=Config,
    run=None,
    output={"type": "object"},
    examples=({"id": "greet", "type": "sub_workflow", "config": {"workflow": "hello", "inputs": {"who": "world"}}},),
)
