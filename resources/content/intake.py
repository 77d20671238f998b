"""The door: a document is looked at, kept and announced; or refused, with the refusal on record.

Order of writes: bytes, catalogue entry, event. The event's id is made from the entry, so that a sender who got an error and tries
again announces the document exactly once, whichever write the failure hit; and no run starts for an entry that is not there.
Only what is cheap to see is checked here: the parsers look closer, in a run.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from resources.content.model import Document, DocumentStatus, MediaType, document_id
from resources.content.parse import parse_document, refuse_large
from resources.content.parsers.base import DUPLICATE, ENCRYPTED, ParseLimits
from resources.content.sniff import sniff, sniff_ends
from resources.content.spool import Spooled
from resources.errors import (
    ConflictError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    PlatformError,
    UnavailableError,
)
from resources.events.catalog import DocumentReceived, DocumentRejected
from resources.events.model import EventMetadata, StreamId
from resources.telemetry import correlation
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.content.model import DocumentSource
    from resources.content.store import DocumentStore
    from resources.events.store import EventStore

log = get_logger(__name__)

_LOOKED_THROUGH: Final = 4 * 1024 * 1024
"""Bytes up to which all of a document is looked at here; of a larger one, how it begins and ends."""
_EVENT_NAMESPACE = uuid.UUID("5e0c8f0a-6f0a-4d3c-9a0e-2b8d4b7b1a11")


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a document. `position` is that of its event; None when there is nothing new to announce."""

    document: Document
    position: int | None
    outcome: Literal["received", "unchanged"]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class DocumentIntake:
    """Takes documents in. Safe for threads. `room` raises when a tenant may keep no so many bytes more."""

    def __init__(
        self,
        documents: DocumentStore,
        events: EventStore,
        *,
        limits: ParseLimits | None = None,
        room: Callable[[str, int], None] | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._documents = documents
        self._events = events
        self._limits = limits or ParseLimits()
        self._room = room
        self._clock = clock

    def receive(self, source: DocumentSource, content: bytes | Spooled, *, tenant: str) -> Receipt:
        """Keep and announce the document. What a receipt was given for survives a crash. Bytes in a file stay there.

        Raises InvalidInputError or LimitExceededError for a document that cannot be used, ConflictError
        (`duplicate_document`) when the tenant has the same bytes under another uri: each is recorded as `document.rejected`.
        Raises UnavailableError when a store cannot be reached; then the document was not taken, and may be sent again.
        """
        identity = document_id(source.uri, tenant=tenant)
        held = content if isinstance(content, Spooled) else Spooled.of(content)
        sha256 = held.sha256
        try:
            media_type = self._inspect(source, held)
            known = self._known(identity, tenant)
            if known is not None and known.sha256 == sha256 and known.status is not DocumentStatus.REJECTED:
                return self._again(known)
            self._refuse_duplicate(identity, sha256, tenant)
            if self._room is not None:
                self._room(tenant, held.size - (known.size_bytes if known is not None else 0))
        except (InvalidInputError, LimitExceededError, ConflictError) as error:
            record_rejection(self._events, identity, error, uri=source.uri, sha256=sha256, tenant=tenant)
            raise
        self._documents.put_blob(held, tenant=tenant)
        now = self._clock()
        document = Document(
            id=identity,
            tenant=tenant,
            source=source,
            media_type=media_type,
            sha256=sha256,
            size_bytes=held.size,
            status=DocumentStatus.RECEIVED,
            title=source.title,
            received_at=now,
            updated_at=now,
        )
        self._documents.save(document)
        position, _ = self._announce(document)
        log.info("document.received", document_id=identity, media_type=media_type.value, bytes=held.size)
        return Receipt(document, position, "received")

    def _inspect(self, source: DocumentSource, content: Spooled) -> MediaType:
        refuse_large(content, name=source.name, limits=self._limits)
        if content.size > _LOOKED_THROUGH:
            return sniff_ends(*content.ends(), name=source.name, declared=source.media_type)
        whole = content.whole()
        media_type = sniff(whole, name=source.name, declared=source.media_type)
        if media_type is MediaType.PDF and b"/Encrypt" in whole:
            try:
                parse_document(whole, name=source.name, declared=media_type, limits=self._limits)
            except (InvalidInputError, LimitExceededError) as error:
                if error.code == ENCRYPTED:
                    raise
        return media_type

    def _known(self, identity: str, tenant: str) -> Document | None:
        try:
            return self._documents.get(identity, tenant=tenant)
        except NotFoundError:
            return None

    def _again(self, known: Document) -> Receipt:
        """The same bytes once more: nothing to do, unless the earlier attempt ended before its event was stored."""
        if known.status is not DocumentStatus.RECEIVED:
            return Receipt(known, None, "unchanged")
        position, is_new = self._announce(known)
        return Receipt(known, position if is_new else None, "received" if is_new else "unchanged")

    def _refuse_duplicate(self, identity: str, sha256: str, tenant: str) -> None:
        twin = self._documents.find_by_content(sha256, tenant=tenant)
        if twin is not None and twin.id != identity:
            raise ConflictError(
                f"The same bytes are known as the document {twin.id!r} ({twin.source.uri!r}). Use that one.",
                code=DUPLICATE,
                document_id=twin.id,
            )

    def _announce(self, document: Document) -> tuple[int, bool]:
        """Append the event; returns its position, and whether it was not there before."""
        name = f"{document.tenant} {document.id} {document.sha256} {document.received_at.isoformat()}"
        event_id = uuid.uuid5(_EVENT_NAMESPACE, name)
        source = document.source
        stream = StreamId("document", document.id)
        seen = any(item.event_id == event_id for item in self._events.read_stream(stream, tenant=document.tenant))
        event = DocumentReceived(
            document_id=document.id,
            sha256=document.sha256,
            uri=source.uri,
            name=source.name,
            media_type=document.media_type.value,
            size_bytes=document.size_bytes,
            title=source.title,
            subject=source.subject,
            requires=source.requires,
            tags=source.tags,
        ).new(event_id=event_id, metadata=_metadata(), occurred_at=document.received_at)
        return self._events.append(stream, [event], tenant=document.tenant).position, not seen


def record_rejection(
    events: EventStore, identity: str, error: PlatformError, *, uri: str, sha256: str | None, tenant: str
) -> None:
    """Append `document.rejected`. When the event store is out of reach, the refusal itself is still what counts."""
    event = DocumentRejected(document_id=identity, code=error.code, reason=error.message, uri=uri, sha256=sha256).new(
        metadata=_metadata()
    )
    try:
        events.append(StreamId("document", identity), [event], tenant=tenant)
    except UnavailableError:
        log.warning("document.rejection_not_recorded", document_id=identity, code=error.code)
        return
    log.info("document.rejected", document_id=identity, code=error.code)


def _metadata() -> EventMetadata:
    return EventMetadata(correlation_id=correlation.current(), source="content")
