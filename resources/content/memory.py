"""The content slice's stores in memory: for tests, trials and the curious. They keep the same promises, but for durability."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from resources.content.model import DocumentStatus, SearchHit, sha256_of
from resources.content.shapes import check_rows, check_same_dimensions, check_vector
from resources.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from resources.content.model import Analysis, Chunk, Document, ParsedDocument


class MemoryDocumentStore:
    """A DocumentStore of dictionaries. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blobs: dict[str, bytes] = {}
        self._documents: dict[tuple[str, str], Document] = {}
        self._parsed: dict[tuple[str, str], tuple[str, ParsedDocument]] = {}
        self._analyses: dict[tuple[str, str], tuple[str, Analysis]] = {}

    def put_blob(self, content: bytes) -> str:
        sha256 = sha256_of(content)
        with self._lock:
            self._blobs.setdefault(sha256, bytes(content))
        return sha256

    def get_blob(self, sha256: str) -> bytes:
        try:
            return self._blobs[sha256]
        except KeyError:
            raise NotFoundError(f"There are no bytes with the sha256 {sha256!r}.") from None

    def save(self, document: Document) -> None:
        with self._lock:
            self._documents[document.tenant, document.id] = document

    def get(self, document_id: str, *, tenant: str) -> Document:
        try:
            return self._documents[tenant, document_id]
        except KeyError:
            raise _unknown(document_id) from None

    def owner(self, document_id: str) -> str:
        with self._lock:
            tenants = sorted(tenant for tenant, known in self._documents if known == document_id)
        if not tenants:
            raise _unknown(document_id)
        return tenants[0]

    def find_by_content(self, sha256: str, *, tenant: str) -> Document | None:
        with self._lock:
            found = [
                document
                for (owner, _), document in self._documents.items()
                if owner == tenant and document.sha256 == sha256 and document.status is not DocumentStatus.REJECTED
            ]
        return min(found, key=lambda document: document.id, default=None)

    def list(
        self, *, tenant: str, after: str | None = None, limit: int = 100, status: DocumentStatus | None = None
    ) -> Sequence[Document]:
        with self._lock:
            found = [
                document
                for (owner, document_id), document in sorted(self._documents.items())
                if owner == tenant
                and (after is None or document_id > after)
                and (status is None or document.status is status)
            ]
        return found[:limit]

    def counts(self, *, tenant: str) -> Mapping[str, int]:
        with self._lock:
            return dict(Counter(item.status.value for (owner, _), item in self._documents.items() if owner == tenant))

    def set_status(
        self,
        document_id: str,
        status: DocumentStatus,
        *,
        tenant: str,
        now: datetime,
        title: str | None = None,
        language: str | None = None,
        chunk_count: int | None = None,
        concept_count: int | None = None,
        rejection_code: str | None = None,
        rejection_reason: str | None = None,
    ) -> None:
        known = {
            "title": title,
            "language": language,
            "chunk_count": chunk_count,
            "concept_count": concept_count,
        }
        changes: dict[str, object] = {name: value for name, value in known.items() if value is not None}
        changes |= {"status": status, "updated_at": now}
        changes |= {"rejection_code": rejection_code, "rejection_reason": rejection_reason}
        with self._lock:
            document = self._documents.get((tenant, document_id))
            if document is None:
                raise _unknown(document_id)
            self._documents[tenant, document_id] = document.model_copy(update=changes)

    def save_parsed(self, document_id: str, sha256: str, parsed: ParsedDocument, *, tenant: str) -> None:
        self.get(document_id, tenant=tenant)
        self._parsed[tenant, document_id] = (sha256, parsed)

    def get_parsed(self, document_id: str, *, tenant: str) -> tuple[str, ParsedDocument]:
        try:
            return self._parsed[tenant, document_id]
        except KeyError:
            raise NotFoundError(f"The document {document_id!r} was not parsed yet.") from None

    def save_analysis(self, document_id: str, sha256: str, analysis: Analysis, *, tenant: str) -> None:
        self.get(document_id, tenant=tenant)
        self._analyses[tenant, document_id] = (sha256, analysis)

    def get_analysis(self, document_id: str, *, tenant: str) -> tuple[str, Analysis]:
        try:
            return self._analyses[tenant, document_id]
        except KeyError:
            raise NotFoundError(f"The document {document_id!r} was not analysed yet.") from None


def _unknown(document_id: str) -> NotFoundError:
    return NotFoundError(f"There is no document {document_id!r}.")


class _Indexed:
    """One document's chunks with their vectors."""

    def __init__(self, chunks: Sequence[Chunk], vectors: NDArray[np.float32], model_id: str, title: str | None) -> None:
        self.chunks = tuple(chunks)
        self.vectors = vectors.copy()
        self.model_id = model_id
        self.title = title


class MemoryChunkIndex:
    """A ChunkIndex that compares the query with every vector. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._documents: dict[tuple[str, str], _Indexed] = {}
        self._dimensions: dict[tuple[str, str], int] = {}

    def known_vectors(
        self, hashes: Collection[str], *, model_id: str, tenant: str
    ) -> Mapping[str, NDArray[np.float32]]:
        wanted = set(hashes)
        with self._lock:
            return {
                chunk.sha256: vector
                for (owner, _), document in self._documents.items()
                if owner == tenant and document.model_id == model_id
                for chunk, vector in zip(document.chunks, document.vectors, strict=True)
                if chunk.sha256 in wanted
            }

    def replace(
        self,
        document_id: str,
        chunks: Sequence[Chunk],
        vectors: NDArray[np.float32],
        *,
        model_id: str,
        title: str | None,
        tenant: str,
    ) -> None:
        dimensions = check_rows(chunks, vectors)
        with self._lock:
            if chunks:
                known = self._dimensions.setdefault((tenant, model_id), dimensions)
                check_same_dimensions(model_id, known=known, given=dimensions)
                self._documents[tenant, document_id] = _Indexed(chunks, vectors, model_id, title)
            else:
                self._documents.pop((tenant, document_id), None)

    def remove(self, document_id: str, *, tenant: str) -> int:
        with self._lock:
            removed = self._documents.pop((tenant, document_id), None)
        return len(removed.chunks) if removed is not None else 0

    def chunks_of(self, document_id: str, *, tenant: str, model_id: str | None = None) -> Sequence[Chunk]:
        with self._lock:
            document = self._documents.get((tenant, document_id))
        if document is None or model_id not in {None, document.model_id}:
            return []
        return list(document.chunks)

    def count(self, *, tenant: str) -> int:
        with self._lock:
            return sum(len(document.chunks) for (owner, _), document in self._documents.items() if owner == tenant)

    def search(
        self, vector: NDArray[np.float32], *, model_id: str, tenant: str, limit: int = 10
    ) -> Sequence[SearchHit]:
        dimensions = check_vector(vector)
        with self._lock:
            known = self._dimensions.get((tenant, model_id))
            if known is None:
                return []
            check_same_dimensions(model_id, known=known, given=dimensions)
            scored = [
                (float(score), document_id, document.title, chunk)
                for (owner, document_id), document in self._documents.items()
                if owner == tenant and document.model_id == model_id
                for chunk, score in zip(document.chunks, document.vectors @ vector, strict=True)
            ]
        scored.sort(key=lambda item: (-item[0], item[1], item[3].ordinal))
        return [
            SearchHit(
                document_id=document_id,
                document_title=title,
                ordinal=chunk.ordinal,
                text=chunk.text,
                section=chunk.section,
                start=chunk.start,
                end=chunk.end,
                score=score,
            )
            for score, document_id, title, chunk in scored[:limit]
        ]
