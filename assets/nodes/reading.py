"""Where a node's document comes from: the catalogue, by id, or text that the workflow has."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from assets.nodes.base import MAX_TEXT, Text
from resources.content.ingestion import parse_stored
from resources.content.model import MediaType, ParsedDocument
from resources.content.parse import parse_document
from resources.content.parsers.base import ParseLimits
from resources.errors import NotFoundError, Problem
from resources.workflows.node_type import NodeConfig, NodeContext
from resources.workflows.spec import NodeSpec

if TYPE_CHECKING:
    from resources.content.store import DocumentStore
    from resources.settings import ContentSettings


class ReadingConfig(NodeConfig):
    """A document of the catalogue, or a text."""

    document: str | None = Field(default=None, max_length=200, description="Id of a document of the catalogue")
    text: Text | None = Field(default=None, max_length=MAX_TEXT, description="The text itself, in place of a document")
    media_type: MediaType = Field(
        default=MediaType.TEXT, description="How the text is written: text/plain, text/markdown, text/html, …"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.document is None) == (self.text is None):
            raise ValueError("needs either `document` or `text`, and not both")
        return self


def check_source(spec: NodeSpec) -> Sequence[Problem]:
    """Exactly one of the two, as far as it is written down."""
    if (spec.config.get("document") is None) == (spec.config.get("text") is None):
        return (Problem("config", "needs either `document` or `text`", "and not both"),)
    return ()


def limits_of(content: "ContentSettings") -> ParseLimits:
    """How much of one document is too much, as the settings say."""
    return ParseLimits(
        max_bytes=content.max_bytes,
        max_depth=content.max_depth,
        max_pages=content.max_pages,
        timeout=content.parse_timeout,
    )


def read(config: ReadingConfig, context: NodeContext) -> ParsedDocument:
    """The document with its structure: read before, or now. Hostile formats are read in a process of their own.

    Raises NotFoundError for an unknown id, and what `parse_document` raises.
    """
    limits = limits_of(context.resource("content"))
    if config.text is not None:
        return parse_document(config.text.encode(), declared=config.media_type, limits=limits)
    assert config.document is not None
    documents: DocumentStore = context.resource("documents")
    document = documents.get(config.document, tenant=context.tenant)
    try:
        sha256, parsed = documents.get_parsed(document.id, tenant=context.tenant)
    except NotFoundError:
        sha256, parsed = None, None
    if parsed is not None and sha256 == document.sha256:
        return parsed
    return parse_stored(document, documents=documents, limits=limits)
