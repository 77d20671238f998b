"""Documents in: each is a partition, and each step of its way is an asset that a person can look at and repeat.

    received → parsed → analysis ──→ concepts ─┐
                  └───→ embeddings ────────────┴→ published

The steps keep their results in the platform's stores, keyed by the document's bytes: a step whose input has not changed says
so and does nothing, however often it is materialised. What is unreadable is rejected with a reason, and stops there alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

import dagster as dg

from assets.failures import RETRY_POLICY, failures
from assets.partitions import DOCUMENTS, correlated_with
from assets.previews import markdown_preview, table
from resources.ai.embedder import Embedder
from resources.content.chunking import chunk
from resources.content.ingestion import analyse_step, describe, embed_step, parse_step
from resources.content.model import DocumentStatus
from resources.content.parsers.base import ParseLimits
from resources.content.store import ChunkIndex, DocumentStore
from resources.errors import ConflictError
from resources.events.catalog import DocumentReady
from resources.events.model import EventMetadata, StreamId
from resources.events.store import EventStore
from resources.knowledge.algorithms.prerequisites import cycles
from resources.knowledge.extraction import extract
from resources.knowledge.model import EdgeType
from resources.knowledge.store import GraphStore
from resources.settings import ContentSettings
from resources.telemetry import correlation

OWNERS = ["team:knowledge"]
_Made = dg.MaterializeResult[None] | Iterator[dg.MaterializeResult[None]]
_NO_CHECKS: Final[Mapping[str, str]] = MappingProxyType({})
_SHOWN_TABLES = 3
_SHOWN_TERMS = 15

RECEIVED = dg.AssetSpec(
    ["content", "received"],
    partitions_def=DOCUMENTS,
    group_name="content",
    kinds={"postgres"},
    owners=OWNERS,
    description="The documents as they arrived: bytes under their sha256, announced by the event `document.received`.",
)


def _step(
    group: str,
    name: str,
    *,
    deps: Sequence[dg.AssetsDefinition | dg.AssetSpec],
    kinds: set[str],
    description: str,
    code_version: str = "1",
    checks: Mapping[str, str] = _NO_CHECKS,
) -> Callable[[Callable[..., _Made]], dg.AssetsDefinition]:
    """What the steps of a document's way have in common: a partition a document, an owner, retries where they can help."""
    return dg.asset(
        key=[group, name],
        deps=deps,
        partitions_def=DOCUMENTS,
        group_name=group,
        kinds=kinds,
        owners=OWNERS,
        code_version=code_version,
        retry_policy=RETRY_POLICY,
        description=description,
        check_specs=[
            dg.AssetCheckSpec(check, asset=[group, name], description=text, blocking=True)
            for check, text in checks.items()
        ],
    )


@_step(
    "content",
    "parsed",
    deps=[RECEIVED],
    kinds={"python", "postgres"},
    description="The document's text with its sections, links and tables. What cannot be read is rejected here.",
)
def parsed(
    context: dg.AssetExecutionContext,
    documents: dg.ResourceParam[DocumentStore],
    events: dg.ResourceParam[EventStore],
    content: dg.ResourceParam[ContentSettings],
) -> dg.MaterializeResult[None]:
    """Parse the newest bytes of the document."""
    document_id = context.partition_key
    with failures(), correlated_with(context.run):
        tenant = documents.owner(document_id)
        outcome = parse_step(
            document_id,
            documents=documents,
            events=events,
            tenant=tenant,
            now=datetime.now(UTC),
            limits=ParseLimits(
                max_bytes=content.max_bytes,
                max_depth=content.max_depth,
                max_pages=content.max_pages,
                timeout=content.parse_timeout,
            ),
        )
    document, text = outcome.document, outcome.parsed
    metadata: dict[str, dg.MetadataValue] = {
        "title": dg.MetadataValue.text(document.title or document.source.name),
        "source": dg.MetadataValue.text(document.source.uri),
        "media_type": dg.MetadataValue.text(text.media_type.value),
        "bytes": dg.MetadataValue.int(document.size_bytes),
        "characters": dg.MetadataValue.int(len(text.text)),
        "sections": dg.MetadataValue.int(len(text.sections)),
        "links": dg.MetadataValue.int(len(text.links)),
        "tables": dg.MetadataValue.int(len(text.tables)),
        "work_done": dg.MetadataValue.bool(outcome.changed),
        "preview": markdown_preview(text.text),
    }
    if text.sections:
        rows = [
            {"level": item.level, "title": item.title, "characters": item.end - item.start} for item in text.sections
        ]
        metadata["outline"] = table(rows[:50], columns={"level": "int", "title": "string", "characters": "int"})
    for number, found in enumerate(text.tables[:_SHOWN_TABLES], 1):
        metadata[f"table_{number}"] = dg.MetadataValue.json([list(found.header), *map(list, found.rows[:10])])
    return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(document.sha256[:16]))


