"""Hand a text in as a document: what a workflow wrote becomes part of what is known."""

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, Field

from assets.nodes.base import MAX_TEXT, Text, node
from resources.content.intake import DocumentIntake
from resources.content.model import DocumentSource, MediaType
from resources.content.parsers.base import ParseLimits
from resources.workflows.node_type import NodeConfig, NodeContext

if TYPE_CHECKING:
    from resources.settings import ContentSettings


class Config(NodeConfig):
    """The document."""

    text: Text = Field(min_length=1, max_length=MAX_TEXT, description="What it says")
    name: Text = Field(min_length=1, max_length=255, description="A file name, or a name for people")
    uri: Text | None = Field(
        default=None,
        max_length=2048,
        description="Its identity: the same uri with another text is a new revision; unset: made from workflow and name",
    )
    media_type: MediaType = Field(default=MediaType.MARKDOWN, description="How the text is written")
    title: Text | None = Field(default=None, max_length=500, description="Its title; unset: as the text says")
    subject: Text | None = Field(default=None, max_length=200, description="The concept that it is about")
    requires: tuple[Text, ...] = Field(default=(), max_length=500, description="Concepts to know before it")
    tags: tuple[Text, ...] = Field(default=(), max_length=50, description="Labels to find it by")


class Output(BaseModel):
    """Where it is."""

    document_id: str = Field(description="Its id in the catalogue")
    uri: str = Field(description="Its identity")
    sha256: str = Field(description="Of its bytes")
    outcome: Literal["received", "unchanged"] = Field(
        description="received: a run will read it; unchanged: these bytes are known already"
    )


@node(
    "ingest",
    output=Output,
    summary="Hand a text in as a document, which the main job then reads",
    resources={"documents", "events", "content"},
    effects=True,
    compute_kind="postgres",
    examples=[{"id": "kept", "type": "ingest", "config": {"name": "tea.md", "text": "# Tea\n\nLeaves in hot water."}}],
)
def ingest(config: Config, context: NodeContext) -> Output:
    """Safe to repeat. Raises InvalidInputError, LimitExceededError, and ConflictError for a text known under another uri."""
    content: ContentSettings = context.resource("content")
    intake = DocumentIntake(
        context.resource("documents"),
        context.resource("events"),
        limits=ParseLimits(
            max_bytes=content.max_bytes,
            max_depth=content.max_depth,
            max_pages=content.max_pages,
            timeout=content.parse_timeout,
        ),
    )
    source = DocumentSource(
        uri=config.uri or f"workflow:{context.workflow}/{config.name}",
        name=config.name,
        media_type=config.media_type,
        title=config.title,
        subject=config.subject,
        requires=config.requires,
        tags=config.tags,
    )
    receipt = intake.receive(source, config.text.encode(), tenant=context.tenant)
    return Output(
        document_id=receipt.document.id,
        uri=source.uri,
        sha256=receipt.document.sha256,
        outcome=receipt.outcome,
    )
