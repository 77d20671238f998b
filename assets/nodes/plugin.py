"""Have a plugin work on a text."""

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, Field

from assets.nodes.base import Text, node
from resources.plugins.model import PluginInput
from resources.workflows.node_type import NodeConfig, NodeContext


class Config(NodeConfig):
    """Which plugin, and on what."""

    plugin: Text = Field(min_length=1, max_length=63, description="Name of an installed and enabled plugin")
    content: Text = Field(description="The text")
    content_type: Text = Field(default="text/plain", description="What the text is")
    metadata: dict[str, Any] = Field(default_factory=dict, description="What is known of the text")
    options: dict[str, Any] = Field(default_factory=dict, description="Goes before what the plugin is configured with")


class Output(BaseModel):
    """What the plugin made of it."""

    content: str = Field(description="The text, changed where the plugin changed it")
    data: dict[str, Any] = Field(description="What it found")
    metadata: dict[str, Any] = Field(description="What is known of the text, with what the plugin says of it")


@node(
    "plugin",
    output=Output,
    summary="Have a WebAssembly plugin work on a text",
    resources={"plugins"},
    examples=[{"id": "loud", "type": "plugin", "config": {"plugin": "shout", "content": "Tea is made from leaves."}}],
)
def plugin(config: Config, context: NodeContext) -> Output:
    """Raises NotFoundError for a plugin that is not installed, and what the plugin does wrong as UpstreamError."""
    given = PluginInput(
        content=config.content,
        content_type=config.content_type,
        metadata=config.metadata,
        context={"workflow": context.workflow, "node": context.node_id},
        config=config.options,
    )
    found = context.resource("plugins").process(
        config.plugin, given, tenant=context.tenant, now=datetime.now(UTC), run_id=context.run_id
    )
    changed = found.output.modified_content
    return Output(
        content=config.content if changed is None else changed,
        data=found.output.extracted_data,
        metadata={**config.metadata, **found.output.metadata_updates},
    )
