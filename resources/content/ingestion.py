"""The steps from bytes to something that can be found: parse, analyse, embed. Each is one call for an asset to make.

Each step is idempotent: for bytes and a version that it has seen it does nothing, and says so (`changed`). A document that
cannot be read is marked as rejected, with a `document.rejected` event, and the error goes on to the caller; other documents
are not touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

import numpy as np

from resources.content import analysers, parsers
from resources.content.chunking import chunk
from resources.content.intake import record_rejection
from resources.content.model import Analysis, Document, DocumentStatus, ParsedDocument
from resources.content.parse import parse_document
from resources.content.parsers.base import ParseLimits
from resources.content.retrieval.model import Facts
from resources.content.spool import IN_MEMORY
from resources.errors import InvalidInputError, LimitExceededError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from resources.ai.embedder import Embedder
    from resources.content.model import Chunk
    from resources.content.store import ChunkIndex, DocumentStore
    from resources.errors import PlatformError
    from resources.events.store import EventStore

_EMBEDDING_BATCH = 64
_DEFAULT_LIMITS = ParseLimits()


@dataclass(frozen=True, slots=True)
class ParseOutcome:
    """The document and its text. `changed` = it was parsed now, not before."""

    document: Document
    parsed: ParsedDocument
    changed: bool


@dataclass(frozen=True, slots=True)
class AnalyseOutcome:
    """The document and its analysis. `changed` = it was analysed now, not before."""

    document: Document
    analysis: Analysis
    changed: bool


@dataclass(frozen=True, slots=True)
class EmbedOutcome:
    """How many chunks there are, and for how many the model had to run."""

    chunks: int
    embedded: int
    reused: int
    changed: bool


def parse_step(
    document_id: str,
    *,
    documents: DocumentStore,
    events: EventStore,
    tenant: str,
    now: datetime,
    limits: ParseLimits = _DEFAULT_LIMITS,
) -> ParseOutcome:
    """Parse the document's newest bytes. Raises what parse_document raises, and NotFoundError."""
    document = documents.get(document_id, tenant=tenant)
    known = _known_parse(document, documents)
    if known is not None and known.version == parsers.VERSION and document.status is not DocumentStatus.REJECTED:
        return ParseOutcome(document, known, changed=False)
    try:
        parsed = parse_stored(document, documents=documents, limits=limits)
    except (InvalidInputError, LimitExceededError) as error:
        reject(document_id, error, documents=documents, events=events, tenant=tenant, now=now)
        raise
    documents.save_parsed(document_id, document.sha256, parsed, tenant=tenant)
    title = document.source.title or parsed.title or document.source.name
    documents.set_status(document_id, DocumentStatus.PARSED, tenant=tenant, now=now, title=title)
    return ParseOutcome(documents.get(document_id, tenant=tenant), parsed, changed=True)


def parse_stored(document: Document, *, documents: DocumentStore, limits: ParseLimits) -> ParsedDocument:
    """Parse the bytes that the store has of it. Those of a large document are in no memory of this process."""
    name, declared = document.source.name, document.media_type
    if document.size_bytes <= IN_MEMORY:
        content = documents.get_blob(document.sha256, tenant=document.tenant)
        return parse_document(content, name=name, declared=declared, limits=limits)
    with NamedTemporaryFile(prefix="aiw-document-") as file:
        for piece in documents.blob_pieces(document.sha256, tenant=document.tenant):
            file.write(piece)
        file.flush()
        return parse_document(Path(file.name), name=name, declared=declared, limits=limits)


def reject(
    document_id: str,
    error: PlatformError,
    *,
    documents: DocumentStore,
    events: EventStore,
    tenant: str,
    now: datetime,
) -> None:
    """Mark the document as rejected for the reason that `error` gives, and say so with `document.rejected`."""
    document = documents.get(document_id, tenant=tenant)
    documents.set_status(
        document_id,
        DocumentStatus.REJECTED,
        tenant=tenant,
        now=now,
        rejection_code=error.code,
        rejection_reason=error.message,
    )
    record_rejection(events, document_id, error, uri=document.source.uri, sha256=document.sha256, tenant=tenant)


