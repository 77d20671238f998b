"""The ports of the content slice: where documents and their chunks are kept."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    import numpy as np
    from numpy.typing import NDArray

    from resources.content.model import Analysis, Chunk, Document, DocumentStatus, ParsedDocument, SearchHit
    from resources.content.retrieval.model import Facts, Found, ModelShare, Wanted
    from resources.content.spool import Spooled


class DocumentStore(Protocol):
    """Documents of all tenants: bytes, catalogue entry, parsed text, analysis. Writes are durable when they return.

    Every verb raises UnavailableError when the store cannot be reached, and NotFoundError for a document that the tenant
    does not have (whether or not another tenant does).
    """

    def put_blob(self, content: bytes | Spooled, *, tenant: str) -> str:
        """Keep the bytes under their sha256 (returned). Storing the same bytes again only says that they are wanted.

        Those that stand in a file are not read into memory as a whole, where the store is not itself in memory.
        """

    def get_blob(self, sha256: str, *, tenant: str) -> bytes:
        """The bytes. Those of a tenant that lives apart are found by itself alone."""

    def blob_pieces(self, sha256: str, *, tenant: str) -> Iterator[bytes]:
        """The same bytes, some megabytes at a time. Raises NotFoundError before the first one."""

    def save(self, document: Document) -> None:
        """Insert or replace the catalogue's entry. Raises LimitExceededError where the tenant may keep no
        more bytes, or start no more runs today: a document that is received starts one.
        """

    def get(self, document_id: str, *, tenant: str) -> Document:
        """One entry."""

    def get_many(self, document_ids: Collection[str], *, tenant: str) -> Mapping[str, Document]:
        """Those entries that there are, by id."""

    def owner(self, document_id: str) -> str:
        """The tenant of the document: for work that starts from a partition key alone, such as a backfill."""

    def find_by_content(self, sha256: str, *, tenant: str) -> Document | None:
        """The tenant's document with exactly these bytes that was not rejected, or None."""

    def list(
        self, *, tenant: str, after: str | None = None, limit: int = 100, status: DocumentStatus | None = None
    ) -> Sequence[Document]:
        """Entries in order of id, those after `after` first: a cursor for paging."""

    def counts(self, *, tenant: str) -> Mapping[str, int]:
        """How many documents there are, by status."""

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
        """Move the document on. A value that is None is left as it is, but for the rejection, which is always replaced.

        `unless_rejected` leaves a rejected document as it is: what one step found wrong is not undone by another.
        """

    def remove(self, document_id: str, *, tenant: str) -> bool:
        """Forget the entry, the parsed text and the analysis; whether there was one. Its bytes go along, unless another
        document has the same, or they have been stored within the last hour: then they go with the next sweep.
        """

    def sweep(self, *, unused: timedelta = timedelta(hours=1)) -> int:
        """Delete bytes that no document of any tenant names any more, and nobody has stored for so long; how many there were.

        Those of earlier revisions are among them. Who stores bytes and then saves the document within that time never loses them.
        """

    def save_parsed(self, document_id: str, sha256: str, parsed: ParsedDocument, *, tenant: str) -> None:
        """Keep the parsed text of the revision with these bytes; replaces that of an older revision."""

    def get_parsed(self, document_id: str, *, tenant: str) -> tuple[str, ParsedDocument]:
        """The sha256 of the bytes that were parsed, and the result."""

    def save_analysis(self, document_id: str, sha256: str, analysis: Analysis, *, tenant: str) -> None:
        """Keep the analysis of the revision with these bytes; replaces that of an older revision."""

    def get_analyses(self, document_ids: Collection[str], *, tenant: str) -> Mapping[str, Analysis]:
        """The analyses that there are, by document."""

    def get_analysis(self, document_id: str, *, tenant: str) -> tuple[str, Analysis]:
        """The sha256 of the bytes that were analysed, and the result."""


class ChunkIndex(Protocol):
    """Chunks and their embeddings, searchable by meaning and by words. Vectors of different models never mix.

    Vectors are float32 rows of unit length, shape (n, dimensions).
    """

    def known_vectors(
        self, hashes: Collection[str], *, model_id: str, tenant: str
    ) -> Mapping[str, NDArray[np.float32]]:
        """The vectors that are already there for chunks with these sha256, so that they need not be computed again."""

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
        """Make `chunks` the document's only ones, at once. What is there already with the same text and model stays as it is.

        Raises InvalidInputError when shapes do not fit, or when the model is known with other dimensions: then two models
        share one id.
        """

    def describe(self, document_id: str, facts: Facts, *, tenant: str) -> None:
        """Say what searches can be narrowed by. Does nothing for a document without chunks."""

    def remove(self, document_id: str, *, tenant: str) -> int:
        """Remove the document's chunks; returns how many there were."""

    def chunks_of(self, document_id: str, *, tenant: str, model_id: str | None = None) -> Sequence[Chunk]:
        """The document's chunks in order; with `model_id`, only if their vectors are of that model."""

    def count(self, *, tenant: str) -> int:
        """How many chunks the tenant has."""

    def search(
        self, vector: NDArray[np.float32], *, model_id: str, tenant: str, limit: int = 10
    ) -> Sequence[SearchHit]:
        """The nearest chunks by cosine similarity, best first; a text that a document holds several times comes once.

        Raises ConflictError (`embedding_model_changed`) when all of the tenant's vectors are of another model.
        """

    def find(self, wanted: Wanted, *, tenant: str) -> Found:
        """One page of what is wanted, best first: by words, by meaning, or both fused by rank. Raises as `search` does.

        While documents are embedded anew, those that are not yet are found by their words.
        """

    def centre(self, document_id: str, *, model_id: str, tenant: str) -> NDArray[np.float32] | None:
        """The mean direction of the document's vectors of this model; None if it has none."""

    def models(self, *, tenant: str) -> Sequence[ModelShare]:
        """Of which models the tenant's vectors are, by model."""

    def outdated(self, *, model_id: str, tenant: str, limit: int = 1000) -> Sequence[str]:
        """The first documents, by id, that have vectors of another model than this one."""
