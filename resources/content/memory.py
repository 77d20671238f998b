"""The content slice's stores in memory: for tests, trials and the curious. They keep the same promises, but for durability."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from resources.content.model import DocumentStatus, sha256_of
from resources.content.retrieval import memory as retrieval
from resources.content.retrieval.memory import Row
from resources.content.retrieval.model import Facts, Found, ModelShare, Wanted
from resources.content.shapes import check_model, check_rows, check_same_dimensions, check_vector, nearest_hit
from resources.content.spool import Spooled
from resources.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from resources.content.model import Analysis, Chunk, Document, ParsedDocument, SearchHit


_UNUSED: Final = timedelta(hours=1)


class MemoryDocumentStore:
    """A DocumentStore of dictionaries. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blobs: dict[str, bytes] = {}
        self._stored: dict[str, float] = {}
        self._documents: dict[tuple[str, str], Document] = {}
        self._parsed: dict[tuple[str, str], tuple[str, ParsedDocument]] = {}
        self._analyses: dict[tuple[str, str], tuple[str, Analysis]] = {}

    def put_blob(self, content: bytes | Spooled, *, tenant: str) -> str:  # noqa: ARG002  # here nobody lives apart
        whole = content.whole() if isinstance(content, Spooled) else bytes(content)
        sha256 = sha256_of(whole)
        with self._lock:
            self._blobs.setdefault(sha256, whole)
            self._stored[sha256] = time.monotonic()
        return sha256

    def get_blob(self, sha256: str, *, tenant: str) -> bytes:  # noqa: ARG002
        try:
            return self._blobs[sha256]
        except KeyError:
            raise NotFoundError(f"There are no bytes with the sha256 {sha256!r}.") from None

    def blob_pieces(self, sha256: str, *, tenant: str) -> Iterator[bytes]:
        yield from Spooled.of(self.get_blob(sha256, tenant=tenant)).pieces()

    def save(self, document: Document) -> None:
        with self._lock:
            self._documents[document.tenant, document.id] = document

    def get(self, document_id: str, *, tenant: str) -> Document:
        try:
            return self._documents[tenant, document_id]
        except KeyError:
            raise _unknown(document_id) from None

    def get_many(self, document_ids: Collection[str], *, tenant: str) -> Mapping[str, Document]:
        asked = set(document_ids)
        return {key: found for (owner, key), found in self._documents.items() if owner == tenant and key in asked}

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
        unless_rejected: bool = False,
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
            if unless_rejected and document.status is DocumentStatus.REJECTED:
                return
            self._documents[tenant, document_id] = document.model_copy(update=changes)

    def remove(self, document_id: str, *, tenant: str) -> bool:
        with self._lock:
            self._parsed.pop((tenant, document_id), None)
            self._analyses.pop((tenant, document_id), None)
            document = self._documents.pop((tenant, document_id), None)
            if document is not None:
                self._drop_unused({document.sha256}, _UNUSED)
            return document is not None

    def sweep(self, *, unused: timedelta = _UNUSED) -> int:
        with self._lock:
            return self._drop_unused(set(self._blobs), unused)

    def _drop_unused(self, hashes: set[str], unused: timedelta) -> int:
        named = {document.sha256 for document in self._documents.values()}
        before = time.monotonic() - unused.total_seconds()
        dropped = [sha256 for sha256 in hashes & self._blobs.keys() - named if self._stored[sha256] <= before]
        for sha256 in dropped:
            del self._blobs[sha256], self._stored[sha256]
        return len(dropped)

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

    def get_analyses(self, document_ids: Collection[str], *, tenant: str) -> Mapping[str, Analysis]:
        kept = ((key, self._analyses.get((tenant, key))) for key in document_ids)
        return {key: found[1] for key, found in kept if found is not None}

    def get_analysis(self, document_id: str, *, tenant: str) -> tuple[str, Analysis]:
        try:
            return self._analyses[tenant, document_id]
        except KeyError:
            raise NotFoundError(f"The document {document_id!r} was not analysed yet.") from None


def _unknown(document_id: str) -> NotFoundError:
    return NotFoundError(f"There is no document {document_id!r}.")


@dataclass
class _Indexed:
    """One document's chunks with their vectors."""

    chunks: tuple[Chunk, ...]
    vectors: NDArray[np.float32]
    model_id: str
    title: str | None
    facts: Facts = field(default_factory=Facts)


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
        return {
            row.chunk.sha256: row.vector
            for row in self._rows(tenant)
            if row.model_id == model_id and row.chunk.sha256 in wanted
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
                before = self._documents.get((tenant, document_id))
                facts = before.facts if before is not None else Facts()
                self._documents[tenant, document_id] = _Indexed(tuple(chunks), vectors.copy(), model_id, title, facts)
            else:
                self._documents.pop((tenant, document_id), None)

    def describe(self, document_id: str, facts: Facts, *, tenant: str) -> None:
        with self._lock:
            document = self._documents.get((tenant, document_id))
            if document is not None:
                document.facts = facts

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
        return len(self._rows(tenant))

    def search(
        self, vector: NDArray[np.float32], *, model_id: str, tenant: str, limit: int = 10
    ) -> Sequence[SearchHit]:
        found = self.find(Wanted(text=None, vector=vector, model_id=model_id, limit=limit), tenant=tenant)
        return [nearest_hit(hit) for hit in found.hits]

    def find(self, wanted: Wanted, *, tenant: str) -> Found:
        rows = self._rows(tenant)
        if wanted.vector is not None:
            dimensions = check_vector(wanted.vector)
            known = self._dimensions.get((tenant, wanted.model_id), dimensions)
            check_same_dimensions(wanted.model_id, known=known, given=dimensions)
            models = {row.model_id for row in rows}
            check_model(wanted.model_id, other=None if wanted.model_id in models else min(models, default=None))
        return retrieval.find(rows, wanted)

    def centre(self, document_id: str, *, model_id: str, tenant: str) -> NDArray[np.float32] | None:
        with self._lock:
            document = self._documents.get((tenant, document_id))
        if document is None or document.model_id != model_id:
            return None
        mean: NDArray[np.float32] = document.vectors.mean(axis=0)
        return mean / np.linalg.norm(mean)

    def models(self, *, tenant: str) -> Sequence[ModelShare]:
        rows = self._rows(tenant)
        return [
            ModelShare(
                model_id=model_id,
                dimensions=self._dimensions[tenant, model_id],
                documents=len({row.document_id for row in rows if row.model_id == model_id}),
                chunks=len({row.key for row in rows if row.model_id == model_id}),
            )
            for model_id in sorted({row.model_id for row in rows})
        ]

    def outdated(self, *, model_id: str, tenant: str, limit: int = 1000) -> Sequence[str]:
        return sorted({row.document_id for row in self._rows(tenant) if row.model_id != model_id})[:limit]

    def _rows(self, tenant: str) -> Sequence[Row]:
        with self._lock:
            return [
                Row(document_id, document.title, chunk, vector, document.model_id, document.facts)
                for (owner, document_id), document in sorted(self._documents.items())
                if owner == tenant
                for chunk, vector in zip(document.chunks, document.vectors, strict=True)
            ]