def analyse_step(document_id: str, *, documents: DocumentStore, tenant: str, now: datetime) -> AnalyseOutcome:
    """Analyse the parsed document. Raises NotFoundError when it was not parsed."""
    document = documents.get(document_id, tenant=tenant)
    sha256, parsed = documents.get_parsed(document_id, tenant=tenant)
    known = _known_analysis(document_id, sha256, documents, tenant)
    if known is not None and known.version == f"{analysers.VERSION}.{parsed.version}":
        return AnalyseOutcome(document, known, changed=False)
    analysis = analysers.analyse(parsed).model_copy(update={"version": f"{analysers.VERSION}.{parsed.version}"})
    documents.save_analysis(document_id, sha256, analysis, tenant=tenant)
    documents.set_status(
        document_id,
        DocumentStatus.ANALYSED,
        tenant=tenant,
        now=now,
        language=analysis.language,
        concept_count=len(analysis.concepts),
        unless_rejected=True,
    )
    return AnalyseOutcome(documents.get(document_id, tenant=tenant), analysis, changed=True)


def embed_step(
    document_id: str,
    *,
    documents: DocumentStore,
    index: ChunkIndex,
    embedder: Embedder,
    tenant: str,
    now: datetime,
    target: int = 1000,
    overlap: int = 100,
) -> EmbedOutcome:
    """Cut the parsed document into chunks and embed those whose text has no vector yet. Raises NotFoundError."""
    document = documents.get(document_id, tenant=tenant)
    _, parsed = documents.get_parsed(document_id, tenant=tenant)
    chunks = chunk(parsed, target=target, overlap=overlap)
    if list(index.chunks_of(document_id, tenant=tenant, model_id=embedder.model_id)) == chunks:
        if document.chunk_count != len(chunks):
            _embedded(document, documents, len(chunks), now)
        return EmbedOutcome(len(chunks), embedded=0, reused=len(chunks), changed=False)
    vectors, computed = _vectors(chunks, index, embedder, tenant)
    index.replace(
        document_id, chunks, vectors, model_id=embedder.model_id, title=document.title or parsed.title, tenant=tenant
    )
    describe(document, documents, index)
    _embedded(document, documents, len(chunks), now)
    return EmbedOutcome(len(chunks), embedded=computed, reused=len(chunks) - computed, changed=True)


def describe(document: Document, documents: DocumentStore, index: ChunkIndex) -> None:
    """Tell the index what searches can be narrowed by, as far as it is known by now."""
    try:
        _, analysis = documents.get_analysis(document.id, tenant=document.tenant)
    except NotFoundError:
        analysis = None
    index.describe(
        document.id,
        Facts(
            media_type=document.media_type.value,
            language=analysis.language if analysis else document.language,
            difficulty=analysis.difficulty_level if analysis else None,
            quality=analysis.quality if analysis else None,
            tags=document.source.tags,
            received_at=document.received_at,
        ),
        tenant=document.tenant,
    )


def _embedded(document: Document, documents: DocumentStore, count: int, now: datetime) -> None:
    documents.set_status(
        document.id,
        DocumentStatus.EMBEDDED,
        tenant=document.tenant,
        now=now,
        chunk_count=count,
        unless_rejected=True,
    )


def _vectors(
    chunks: Sequence[Chunk], index: ChunkIndex, embedder: Embedder, tenant: str
) -> tuple[NDArray[np.float32], int]:
    """A row for each chunk, and for how many chunks the model ran or their text stood beside one it ran for."""
    texts = {item.sha256: item.text for item in chunks}
    vectors = dict(index.known_vectors(texts.keys(), model_id=embedder.model_id, tenant=tenant))
    missing = [sha256 for sha256 in texts if sha256 not in vectors]
    for start in range(0, len(missing), _EMBEDDING_BATCH):
        batch = missing[start : start + _EMBEDDING_BATCH]
        vectors.update(zip(batch, embedder.embed([texts[sha256] for sha256 in batch]), strict=True))
    rows = np.zeros((len(chunks), embedder.dimensions), dtype=np.float32)
    for position, item in enumerate(chunks):
        rows[position] = vectors[item.sha256]
    return rows, len(missing)


def _known_parse(document: Document, documents: DocumentStore) -> ParsedDocument | None:
    try:
        sha256, parsed = documents.get_parsed(document.id, tenant=document.tenant)
    except NotFoundError:
        return None
    return parsed if sha256 == document.sha256 else None


def _known_analysis(document_id: str, sha256: str, documents: DocumentStore, tenant: str) -> Analysis | None:
    try:
        known_sha256, analysis = documents.get_analysis(document_id, tenant=tenant)
    except NotFoundError:
        return None
    return analysis if known_sha256 == sha256 else None
