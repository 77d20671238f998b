"""A document goes, and with it exactly what nothing else supports: its passages, its vectors, its part of the graph."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from resources.errors import NotFoundError
from resources.events.catalog import DocumentRemoved
from resources.events.model import EventMetadata, StreamId
from resources.knowledge.model import CURATION
from resources.telemetry import correlation

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.content.store import ChunkIndex, DocumentStore
    from resources.events.store import EventStore
    from resources.knowledge.store import GraphStore


def _utc_now() -> datetime:
    return datetime.now(UTC)


class DocumentRemoval:
    """Removes documents. Safe for threads."""

    def __init__(
        self,
        documents: DocumentStore,
        chunks: ChunkIndex,
        graph: GraphStore,
        events: EventStore,
        *,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._documents = documents
        self._chunks = chunks
        self._graph = graph
        self._events = events
        self._clock = clock

    def remove(self, document_id: str, *, tenant: str, by: str) -> None:
        """Remove the document and record `document.removed`. Raises NotFoundError where nothing of it is left.

        The catalogue goes first, so that a run that is still at work on the document ends at its next step. What an attempt that
        broke off, or such a run, has left is removed by another one.
        """
        if document_id.startswith(CURATION):
            raise NotFoundError(f"{document_id!r} is no document, but what a person states of a concept.")
        known = self._documents.get_many([document_id], tenant=tenant).get(document_id)
        gone = self._documents.remove(document_id, tenant=tenant)
        passages = self._chunks.remove(document_id, tenant=tenant)
        said = self._graph.retract(document_id, tenant=tenant)
        if not (gone or passages or said):
            raise NotFoundError(f"There is no document {document_id!r}.")
        metadata = EventMetadata(correlation_id=correlation.current(), user_id=by, source="knowledge")
        event = DocumentRemoved(document_id=document_id, uri=known.source.uri if known else None).new(
            metadata=metadata, occurred_at=self._clock()
        )
        self._events.append(StreamId("document", document_id), [event], tenant=tenant)