@_step(
    "content",
    "analysis",
    deps=[parsed],
    kinds={"python", "postgres"},
    description="Language, summary, keywords, concepts, quality and difficulty: functions of the text alone.",
)
def analysis(
    context: dg.AssetExecutionContext, documents: dg.ResourceParam[DocumentStore]
) -> dg.MaterializeResult[None]:
    """Analyse the parsed text."""
    document_id = context.partition_key
    with failures(), correlated_with(context.run):
        tenant = documents.owner(document_id)
        outcome = analyse_step(document_id, documents=documents, tenant=tenant, now=datetime.now(UTC))
    found = outcome.analysis
    terms = [{"concept": term.text, "score": term.score, "count": term.count} for term in found.concepts[:_SHOWN_TERMS]]
    return dg.MaterializeResult(
        metadata={
            "title": dg.MetadataValue.text(outcome.document.title or document_id),
            "language": dg.MetadataValue.text(found.language),
            "words": dg.MetadataValue.int(found.words),
            "reading_seconds": dg.MetadataValue.int(found.reading_seconds),
            "quality": dg.MetadataValue.float(found.quality),
            "difficulty": dg.MetadataValue.float(found.difficulty),
            "difficulty_level": dg.MetadataValue.text(found.difficulty_level),
            "concepts": table(terms, columns={"concept": "string", "score": "float", "count": "int"}),
            "concept_count": dg.MetadataValue.int(len(found.concepts)),
            "summary": markdown_preview(found.summary),
            "entities": table(
                [
                    {"entity": item.text, "kind": item.kind, "count": item.count}
                    for item in found.entities[:_SHOWN_TERMS]
                ],
                columns={"entity": "string", "kind": "string", "count": "int"},
            ),
            "objectives": markdown_preview("\n".join(f"- {item.text}" for item in found.objectives)),
            "tone": dg.MetadataValue.text("unknown" if found.sentiment is None else found.sentiment.label),
            "work_done": dg.MetadataValue.bool(outcome.changed),
        },
        data_version=dg.DataVersion(outcome.document.sha256[:16]),
    )


@_step(
    "content",
    "embeddings",
    deps=[parsed],
    kinds={"onnx", "postgres"},
    description="The document's passages and their vectors in pgvector. A passage that is known already is not embedded again.",
)
def embeddings(
    context: dg.AssetExecutionContext,
    documents: dg.ResourceParam[DocumentStore],
    chunks: dg.ResourceParam[ChunkIndex],
    embedder: dg.ResourceParam[Embedder],
    content: dg.ResourceParam[ContentSettings],
) -> dg.MaterializeResult[None]:
    """Cut the text into passages and embed the new ones."""
    document_id = context.partition_key
    with failures(), correlated_with(context.run):
        tenant = documents.owner(document_id)
        outcome = embed_step(
            document_id,
            documents=documents,
            index=chunks,
            embedder=embedder,
            tenant=tenant,
            now=datetime.now(UTC),
            target=content.chunk_chars,
            overlap=content.chunk_overlap,
        )
        document = documents.get(document_id, tenant=tenant)
        first = chunks.chunks_of(document_id, tenant=tenant)[:_SHOWN_TABLES]
    shown = [{"passage": item.ordinal, "section": item.section or "", "text": item.text[:200]} for item in first]
    return dg.MaterializeResult(
        metadata={
            "title": dg.MetadataValue.text(document.title or document_id),
            "model": dg.MetadataValue.text(embedder.model_id),
            "chunks": dg.MetadataValue.int(outcome.chunks),
            "embedded": dg.MetadataValue.int(outcome.embedded),
            "reused": dg.MetadataValue.int(outcome.reused),
            "first_passages": table(shown, columns={"passage": "int", "section": "string", "text": "string"}),
            "work_done": dg.MetadataValue.bool(outcome.changed),
        },
        data_version=dg.DataVersion(f"{document.sha256[:16]}.{content.chunk_chars}.{content.chunk_overlap}"),
    )


