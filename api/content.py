"""What the faces of analysis do beyond one call of one service, and what they answer."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal
from uuid import UUID, uuid4

from pydantic import BaseModel, ConfigDict, Field

from api.schemas import Storable
from resources.content.jobs.model import (
    WORKFLOW,
    AnalysisJob,
    AnalysisOptions,
    AnalysisRequest,
    AnalysisResult,
    JobError,
    JobStatus,
    PluginFindings,
    Structure,
    new_job,
)
from resources.content.jobs.runner import analyse_request
from resources.content.model import Analysis, Entity, MediaType, Objective, QualityIssue, ScoredTerm, Sentiment
from resources.content.parse import refuse_large
from resources.content.parsers.base import EMPTY, UNSUPPORTED
from resources.errors import InvalidInputError, NotFoundError, Problem

if TYPE_CHECKING:
    from api.dependencies import Services

MAX_BATCH = 100

_TYPES = {
    "html": MediaType.HTML,
    "pdf": MediaType.PDF,
    "markdown": MediaType.MARKDOWN,
    "code": MediaType.CODE,
    "plaintext": MediaType.TEXT,
    "text": MediaType.TEXT,
    "json": MediaType.JSON,
    "xml": MediaType.XML,
    "rst": MediaType.RST,
    "docx": MediaType.DOCX,
    "epub": MediaType.EPUB,
    "csv": MediaType.CSV,
}


class AnalyzeIn(BaseModel):
    """A document to analyse: its text, or its bytes in base64."""

    model_config = ConfigDict(extra="forbid")

    content: str | None = Field(default=None, description="The text of the document")
    content_base64: str | None = Field(
        default=None, description="Its bytes, in place of `content`, for PDF, DOCX and EPUB"
    )
    content_type: str | None = Field(
        default=None,
        max_length=150,
        description="A media type or a short name such as Html, Pdf, Markdown, Code, PlainText, Json, Xml; unset = found out",
        examples=["Markdown", "text/html"],
    )
    name: Storable = Field(default="", max_length=255, description="A file name: its extension tells the type, too")
    options: AnalysisOptions = AnalysisOptions()
    background: bool = Field(default=False, description="Answer at once with a job to follow")


class BatchIn(BaseModel):
    """Documents to analyse, each as a job."""

    model_config = ConfigDict(extra="forbid")

    documents: list[AnalyzeIn] = Field(min_length=1, max_length=MAX_BATCH)


class ContentMetadataOut(BaseModel):
    """What the document is."""

    id: str = Field(description="SHA-256 of the bytes")
    name: str
    content_type: MediaType
    size_bytes: int
    title: str | None
    author: str | None
    encoding: str | None
    pages: int | None
    characters: int
    language: str | None


class QualityOut(BaseModel):
    """What the document is worth to a reader."""

    score: float
    readability: float | None = Field(description="Flesch reading ease; null without sentences")
    confidence: float | None
    issues: tuple[QualityIssue, ...]


class DifficultyOut(BaseModel):
    """For whom it is."""

    score: float
    level: Literal["beginner", "intermediate", "advanced", "expert"]
    reading_seconds: int
    prerequisites: tuple[str, ...]
    confidence: float | None


class AnalyzeResultOut(BaseModel):
    """The analysis. What was not wanted is null."""

    id: UUID
    content_metadata: ContentMetadataOut
    structure: Structure
    concepts: tuple[ScoredTerm, ...] | None
    keywords: tuple[ScoredTerm, ...] | None
    entities: tuple[Entity, ...]
    learning_objectives: tuple[Objective, ...] | None
    quality_metrics: QualityOut | None
    difficulty_analysis: DifficultyOut | None
    sentiment: Sentiment | None
    summary: str | None
    language: str | None
    words: int
    sentences: int
    mode: Literal["offline", "llm"]
    model: str | None
    notice: str | None
    confidence: dict[str, float]
    plugin_results: dict[str, PluginFindings]
    processing_time_ms: int
    processed_at: datetime | None


class JobOut(BaseModel):
    """Where a job stands, and what came of it."""

    job_id: UUID
    status: JobStatus
    name: str
    size_bytes: int
    run_id: str | None = Field(description="The run that does the work; null when the request itself did it")
    result: AnalyzeResultOut | None
    errors: tuple[JobError, ...] = ()
    created_at: datetime
    ended_at: datetime | None


class JobPage(BaseModel):
    """Jobs, the newest first, without their results."""

    jobs: list[JobOut]
    next_after: UUID | None = Field(description="Ask again with this for the next page; null = there is none")


def request_of(asked: AnalyzeIn, *, services: Services) -> AnalysisRequest:
    """The request as the platform has it. Raises InvalidInputError and LimitExceededError."""
    if (asked.content is None) == (asked.content_base64 is None):
        problem = Problem("body.content", "is needed, or `content_base64`, and not both")
        raise InvalidInputError(f"The request is not valid: {problem}.", code="validation_failed", problems=(problem,))
    try:
        content = (
            asked.content.encode("utf-8", "replace")
            if asked.content is not None
            else base64.b64decode(asked.content_base64 or "", validate=True)
        )
    except (binascii.Error, ValueError) as error:
        problem = Problem("body.content_base64", "is no base64")
        raise InvalidInputError(
            f"The request is not valid: {problem}.", code="validation_failed", problems=(problem,)
        ) from error
    return checked(
        AnalysisRequest(
            name=asked.name,
            media_type=media_type_of(asked.content_type, strict=True),
            content=content,
            options=asked.options,
        ),
        services=services,
    )


def checked(request: AnalysisRequest, *, services: Services) -> AnalysisRequest:
    """The request, if it is neither empty nor too large."""
    if not request.content:
        raise InvalidInputError("There is nothing to analyse: the document is empty.", code=EMPTY)
    refuse_large(request.content, name=request.name, limits=services.parse_limits)
    return request


def media_type_of(declared: str | None, *, strict: bool) -> MediaType | None:
    """The type that a media type or a short name means. Raises InvalidInputError (UNSUPPORTED_FORMAT) if `strict`."""
    name = (declared or "").partition(";")[0].strip().lower()
    if not name or name == "application/octet-stream":
        return None
    if name in _TYPES:
        return _TYPES[name]
    try:
        return MediaType(name)
    except ValueError:
        if not strict:
            return None
        raise InvalidInputError(
            f"The content type {declared!r} is not supported. Supported: {', '.join(sorted(_TYPES))}, and media types.",
            code=UNSUPPORTED,
        ) from None


def analyse_now(request: AnalysisRequest, *, services: Services, tenant: str) -> AnalysisJob:
    """Do the work in this request, by rule; the result is kept like that of a job. Raises what the parsers raise."""
    started = datetime.now(UTC)
    result, errors = analyse_request(
        request,
        limits=services.parse_limits,
        plugins=lambda name, given: services.plugins.process(name, given, tenant=tenant, now=datetime.now(UTC)),
    )
    job = new_job(uuid4(), request, tenant=tenant, now=started)
    ended = {
        "status": JobStatus.PARTIAL if errors else JobStatus.COMPLETED,
        "result": result,
        "errors": errors,
        "started_at": started,
        "ended_at": datetime.now(UTC),
    }
    return services.analyses.keep(job.model_copy(update=ended))


def submit(request: AnalysisRequest, *, services: Services, tenant: str, user: str) -> AnalysisJob:
    """Keep the request as a job and start its run. What is answered is stored durably."""
    job = services.analyses.add(uuid4(), request, tenant=tenant, now=datetime.now(UTC))
    return _launch(job, services=services, tenant=tenant, user=user)


def follow(job_id: UUID, *, services: Services, tenant: str, user: str) -> AnalysisJob:
    """Where the job stands. One whose run was never started is started now; one whose run broke has failed."""
    job = services.analyses.get(job_id, tenant=tenant)
    if job.status.ended:
        return job
    if job.run_id is None:
        return _launch(job, services=services, tenant=tenant, user=user)
    try:
        run = services.runs.get(job.run_id, tenant=tenant)
    except NotFoundError:
        return job
    if not run.finished:
        return job
    error = JobError(
        code="INTERNAL", message=f"The run {job.run_id} ended before the job did: {run.error or run.status}."
    )
    return services.analyses.end(job_id, JobStatus.FAILED, errors=(error,), tenant=tenant, now=datetime.now(UTC))


def cancel(job_id: UUID, *, services: Services, tenant: str) -> AnalysisJob:
    """End the job, and its run. A job that has ended is left as it is."""
    job = services.analyses.end(job_id, JobStatus.CANCELLED, tenant=tenant, now=datetime.now(UTC))
    if job.status is JobStatus.CANCELLED and job.run_id is not None:
        try:
            services.launches.cancel(job.run_id, tenant=tenant)
        except NotFoundError:
            return job
    return job


def _launch(job: AnalysisJob, *, services: Services, tenant: str, user: str) -> AnalysisJob:
    launched = services.launches.launch(
        WORKFLOW,
        tenant=tenant,
        inputs={"job": str(job.id)},
        key=f"analysis:{job.id}",
        tags={"aiw/user": user},
        trigger="api",
    )
    return services.analyses.launched(job.id, launched.run_id, tenant=tenant)


def job_out(job: AnalysisJob) -> JobOut:
    """The job as it is answered."""
    return JobOut(
        job_id=job.id,
        status=job.status,
        name=job.name,
        size_bytes=job.size_bytes,
        run_id=job.run_id,
        result=None if job.result is None else _result_out(job, job.result),
        errors=job.errors,
        created_at=job.created_at,
        ended_at=job.ended_at,
    )


def _result_out(job: AnalysisJob, result: AnalysisResult) -> AnalyzeResultOut:
    wanted, found, document = job.options, result.analysis, result.document
    language = found.language if wanted.detect_language else None
    return AnalyzeResultOut(
        id=job.id,
        content_metadata=ContentMetadataOut(
            id=document.sha256, language=language, **document.model_dump(exclude={"sha256"})
        ),
        structure=result.structure,
        concepts=found.concepts if wanted.extract_concepts else None,
        keywords=found.keywords if wanted.extract_keywords else None,
        entities=found.entities,
        learning_objectives=found.objectives if wanted.extract_objectives else None,
        quality_metrics=_quality(found) if wanted.assess_quality else None,
        difficulty_analysis=_difficulty(found) if wanted.analyze_difficulty else None,
        sentiment=found.sentiment,
        summary=found.summary if wanted.generate_summary else None,
        language=language,
        words=found.words,
        sentences=found.sentences,
        mode=found.mode,
        model=found.model,
        notice=found.notice,
        confidence=found.confidence,
        plugin_results=result.plugin_results,
        processing_time_ms=result.processing_ms,
        processed_at=job.ended_at,
    )


def _quality(found: Analysis) -> QualityOut:
    return QualityOut(
        score=found.quality,
        readability=found.readability,
        confidence=found.confidence.get("quality"),
        issues=found.issues,
    )


def _difficulty(found: Analysis) -> DifficultyOut:
    return DifficultyOut(
        score=found.difficulty,
        level=found.difficulty_level,
        reading_seconds=found.reading_seconds,
        prerequisites=found.prerequisites,
        confidence=found.confidence.get("difficulty"),
    )
