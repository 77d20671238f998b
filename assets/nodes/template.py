"""Fill in a text."""

from pydantic import BaseModel, Field

from assets.nodes.base import MAX_TEXT, Text, node
from resources.workflows.node_type import NodeConfig, NodeContext


class Config(NodeConfig):
    """What to write."""

    template: Text = Field(max_length=MAX_TEXT, description="The text, with expressions in double braces")


class Output(BaseModel):
    """The text."""

    text: str = Field(description="The template with its expressions filled in")


@node(
    "template",
    output=Output,
    summary="Fill in a text",
    compute_kind="text",
    examples=[{"id": "greet", "type": "template", "config": {"template": "{{ 'hello' | title }}, world!"}}],
)
def template(config: Config, context: NodeContext) -> Output:
    """The expressions are filled in already."""
    del context
    return Output(text=config.template)
