"""Find passages of the tenant's documents by meaning."""

from pydantic import BaseModel, Field

from assets.nodes.base import Text, node
from resources.content.model import SearchHit
from resources.content.search import MAX_LIMIT, MAX_QUERY, SearchService
from resources.workflows.node_type import NodeConfig, NodeContext


class Config(NodeConfig):
    """What to look for."""

    query: Text = Field(min_length=1, max_length=MAX_QUERY, description="The question, in words")
    limit: int = Field(default=10, ge=1, le=MAX_LIMIT, description="Passages at most")
    min_score: float = Field(default=0.0, ge=-1, le=1, description="Leave out passages less similar than this (cosine)")


class Output(BaseModel):
    """What was found."""

    hits: list[SearchHit] = Field(description="Passages, the nearest first")
    total: int = Field(description="How many there are")


@node(
    "search",
    output=Output,
    summary="Find passages of documents by meaning",
    resources={"embedder", "chunks"},
    examples=[{"id": "found", "type": "search", "config": {"query": "How are sessions kept?", "limit": 3}}],
)
def search(config: Config, context: NodeContext) -> Output:
    """Raises InvalidInputError for a blank query."""
    service = SearchService(context.resource("embedder"), context.resource("chunks"))
    found = service.search(config.query, tenant=context.tenant, limit=config.limit)
    hits = [hit for hit in found if hit.score >= config.min_score]
    return Output(hits=hits, total=len(hits))
