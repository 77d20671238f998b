"""What the platform knows of a document: its bytes' identity, its parsed text, its analysis, its chunks.

Offsets are in characters of `ParsedDocument.text`, half-open: `text[start:end]`.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class MediaType(StrEnum):
    """The formats that can be read, by their IANA media type (RFC 6838; Markdown RFC 7763; reStructuredText unregistered)."""

    TEXT = "text/plain"
    MARKDOWN = "text/markdown"
    RST = "text/x-rst"
    HTML = "text/html"
    PDF = "application/pdf"
    JSON = "application/json"
    XML = "application/xml"


class DocumentStatus(StrEnum):
    """Where a document stands: received → parsed → analysed → embedded → ready, or rejected with a reason."""

    RECEIVED = "received"
    PARSED = "parsed"
    ANALYSED = "analysed"
    EMBEDDED = "embedded"
    READY = "ready"
    REJECTED = "rejected"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DocumentSource(_Frozen):
    """Where a document comes from, as the sender declares it.

    `uri` is its identity: sending the same uri again with other bytes is a new revision of the same document.
    `subject` names the concept that the document is about; `requires` names the concepts one must know before it.
    """

    uri: str = Field(min_length=1, max_length=2048)
    name: str = Field(min_length=1, max_length=255, description="File name, or a name for people")
    media_type: MediaType | None = Field(default=None, description="Declared type; None = find out")
    title: str | None = Field(default=None, max_length=500)
    subject: str | None = Field(default=None, max_length=200)
    requires: tuple[str, ...] = Field(default=(), max_length=500)
    tags: tuple[str, ...] = Field(default=(), max_length=50)


class Document(_Frozen):
    """The catalogue's entry for one document of one tenant."""

    id: str
    tenant: str
    source: DocumentSource
    media_type: MediaType
    sha256: str
    size_bytes: int
    status: DocumentStatus
    title: str | None = None
    language: str | None = None
    chunk_count: int | None = None
    concept_count: int | None = None
    rejection_code: str | None = None
    rejection_reason: str | None = None
    received_at: datetime
    updated_at: datetime


class Section(_Frozen):
    """A heading and what stands under it, up to the next heading of the same or a higher level. `level` is 1 to 6."""

    title: str
    level: int
    start: int
    end: int


class Link(_Frozen):
    """A reference that leaves the document or points into it."""

    kind: Literal["external", "internal", "email", "phone", "file"]
    url: str
    text: str


class Table(_Frozen):
    """A table's cells as text. `header` may be empty."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class ParsedDocument(_Frozen):
    """A document as text, with its structure."""

    media_type: MediaType
    text: str
    title: str | None = None
    author: str | None = None
    encoding: str | None = None
    pages: int | None = None
    sections: tuple[Section, ...] = ()
    links: tuple[Link, ...] = ()
    tables: tuple[Table, ...] = ()
    code: tuple[tuple[int, int], ...] = Field(
        default=(), description="Where program code stands in the text: searched like the rest, not analysed as prose"
    )
    version: str = Field(default="1", description="Of the parsers that made it")
    metadata: dict[str, Any] = Field(default_factory=dict)


class ScoredTerm(_Frozen):
    """A word or phrase with its weight between 0 and 1."""

    text: str
    score: float = Field(ge=0, le=1)
    count: int = Field(ge=1)


class Analysis(_Frozen):
    """What the analysers say about one document. Each value is a function of the document alone."""

    language: str
    language_confidence: float = Field(ge=0, le=1)
    words: int
    sentences: int
    reading_seconds: int
    summary: str
    keywords: tuple[ScoredTerm, ...]
    concepts: tuple[ScoredTerm, ...]
    quality: float = Field(ge=0, le=1)
    readability: float | None = Field(
        description="Flesch reading ease (Flesch 1948), unclamped; None without sentences"
    )
    difficulty: float = Field(ge=0, le=1)
    difficulty_level: Literal["beginner", "intermediate", "advanced", "expert"]
    version: str = Field(default="1", description="Of the analysers that made it")


class Chunk(_Frozen):
    """A passage of a document: the unit that is embedded and found. `sha256` is of its text, for reuse of the embedding."""

    ordinal: int
    text: str
    start: int
    end: int
    section: str | None
    sha256: str


class SearchHit(_Frozen):
    """A passage found by a search; `score` is the cosine similarity, 1 = the same direction."""

    document_id: str
    document_title: str | None
    ordinal: int
    text: str
    section: str | None
    start: int
    end: int
    score: float


_NOT_PLAIN = re.compile(r"[^a-z0-9]+")


def document_id(uri: str, *, tenant: str) -> str:
    """A document's id: readable, and the same for the same uri of the same tenant (`guide-md-3f2a9c1d04`).

    Ids of different tenants differ, so that an id can be a partition key in Dagster, which knows no tenants.
    """
    tail = uri.rstrip("/").rsplit("/", 1)[-1].lower()
    slug = _NOT_PLAIN.sub("-", tail).strip("-")[:48] or "document"
    return f"{slug}-{hashlib.sha256(f'{tenant} {uri}'.encode()).hexdigest()[:10]}"


def sha256_of(content: bytes) -> str:
    """Hex digest of the bytes."""
    return hashlib.sha256(content).hexdigest()
