"""What an analysis job is: what is asked for, where it stands, what came of it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, model_validator

from resources.content.model import Analysis, Citation, Link, Media, MediaType, SectionNode, sha256_of
from resources.plugins.model import PluginName


class JobStatus(StrEnum):
    """queued → running → completed, partial (a model or a plugin did not do its part) or failed; or cancelled on the way."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self not in {JobStatus.QUEUED, JobStatus.RUNNING}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AnalysisOptions(_Frozen):
    """What is wanted of the analysis. A part that is not wanted is null in the result."""

    extract_concepts: bool = True
    assess_quality: bool = True
    analyze_difficulty: bool = True
    extract_objectives: bool = True
    generate_summary: bool = True
    extract_keywords: bool = True
    detect_language: bool = True
    timeout_seconds: float = Field(default=30.0, gt=0, le=300, description="For the whole of one document")
    provider: str | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="A configured provider: a model analyses; unset = rules do",
    )
    model: str | None = Field(
        default=None, min_length=1, max_length=200, description="The provider's name for the model"
    )

    plugins: tuple[PluginName, ...] = Field(
        default=(), max_length=20, description="Names of installed and enabled plugins that work on the text as well"
    )
    plugin_params: dict[PluginName, dict[str, Any]] = Field(
        default_factory=dict, max_length=20, description="By plugin: goes before what it is configured with"
    )

    @model_validator(mode="after")
    def _only_of_plugins(self) -> Self:
        if unknown := sorted(self.plugin_params.keys() - set(self.plugins)):
            raise ValueError(f"`plugin_params` names {', '.join(unknown)}, which `plugins` does not")
        return self

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.provider is None) != (self.model is None):
            raise ValueError("needs both `provider` and `model`, or neither")
        return self


class JobError(_Frozen):
    """Why a job failed, or why a part of it did."""

    code: str
    message: str
    part: Literal["document", "model", "plugin"] = "document"
    plugin: str | None = Field(default=None, description="Which plugin failed")


class Structure(_Frozen):
    """What the parser found besides text."""

    sections: tuple[SectionNode, ...] = ()
    links: tuple[Link, ...] = ()
    citations: tuple[Citation, ...] = ()
    media: tuple[Media, ...] = ()
    tables: int = 0


class DocumentFacts(_Frozen):
    """What the document is."""

    name: str
    content_type: MediaType
    size_bytes: int
    sha256: str
    title: str | None = None
    author: str | None = None
    encoding: str | None = None
    pages: int | None = None
    characters: int


class PluginFindings(_Frozen):
    """What a plugin made of the text. `content` is null when it changed nothing."""

    data: dict[str, Any]
    metadata: dict[str, Any]
    content: str | None = None
    milliseconds: float
    cached: bool


class AnalysisResult(_Frozen):
    """What came of it. `analysis` holds all values."""

    document: DocumentFacts
    structure: Structure
    analysis: Analysis
    plugin_results: dict[str, PluginFindings] = Field(default_factory=dict, description="By name of the plugin")
    processing_ms: int


class AnalysisRequest(_Frozen):
    """A document to analyse. `content` is what is analysed; the rest says how."""

    name: str = Field(default="", max_length=255)
    media_type: MediaType | None = None
    content: bytes
    options: AnalysisOptions = AnalysisOptions()


class AnalysisJob(_Frozen):
    """A job of one tenant. What is analysed goes with the end of the job."""

    id: UUID
    tenant: str
    status: JobStatus
    name: str
    media_type: MediaType | None
    sha256: str
    size_bytes: int
    options: AnalysisOptions
    run_id: str | None = None
    result: AnalysisResult | None = None
    errors: tuple[JobError, ...] = ()
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None


WORKFLOW: Final = "content_analysis"
"""The bundled workflow that does the work of a job."""


def new_job(job_id: UUID, request: AnalysisRequest, *, tenant: str, now: datetime) -> AnalysisJob:
    """The job that a request becomes."""
    return AnalysisJob(
        id=job_id,
        tenant=tenant,
        status=JobStatus.QUEUED,
        name=request.name,
        media_type=request.media_type,
        sha256=sha256_of(request.content),
        size_bytes=len(request.content),
        options=request.options,
        created_at=now,
    )
