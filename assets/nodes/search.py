"""Find passages of the tenant's documents by words and by meaning."""

from pydantic import BaseModel, Field

from assets.nodes.base import Text, node
from resources.content.retrieval.model import Filters, Mode
from resources.content.search import MAX_LIMIT, MAX_QUERY, PassageHit, SearchService
from resources.knowledge.projection import GraphProjections
from resources.knowledge.retrieval import GraphSearch
from resources.workflows.node_type import NodeConfig, NodeContext


class Config(NodeConfig):
    """What to look for."""

    query: Text = Field(min_length=1, max_length=MAX_QUERY, description="The question, in words")
    mode: Mode = Field(
        default=Mode.MEANING, description="By meaning, by words, by both, fused by rank, or along the graph as well"
    )
    filters: Filters = Field(default=Filters(), description="What the passages' documents must be")
    limit: int = Field(default=10, ge=1, le=MAX_LIMIT, description="Passages at most")
    min_score: float = Field(default=0.0, ge=-1, le=1, description="Leave out passages less similar than this (cosine)")
    rerank: bool = Field(default=False, description="Put the first 50 in order of nearness and words held together")


class Output(BaseModel):
    """What was found."""

    hits: list[PassageHit] = Field(description="Passages, the best first")
    total: int = Field(description="How many there are")


@node(
    "search",
    output=Output,
    summary="Find passages of documents by words and by meaning",
    resources={"embedder", "chunks", "graph"},
    examples=[
        {"id": "found", "type": "search", "config": {"query": "How are sessions kept?", "limit": 3}},
        {
            "id": "narrowed",
            "type": "search",
            "config": {"query": "sessions", "mode": "hybrid", "filters": {"tags": ["guide"], "min_quality": 0.5}},
        },
    ],
)
def search(config: Config, context: NodeContext) -> Output:
    """By meaning, a passage's score is its cosine. Raises InvalidInputError for a blank query."""
    search_ = SearchService(context.resource("embedder"), context.resource("chunks"))
    service: SearchService | GraphSearch = search_
    if config.mode is Mode.GRAPH:
        service = GraphSearch(search_, GraphProjections(context.resource("graph")))
    page = service.find(
        config.query,
        tenant=context.tenant,
        mode=config.mode,
        filters=config.filters,
        limit=config.limit,
        rerank=config.rerank,
    )
    hits = [hit for hit in page.hits if hit.similarity is None or hit.similarity >= config.min_score]
    if config.mode is Mode.MEANING:
        hits = [hit.model_copy(update={"score": hit.similarity}) for hit in hits]
    return Output(hits=hits, total=len(hits))
