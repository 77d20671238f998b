"""Wait."""

import time

from pydantic import BaseModel, Field

from assets.nodes.base import node, pause
from resources.workflows.node_type import NodeConfig, NodeContext


class Config(NodeConfig):
    """How long."""

    seconds: float = Field(ge=0, le=3600, description="Seconds to wait; a cancelled run stops waiting at once")


class Output(BaseModel):
    """How long it was."""

    seconds: float = Field(description="Seconds that were waited")


@node(
    "delay",
    output=Output,
    summary="Wait for some seconds",
    examples=[{"id": "settle", "type": "delay", "config": {"seconds": 0.01}}],
)
def delay(config: Config, context: NodeContext) -> Output:
    """Raises LimitExceededError when the node's timeout comes first, ConflictError when the run is cancelled."""
    started = time.monotonic()
    pause(context, config.seconds)
    return Output(seconds=time.monotonic() - started)
