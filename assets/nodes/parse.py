"""Read a document: its text, title, sections, links and tables."""

from assets.nodes.base import node
from assets.nodes.reading import ReadingConfig, check_source, read
from resources.content.model import ParsedDocument
from resources.workflows.node_type import NodeContext


@node(
    "parse",
    output=ParsedDocument,
    summary="Read a document: its text and structure",
    resources={"documents", "content"},
    check=check_source,
    examples=[
        {
            "id": "parsed",
            "type": "parse",
            "config": {"text": "# Tea\n\nPour [water](https://example.org) on leaves.", "media_type": "text/markdown"},
        }
    ],
)
def parse(config: ReadingConfig, context: NodeContext) -> ParsedDocument:
    """Raises NotFoundError for an unknown document, InvalidInputError and LimitExceededError for what cannot be read."""
    return read(config, context)
