"""A model that works with tools until it has an answer."""

from typing import Any

from pydantic import Field

from assets.nodes.base import Text, unavailable
from resources.workflows.node_type import NodeConfig, NodeType

_check, _run = unavailable("no agents are set up on this platform; use `prompt` for one call of a model")


class Config(NodeConfig):
    """Whom to ask, and what."""

    agent: str = Field(min_length=1, max_length=200, description="Name of the agent")
    prompt: Text = Field(min_length=1, description="What the agent is to do")
    inputs: dict[str, Any] = Field(default_factory=dict, description="What it is given besides")


agent = NodeType(
    name="agent",
    summary="Have an agent work with tools until it has an answer",
    config=Config,
    run=_run,
    output={"type": "object"},
    check=_check,
    examples=({"id": "clerk", "type": "agent", "config": {"agent": "clerk", "prompt": "File the invoice."}},),
)
