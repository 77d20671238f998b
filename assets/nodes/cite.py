"""Answer from passages, each sentence with where it stands; or check that what a model wrote stands there."""

from pydantic import ConfigDict, Field

from assets.nodes.base import Text, node
from resources.content.answering import CitedAnswer, Claim, checked, extract
from resources.content.model import SearchHit
from resources.workflows.node_type import NodeConfig, NodeContext


class Passage(NodeConfig):
    """A passage as a search gives it."""

    model_config = ConfigDict(extra="ignore")

    document_id: str = Field(description="Id of its document")
    document_title: str | None = Field(default=None, description="Title of its document")
    ordinal: int = Field(ge=0, description="Its number within the document")
    text: str = Field(max_length=100_000, description="What it says")
    section: str | None = Field(default=None, description="The heading that it stands under")
    start: int = Field(ge=0, description="Where it begins in the document's text")
    end: int = Field(ge=0, description="Where it ends in the document's text")


class Config(NodeConfig):
    """The question, and what may be said."""

    question: Text = Field(min_length=1, max_length=1000, description="What was asked")
    passages: tuple[Passage, ...] = Field(max_length=100, description="Passages that a search has found")
    claims: tuple[Claim, ...] | None = Field(
        default=None, max_length=100, description="What a model answers, to be checked; unset = answer by rule"
    )
    sentences: int = Field(default=3, ge=1, le=20, description="Sentences at most, of an answer by rule")


@node(
    "cite",
    output=CitedAnswer,
    summary="Answer from passages, every sentence with where it stands",
    resources={"embedder"},
    examples=[
        {
            "id": "answer",
            "type": "cite",
            "config": {
                "question": "What is tea made from?",
                "passages": [
                    {"document_id": "tea", "ordinal": 0, "text": "Tea is made from leaves.", "start": 0, "end": 24}
                ],
            },
        }
    ],
)
def cite(config: Config, context: NodeContext) -> CitedAnswer:
    """An answer by rule takes sentences word for word. Of a model's, those without support are left out."""
    passages = [SearchHit(**passage.model_dump(), score=0.0) for passage in config.passages]
    if config.claims is None:
        return extract(config.question, passages, context.resource("embedder"), most=config.sentences)
    return checked(config.claims, passages)
