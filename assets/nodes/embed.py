"""Turn texts into vectors whose cosine tells how close their meanings are."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from assets.nodes.base import Text, check_deadline, node
from resources.workflows.node_type import NodeConfig, NodeContext

if TYPE_CHECKING:
    from resources.ai.embedder import Embedder

MAX_TEXTS = 10_000
_BATCH = 64


def _listed(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else [value]


class Config(NodeConfig):
    """The texts."""

    texts: Annotated[tuple[Text, ...], BeforeValidator(_listed)] = Field(
        min_length=1, max_length=MAX_TEXTS, description="A text, or a list of texts"
    )


class Output(BaseModel):
    """The vectors."""

    model: str = Field(description="The model and its version; vectors of different models must never be compared")
    dimensions: int = Field(description="Numbers in one vector")
    vectors: list[list[float]] = Field(description="A vector of unit length for each text, in order")


@node(
    "embed",
    output=Output,
    summary="Turn texts into vectors",
    resources={"embedder"},
    compute_kind="onnx",
    examples=[{"id": "vectors", "type": "embed", "config": {"texts": ["a cat", "a kitten"]}}],
)
def embed(config: Config, context: NodeContext) -> Output:
    """With the platform's embedding model, which needs no key."""
    embedder: Embedder = context.resource("embedder")
    vectors: list[list[float]] = []
    for start in range(0, len(config.texts), _BATCH):
        check_deadline(context)
        vectors += embedder.embed(config.texts[start : start + _BATCH]).tolist()
    return Output(model=embedder.model_id, dimensions=embedder.dimensions, vectors=vectors)
