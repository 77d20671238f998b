"""A little knowledge to ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.content.model import Chunk, sha256_of
from resources.content.retrieval.model import Facts
from resources.knowledge.model import Concept, Edge, EdgeType, Evidence, Extraction, LearningResource, Origin

if TYPE_CHECKING:
    from api.dependencies import Services
    from resources.ai.embedder import Embedder
    from resources.content.store import ChunkIndex

PASSAGES = (
    "Boil fresh water and pour it over the tea leaves.",
    "A relational database keeps rows in tables and answers queries.",
    "The river froze over in January and the boats stayed ashore.",
)


def teach(services: Services, index: ChunkIndex, embedder: Embedder, *, tenant: str) -> None:
    """Make passages findable, and weave: tea requires water, water requires fire; coffee stands alone."""
    from resources.content.model import DocumentSource

    source = DocumentSource(uri="upload:notes.md", name="notes.md", title="Notes", tags=("drinks",))
    document = services.intake.receive(source, b"# Notes\n\n" + "\n\n".join(PASSAGES).encode(), tenant=tenant).document
    chunks = [
        Chunk(
            ordinal=number,
            text=text,
            start=9 + 100 * number,
            end=9 + 100 * number + len(text),
            section=None,
            sha256=sha256_of(text.encode()),
        )
        for number, text in enumerate(PASSAGES)
    ]
    index.replace(
        document.id,
        chunks,
        embedder.embed(list(PASSAGES)),
        model_id=embedder.model_id,
        title=document.title,
        tenant=tenant,
    )
    facts = Facts(media_type=document.media_type.value, tags=document.source.tags)
    index.describe(document.id, facts, tenant=tenant)
    names = ("Tea", "Water", "Fire", "Coffee")
    services.graph.weave(
        Extraction(
            document_id=document.id,
            sha256=document.sha256,
            title="Notes",
            concepts=tuple(Concept(id=name.lower(), name=name, kind="subject") for name in names),
            mentions={name.lower(): 0.5 for name in names},
            edges=(
                Edge(source="tea", target="water", type=EdgeType.REQUIRES),
                Edge(source="water", target="fire", type=EdgeType.REQUIRES),
            ),
            evidence={"tea": Evidence(origin=Origin.STRUCTURE, chunks=(0,))},
            passages=tuple((chunk.start, chunk.end) for chunk in chunks),
            resource=LearningResource(
                url=source.uri,
                title="Notes",
                resource_type="page",
                format=document.media_type.value,
                source="upload",
                quality=0.8,
                difficulty="beginner",
                minutes=1,
                language="en",
            ),
        ),
        tenant=tenant,
    )
