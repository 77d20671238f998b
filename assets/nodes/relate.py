"""Read out of a document how concepts hang together, and weave it into the tenant's graph of knowledge."""

from typing import TYPE_CHECKING, Self, cast

from pydantic import BaseModel, Field, model_validator

from assets.nodes.base import Text, node, remaining
from resources.ai.call import CallOptions
from resources.ai.model import CallContext
from resources.content.chunking import chunk
from resources.knowledge.extraction import extract
from resources.knowledge.model import Concept, Edge
from resources.workflows.node_type import NodeConfig, NodeContext

if TYPE_CHECKING:
    from resources.ai.memo.model import MemoMode
    from resources.content.store import DocumentStore
    from resources.knowledge.store import GraphStore
    from resources.settings import ContentSettings

_TIMEOUT = 300.0


class Config(NodeConfig):
    """The document, and who reads it: rules, or a model on top of them."""

    document_id: Text = Field(min_length=1, max_length=500, description="A document that was ingested")
    provider: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="A configured provider: a model reads, too; unset = rules",
    )
    model: str | None = Field(
        default=None, min_length=1, max_length=200, description="The provider's name for the model"
    )
    weave: bool = Field(default=True, description="Make what was read the document's contribution to the graph")

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.provider is None) != (self.model is None):
            raise ValueError("needs both `provider` and `model`, or neither")
        return self


class Output(BaseModel):
    """What the document says about concepts."""

    concepts: list[Concept]
    edges: list[Edge]


@node(
    "relate",
    output=Output,
    summary="Read how concepts hang together out of a document, and weave it into the graph of knowledge",
    resources={"documents", "content", "graph", "ai"},
    compute_kind="graph",
    examples=[{"id": "relations", "type": "relate", "config": {"document_id": "notes"}}],
)
def relate(config: Config, context: NodeContext) -> Output:
    """Raises NotFoundError for a document that is not there or not analysed yet, and what AiCalls.complete raises."""
    documents: DocumentStore = context.resource("documents")
    content: ContentSettings = context.resource("content")
    graph: GraphStore = context.resource("graph")
    document = documents.get(config.document_id, tenant=context.tenant)
    _, parsed = documents.get_parsed(config.document_id, tenant=context.tenant)
    _, analysis = documents.get_analysis(config.document_id, tenant=context.tenant)
    passages = chunk(parsed, target=content.chunk_chars, overlap=content.chunk_overlap)
    spans = [(item.start, item.end) for item in passages]
    found = extract(document, parsed, analysis, passages=spans, run_id=context.run_id)
    if config.provider is not None and config.model is not None:
        from resources.knowledge.llm import extract_with_model

        left = remaining(context)
        found = extract_with_model(
            found,
            parsed,
            context.resource("ai"),
            provider=config.provider,
            model=config.model,
            caller=CallContext(
                tenant=context.tenant,
                workflow=context.workflow,
                run_id=context.run_id,
                node_id=context.node_id,
                correlation_id=context.correlation_id,
            ),
            options=CallOptions(
                memo=cast("MemoMode", context.memo), timeout=_TIMEOUT if left is None else min(_TIMEOUT, left)
            ),
            passages=spans,
        )
    if config.weave:
        graph.weave(found, tenant=context.tenant)
    return Output(concepts=list(found.concepts), edges=list(found.edges))
