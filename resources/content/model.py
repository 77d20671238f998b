"""What the platform knows of a document: its bytes' identity, its parsed text, its analysis, its chunks.

Offsets are in characters of `ParsedDocument.text`, half-open: `text[start:end]`.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class MediaType(StrEnum):
    """The formats that can be read, by their IANA media type (RFC 6838; those of reStructuredText and code are unregistered)."""

    TEXT = "text/plain"
    MARKDOWN = "text/markdown"
    RST = "text/x-rst"
    HTML = "text/html"
    PDF = "application/pdf"
    JSON = "application/json"
    XML = "application/xml"
    DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    EPUB = "application/epub+zip"
    CSV = "text/csv"
    CODE = "text/x-source"


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


_Storable = Annotated[str, Field(pattern=r"^[^\x00]*$")]
"""Text that PostgreSQL keeps."""


class DocumentSource(_Frozen):
    """Where a document comes from, as the sender declares it.

    `uri` is its identity: sending the same uri again with other bytes is a new revision of the same document.
    `subject` names the concept that the document is about; `requires` names the concepts one must know before it.
    """

    uri: _Storable = Field(min_length=1, max_length=2048)
    name: _Storable = Field(min_length=1, max_length=255, description="File name, or a name for people")
    media_type: MediaType | None = Field(default=None, description="Declared type; None = find out")
    title: _Storable | None = Field(default=None, max_length=500)
    subject: _Storable | None = Field(default=None, max_length=200)
    requires: tuple[_Storable, ...] = Field(default=(), max_length=500)
    tags: tuple[_Storable, ...] = Field(default=(), max_length=50)


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


class Citation(_Frozen):
    """A reference to another work by an identifier that outlives addresses: `id` is the bare identifier (`10.1000/182`)."""

    kind: Literal["doi", "arxiv", "isbn", "rfc", "pep"]
    id: str
    start: int
    end: int


class Media(_Frozen):
    """A picture, film or sound that the document shows, with the words that stand for it."""

    kind: Literal["image", "video", "audio"]
    url: str
    text: str


class SectionNode(_Frozen):
    """A section with those inside it."""

    section: Section
    subsections: tuple[SectionNode, ...] = ()


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
    citations: tuple[Citation, ...] = ()
    media: tuple[Media, ...] = ()
    tables: tuple[Table, ...] = ()
    code: tuple[tuple[int, int], ...] = Field(
        default=(), description="Where program code stands in the text: searched like the rest, not analysed as prose"
    )
    version: str = Field(default="1", description="Of the parsers that made it")
    metadata: dict[str, Any] = Field(default_factory=dict)

    def tree(self) -> tuple[SectionNode, ...]:
        """The sections as a tree: a section of a lower level stands inside the one before it."""
        return _tree(self.sections)


class ScoredTerm(_Frozen):
    """A word or phrase with its weight between 0 and 1."""

    text: str
    score: float = Field(ge=0, le=1)
    count: int = Field(ge=1)


class Entity(_Frozen):
    """A named thing: how it is written most often, where it stands first, and how sure the analyser is."""

    kind: Literal["person", "organization", "location", "date", "money", "technology", "concept"]
    text: str
    count: int = Field(ge=1)
    start: int | None = Field(default=None, description="Offset of the first mention; None = not found word by word")
    confidence: float = Field(ge=0, le=1)


class Objective(_Frozen):
    """What a reader can do afterwards, by the levels of Bloom (1956; revised by Anderson and Krathwohl, 2001)."""

    text: str
    level: Literal["remember", "understand", "apply", "analyse", "evaluate", "create"]
    confidence: float = Field(ge=0, le=1)


class Sentiment(_Frozen):
    """The tone: `score` runs from -1 (negative) to 1 (positive)."""

    label: Literal["negative", "neutral", "positive"]
    score: float = Field(ge=-1, le=1)
    confidence: float = Field(ge=0, le=1)


class QualityIssue(_Frozen):
    """Something that would make the document better if it were mended."""

    kind: Literal["readability", "completeness", "accuracy", "coherence", "grammar", "vocabulary", "structure"]
    severity: Literal["low", "medium", "high"]
    message: str
    suggestion: str


class Analysis(_Frozen):
    """What the analysers say about one document. Each value is a function of the document alone.

    `mode` tells who spoke: `offline` = rules, `llm` = a model, where it was asked and could answer; `model` names it.
    `confidence` is between 0 and 1, for each part of the analysis that has one.
    """

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
    entities: tuple[Entity, ...] = ()
    objectives: tuple[Objective, ...] = ()
    sentiment: Sentiment | None = None
    issues: tuple[QualityIssue, ...] = ()
    prerequisites: tuple[str, ...] = ()
    mode: Literal["offline", "llm"] = "offline"
    model: str | None = None
    notice: str | None = Field(default=None, description="What a reader must be told of the origin, if anything")
    by_rule: tuple[str, ...] = Field(
        default=(), description="Parts that rules have answered, where a model was asked and gave none that holds"
    )
    confidence: dict[str, float] = Field(default_factory=dict)
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


def _tree(sections: tuple[Section, ...]) -> tuple[SectionNode, ...]:
    """Built from the end, so that nothing recurses: each section takes the finished ones that lie within it."""
    waiting: list[SectionNode] = []
    for section in reversed(sections):
        inside: list[SectionNode] = []
        while waiting and waiting[-1].section.level > section.level:
            inside.append(waiting.pop())
        waiting.append(SectionNode(section=section, subsections=tuple(inside)))
    return tuple(reversed(waiting))


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