@_step(
    "knowledge",
    "concepts",
    deps=[parsed, analysis],
    kinds={"python", "neo4j"},
    description="What the document says about concepts: which it is about, what each requires, how they relate.",
    code_version="2",
    checks={"requires_no_circle": "What the document says that concepts require leads to none of them again"},
)
def concepts(
    context: dg.AssetExecutionContext,
    documents: dg.ResourceParam[DocumentStore],
    graph: dg.ResourceParam[GraphStore],
    content: dg.ResourceParam[ContentSettings],
) -> Iterator[dg.MaterializeResult[None]]:
    """Weave the document's contribution into the graph, in place of its former one."""
    document_id = context.partition_key
    with failures(), correlated_with(context.run):
        tenant = documents.owner(document_id)
        document = documents.get(document_id, tenant=tenant)
        _, text = documents.get_parsed(document_id, tenant=tenant)
        _, found = documents.get_analysis(document_id, tenant=tenant)
        spans = [
            (item.start, item.end) for item in chunk(text, target=content.chunk_chars, overlap=content.chunk_overlap)
        ]
        extraction = extract(document, text, found, passages=spans, run_id=context.run.run_id)
        changed = graph.weave(extraction, tenant=tenant)
    rows = [
        {"concept": item.name, "kind": item.kind, "weight": extraction.mentions.get(item.id, 0.0)}
        for item in sorted(extraction.concepts, key=lambda item: -extraction.mentions.get(item.id, 0.0))
    ]
    edges = [
        {"from": edge.source, "type": edge.type.value, "to": edge.target, "weight": round(edge.weight, 4)}
        for edge in sorted(extraction.edges, key=lambda edge: -edge.weight)
    ]
    circles = cycles(edge for edge in extraction.edges if edge.type is EdgeType.REQUIRES)
    yield dg.MaterializeResult(
        check_results=[
            dg.AssetCheckResult(
                check_name="requires_no_circle", passed=not circles, metadata={"cycles": dg.MetadataValue.json(circles)}
            )
        ],
        metadata={
            "title": dg.MetadataValue.text(document.title or document_id),
            "concepts": dg.MetadataValue.int(len(rows)),
            "edges": dg.MetadataValue.int(len(edges)),
            "passages": dg.MetadataValue.int(len(extraction.passages)),
            "work_done": dg.MetadataValue.bool(changed),
            "woven": table(rows[:30], columns={"concept": "string", "kind": "string", "weight": "float"}),
            "connections": table(
                edges[:30], columns={"from": "string", "type": "string", "to": "string", "weight": "float"}
            ),
        },
        data_version=dg.DataVersion(document.sha256[:16]),
    )


@_step(
    "content",
    "published",
    deps=[embeddings, concepts],
    kinds={"postgres"},
    description="The document can be found by search and stands in the graph; told to everybody by `document.ready`.",
)
def published(
    context: dg.AssetExecutionContext,
    documents: dg.ResourceParam[DocumentStore],
    chunks: dg.ResourceParam[ChunkIndex],
    events: dg.ResourceParam[EventStore],
) -> dg.MaterializeResult[None]:
    """Mark the document as ready and say so."""
    document_id = context.partition_key
    with failures(), correlated_with(context.run):
        tenant = documents.owner(document_id)
        document = documents.get(document_id, tenant=tenant)
        if document.status is DocumentStatus.REJECTED:
            raise ConflictError(
                f"Document {document_id!r} was rejected: {document.rejection_reason}", code="document_rejected"
            )
        passages = len(chunks.chunks_of(document_id, tenant=tenant))
        _, text = documents.get_parsed(document_id, tenant=tenant)
        _, found = documents.get_analysis(document_id, tenant=tenant)
        contribution = extract(document, text, found)
        documents.set_status(
            document_id,
            DocumentStatus.READY,
            tenant=tenant,
            now=datetime.now(UTC),
            chunk_count=passages,
            concept_count=len(contribution.concepts),
        )
        describe(document, documents, chunks)
        fact = DocumentReady(
            document_id=document_id,
            sha256=document.sha256,
            chunks=passages,
            concepts=len(contribution.concepts),
            edges=len(contribution.edges),
        ).new(
            metadata=EventMetadata(
                correlation_id=correlation.current(), source="dagster", tags={"run_id": context.run.run_id}
            )
        )
        events.append(StreamId("document", document_id), [fact], tenant=tenant)
    return dg.MaterializeResult(
        metadata={
            "title": dg.MetadataValue.text(document.title or document_id),
            "chunks": dg.MetadataValue.int(passages),
            "concepts": dg.MetadataValue.int(len(contribution.concepts)),
            "edges": dg.MetadataValue.int(len(contribution.edges)),
        },
        data_version=dg.DataVersion(document.sha256[:16]),
    )
