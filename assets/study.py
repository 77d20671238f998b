"""A workflow over what was learned: from a topic to a study guide with a path, passages and their sources.

The text is put together by the offline writer, which is rule-based and says so; it invents nothing.
"""

import dagster as dg
from pydantic import Field

from assets.failures import RETRY_POLICY, failures
from assets.partitions import tenant_of
from resources.ai.embedder import Embedder
from resources.ai.generator import Generated
from resources.ai.offline import ExtractiveWriter
from resources.content.model import SearchHit
from resources.content.search import SearchService
from resources.content.store import ChunkIndex
from resources.errors import NotFoundError
from resources.knowledge.learning_path import LearningPaths
from resources.knowledge.model import LearningPath
from resources.knowledge.projection import GraphProjections
from resources.knowledge.store import GraphStore


class Passages(dg.Config):
    """What to look for, and how much of it."""

    topic: str = "typed web APIs in Python"
    limit: int = 6


class Goal(dg.Config):
    """What to learn, and what is known already (names of concepts)."""

    target: str = "fastapi"
    known: list[str] = Field(default_factory=list)


@dg.op(retry_policy=RETRY_POLICY, tags={"dagster/compute_kind": "postgres"})
def find_passages(
    context: dg.OpExecutionContext,
    config: Passages,
    embedder: dg.ResourceParam[Embedder],
    chunks: dg.ResourceParam[ChunkIndex],
) -> list[SearchHit]:
    """Find the passages closest in meaning to the topic."""
    with failures():
        hits = list(
            SearchService(embedder, chunks).search(config.topic, tenant=tenant_of(context.run), limit=config.limit)
        )
        if not hits:
            raise NotFoundError(
                f"Nothing was found about {config.topic!r}. Ingest documents first.", code="nothing_found"
            )
    context.add_output_metadata(
        {
            "passages": len(hits),
            "best_score": dg.MetadataValue.float(hits[0].score),
            "sources": dg.MetadataValue.json(sorted({hit.document_id for hit in hits})),
        }
    )
    return hits


@dg.op(retry_policy=RETRY_POLICY, tags={"dagster/compute_kind": "neo4j"})
def plan_path(context: dg.OpExecutionContext, config: Goal, graph: dg.ResourceParam[GraphStore]) -> LearningPath:
    """Order what has to be learned so that every prerequisite comes first."""
    with failures():
        path = LearningPaths(GraphProjections(graph)).plan(
            config.target, known=frozenset(config.known), tenant=tenant_of(context.run)
        )
    context.add_output_metadata({"steps": len(path.steps), "cut_edges": len(path.cut_edges)})
    return path


@dg.op(tags={"dagster/compute_kind": "markdown"})
def write_guide(context: dg.OpExecutionContext, passages: list[SearchHit], path: LearningPath) -> str:
    """Write the guide: the path, a summary that rests on the passages, and their sources."""
    with failures():
        summary = ExtractiveWriter().generate(path.target, passages=[hit.text for hit in passages])
    guide = render_guide(path, summary, passages)
    context.add_output_metadata(
        {
            "guide": dg.MetadataValue.md(guide),
            "model": dg.MetadataValue.text(summary.model),
            "simulated": dg.MetadataValue.bool(summary.simulated),
        }
    )
    return guide


def render_guide(path: LearningPath, summary: Generated, passages: list[SearchHit]) -> str:
    """The guide as Markdown."""
    steps = [f"{step.order}. **{step.concept.name}**: {step.reason}" for step in path.steps]
    sources = [
        f"{number}. {hit.document_title or hit.document_id}, characters {hit.start} to {hit.end} (score {hit.score:.2f})"
        for number, hit in enumerate(passages, 1)
    ]
    notice = [f"> {summary.notice}", ""] if summary.notice else []
    return "\n".join(
        [
            f"# {path.target}: a study guide",
            "",
            *notice,
            "## Path",
            *steps,
            "",
            "## Summary",
            summary.text,
            "",
            "## Sources",
            *sources,
        ]
    )


@dg.graph
def study_guide_graph() -> None:
    """Passages and a path, found side by side, become one guide."""
    write_guide(find_passages(), plan_path())


STUDY_GUIDE = study_guide_graph.to_job(
    name="study_guide", description="A study guide on what was learned: a path, a summary and its sources."
)
