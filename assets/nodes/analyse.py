"""Say what can be said about a document: its language, summary, keywords, concepts, entities, objectives, quality, difficulty."""

from typing import TYPE_CHECKING, Self, cast

from pydantic import Field, model_validator

from assets.nodes.base import node, remaining
from assets.nodes.reading import ReadingConfig, check_source, read
from resources.ai.call import CallOptions
from resources.ai.model import CallContext
from resources.content import analysers
from resources.content.model import Analysis
from resources.workflows.node_type import NodeContext

if TYPE_CHECKING:
    from resources.ai.memo.model import MemoMode

_TIMEOUT = 300.0


class Config(ReadingConfig):
    """The document, and who looks at it: rules, or a model."""

    provider: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="A configured provider: a model analyses; unset = by rule",
    )
    model: str | None = Field(
        default=None, min_length=1, max_length=200, description="The provider's name for the model"
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.provider is None) != (self.model is None):
            raise ValueError("needs both `provider` and `model`, or neither")
        return self


@node(
    "analyse",
    output=Analysis,
    summary="Analyse a document: language, summary, keywords, concepts, entities, objectives, quality, difficulty, tone",
    resources={"documents", "content", "ai"},
    check=check_source,
    examples=[
        {
            "id": "analysis",
            "type": "analyse",
            "config": {"text": "Tea is made from leaves. The leaves are dried. Hot water draws the taste out of them."},
        }
    ],
)
def analyse(config: Config, context: NodeContext) -> Analysis:
    """Rule-based unless a model is named; equal texts then give equal results. Raises what the node type `parse` raises, and what
    AiCalls.complete raises.
    """
    parsed = read(config, context)
    if config.provider is None or config.model is None:
        return analysers.analyse(parsed)
    from resources.content.analysers.llm import analyse_with_model

    left = remaining(context)
    return analyse_with_model(
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
    )
