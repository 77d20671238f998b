"""End the run with an error of the author's own words."""

from typing import NoReturn

from pydantic import Field

from assets.nodes.base import Text, node
from resources.errors import UpstreamError
from resources.workflows.node_type import NodeConfig, NodeContext


class Config(NodeConfig):
    """What went wrong."""

    message: Text = Field(min_length=1, max_length=10_000, description="What a reader of the run is told")
    code: str = Field(
        default="workflow_failed", pattern=r"^[A-Za-z][A-Za-z0-9_]{0,99}$", description="Machine-readable reason"
    )
    retryable: bool = Field(default=False, description="Whether the node's retries may try again")


@node(
    "fail",
    output={"not": {}},
    summary="End the run with an error",
    examples=[{"id": "refuse", "type": "fail", "config": {"message": "No invoice has a negative total."}}],
)
def fail(config: Config, context: NodeContext) -> NoReturn:
    """Always raises."""
    raise UpstreamError(config.message, code=config.code, retryable=config.retryable, node=context.node_id)
