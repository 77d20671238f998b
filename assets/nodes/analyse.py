"""Say what can be said about a document by reading it: language, summary, keywords, concepts, quality, difficulty."""

from assets.nodes.base import node
from assets.nodes.reading import ReadingConfig, check_source, read
from resources.content import analysers
from resources.content.model import Analysis
from resources.workflows.node_type import NodeContext


@node(
    "analyse",
    output=Analysis,
    summary="Analyse a document: language, summary, keywords, concepts, quality, difficulty",
    resources={"documents", "content"},
    check=check_source,
    examples=[
        {
            "id": "analysis",
            "type": "analyse",
            "config": {"text": "Tea is made from leaves. The leaves are dried. Hot water draws the taste out of them."},
        }
    ],
)
def analyse(config: ReadingConfig, context: NodeContext) -> Analysis:
    """Rule-based; equal texts give equal results. Raises what the node type `parse` raises."""
    return analysers.analyse(read(config, context))
