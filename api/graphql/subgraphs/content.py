"""Documents, what was found in them, and jobs of analysis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry
from strawberry.scalars import JSON

from api.graphql import paging
from api.graphql.context import GraphContext
from api.graphql.inputs import validated
from api.graphql.module import Module, extends
from api.graphql.paging import After, Connection, First
from api.graphql.subgraphs.workflows import Workflow, WorkflowExecution, executions_by_id, newest_runs
from resources.content.jobs.model import AnalysisJob, JobStatus
from resources.content.model import Analysis, DocumentSource, DocumentStatus
from resources.content.model import Document as Entry
from resources.content.retrieval.model import Filters, Mode
from resources.errors import InvalidInputError, NotFoundError
from resources.workflows.executions import Execution

strawberry.enum(DocumentStatus)
strawberry.enum(JobStatus, name="ProcessingStatus")
strawberry.enum(Mode, name="SearchMode")

_NAMES = frozenset({"document_id", "document_ids", "documents", "document"})


@strawberry.type
class DocumentAnalysis:
    """What the analysers say of a document. `mode` tells who spoke: rules (`offline`), or a model."""

    summary: str
    language: str
    words: int
    reading_seconds: int
    quality: float
    difficulty: float
    difficulty_level: str
    keywords: list[str]
    mode: str
    model: str | None
    notice: str | None

    @classmethod
    def of(cls, found: Analysis) -> DocumentAnalysis:
        same = (
            "summary", "language", "words", "reading_seconds", "quality", "difficulty", "difficulty_level", "mode", "model",
            "notice",
        )  # fmt: skip
        return cls(keywords=[term.text for term in found.keywords], **{name: getattr(found, name) for name in same})


@strawberry.federation.type(keys=["id"])
class Document:
    """A document: where it comes from, where it stands, and why, if it was rejected."""

    id: strawberry.ID
    title: str
    name: str
    uri: str
    media_type: str
    status: DocumentStatus
    language: str | None
    size_bytes: int
    sha256: str
    subject: str | None
    tags: list[str]
    chunk_count: int | None
    concept_count: int | None
    rejection_code: str | None
    rejection_reason: str | None
    received_at: datetime
    updated_at: datetime

    @strawberry.field
    async def analysis(self, info: strawberry.Info[GraphContext]) -> DocumentAnalysis | None:
        """What was found in it; null before it was analysed."""
        return await info.context.load(analyses_by_document, str(self.id))

    @strawberry.field
    async def related_content(self, info: strawberry.Info[GraphContext], first: First = 5) -> list[Document] | None:
        """Documents that are like it in meaning, the nearest first."""
        context = info.context
        found = await context.run(
            context.services.search.similar, str(self.id), tenant=context.tenant, limit=paging.checked(first)
        )
        return await context.load_many(documents_by_id, [one.document_id for one in found])

    @classmethod
    def of(cls, found: Entry) -> Document:
        same = (
            "media_type", "status", "language", "size_bytes", "sha256", "chunk_count", "concept_count", "rejection_code",
            "rejection_reason", "received_at", "updated_at",
        )  # fmt: skip
        return cls(
            id=strawberry.ID(found.id),
            title=found.title or found.source.title or found.source.name,
            name=found.source.name,
            uri=found.source.uri,
            subject=found.source.subject,
            tags=list(found.source.tags),
            **{name: getattr(found, name) for name in same},
        )


@strawberry.type
class ProcessingError:
    """Why a job failed, or a part of it."""

    code: str
    message: str
    part: str


@strawberry.federation.type(keys=["id"])
class ProcessingJob:
    """A job of analysis. `result` is there when it has ended, and was asked for by its id."""

    id: strawberry.ID
    status: JobStatus
    name: str
    sha256: str
    size_bytes: int
    run_id: strawberry.ID | None
    result: JSON | None
    errors: list[ProcessingError]
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @strawberry.field
    async def execution(self, info: strawberry.Info[GraphContext]) -> WorkflowExecution | None:
        """The run that does the work."""
        return None if self.run_id is None else await info.context.load(executions_by_id, str(self.run_id))

    @classmethod
    def of(cls, job: AnalysisJob) -> ProcessingJob:
        return cls(
            id=strawberry.ID(str(job.id)),
            status=job.status,
            name=job.name,
            sha256=job.sha256,
            size_bytes=job.size_bytes,
            run_id=None if job.run_id is None else strawberry.ID(job.run_id),
            result=None if job.result is None else JSON(job.result.model_dump(mode="json")),
            errors=[ProcessingError(code=one.code, message=one.message, part=one.part) for one in job.errors],
            created_at=job.created_at,
            started_at=job.started_at,
            ended_at=job.ended_at,
        )


@strawberry.type
class SearchHit:
    """A passage that was found. `citation` names it: document and offsets in its text."""

    document_id: strawberry.ID
    text: str
    section: str | None
    start: int
    end: int
    score: float
    citation: str

    @strawberry.field
    async def document(self, info: strawberry.Info[GraphContext]) -> Document | None:
        """The document that it stands in."""
        return await info.context.load(documents_by_id, str(self.document_id))


@strawberry.type
class SearchResult:
    """Passages, the best first."""

    hits: list[SearchHit]
    total: int
    facets: JSON
    next_cursor: str | None


async def documents_by_id(context: GraphContext, ids: list[str]) -> Sequence[Document | None]:
    """In one statement."""
    found = await context.run(context.services.documents.get_many, ids, tenant=context.tenant)
    return [Document.of(found[id]) if id in found else None for id in ids]


async def analyses_by_document(context: GraphContext, ids: list[str]) -> Sequence[DocumentAnalysis | None]:
    """In one statement."""
    found = await context.run(context.services.documents.get_analyses, ids, tenant=context.tenant)
    return [DocumentAnalysis.of(found[id]) if id in found else None for id in ids]


async def jobs_by_id(context: GraphContext, ids: list[str]) -> Sequence[ProcessingJob | Exception | None]:
    """Each with its result; of several that are asked for at once, one at a time, as results are large."""

    def read(id: str) -> ProcessingJob | None:
        try:
            return ProcessingJob.of(context.services.analyses.get(UUID(id), tenant=context.tenant))
        except (ValueError, NotFoundError):
            return None

    return [await context.run(read, id) for id in ids]


async def documents_of_runs(context: GraphContext, runs: list[str]) -> Sequence[list[Document]]:
    """The documents that runs name, in what they were given and in what they gave."""
    known = await context.run(context.services.executions.get_many, runs, context.tenant)
    return await _documents(context, [[known[run]] if run in known else [] for run in runs])


async def documents_of_workflows(context: GraphContext, names: list[str]) -> Sequence[list[Document]]:
    """The documents that the newest runs of workflows name."""
    return await _documents(context, await context.load_many(newest_runs, names))


async def _documents(context: GraphContext, groups: Sequence[Sequence[Execution]]) -> list[list[Document]]:
    named = [list(dict.fromkeys(id for run in group for id in named_in(run))) for group in groups]
    everything = list(dict.fromkeys(id for ids in named for id in ids))
    found = {str(one.id): one for one in await context.load_many(documents_by_id, everything)} if everything else {}
    return [[found[id] for id in ids if id in found] for ids in named]


def named_in(run: Execution) -> Iterator[str]:
    """Ids of documents in a run's inputs, outputs, and outputs of its nodes: values of `document_id` and its like."""
    waiting: list[Any] = [run.inputs, run.outputs, *(node.output for node in run.nodes)]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for name, inside in value.items():
                if name in _NAMES:
                    yield from (
                        one for one in (inside if isinstance(inside, list) else [inside]) if isinstance(one, str)
                    )
                waiting.append(inside)
        elif isinstance(value, list):
            waiting.extend(value)


@extends(Workflow)
class _WorkflowContent:
    @strawberry.field
    async def processed_content(self, info: strawberry.Info[GraphContext]) -> list[Document] | None:
        """The documents that its newest runs were given, or name in what they gave."""
        return await info.context.load(documents_of_workflows, str(self.id))  # type: ignore[attr-defined]


@extends(WorkflowExecution)
class _ExecutionContent:
    @strawberry.field
    async def documents(self, info: strawberry.Info[GraphContext]) -> list[Document] | None:
        """The documents that it was given, or names in what it gave."""
        return await info.context.load(documents_of_runs, str(self.id))  # type: ignore[attr-defined]


@strawberry.type
class Query:
    """What can be asked of documents."""

    @strawberry.field
    async def document(self, info: strawberry.Info[GraphContext], id: strawberry.ID) -> Document | None:
        """One document; null when there is none."""
        return await info.context.load(documents_by_id, str(id))

    @strawberry.field
    async def documents(
        self,
        info: strawberry.Info[GraphContext],
        first: First = 10,
        after: After = None,
        status: DocumentStatus | None = None,
    ) -> Connection[Document] | None:
        """The catalogue, in order of id."""
        found = await info.context.run(
            info.context.services.documents.list,
            tenant=info.context.tenant,
            after=paging.decode("documents", after),
            limit=paging.checked(first) + 1,
            status=status,
        )
        listed = [Document.of(one) for one in found]
        return paging.page("documents", listed, lambda one: str(one.id), first=first, after=after)

    @strawberry.field
    async def search(
        self,
        info: strawberry.Info[GraphContext],
        query: str,
        first: First = 10,
        after: str | None = None,
        mode: Mode = Mode.HYBRID,
        tags: list[str] | None = None,
        languages: list[str] | None = None,
        min_quality: float | None = None,
    ) -> SearchResult | None:
        """Passages by words and by meaning."""
        wanted = {"tags": tuple(tags or ()), "languages": tuple(languages or ()), "min_quality": min_quality}
        filters = validated(Filters, wanted)
        found = await info.context.run(
            info.context.services.graph_search.find,
            query,
            tenant=info.context.tenant,
            mode=mode,
            filters=filters,
            limit=paging.checked(first),
            cursor=after,
        )
        same = ("text", "section", "start", "end", "score", "citation")
        hits = [
            SearchHit(document_id=strawberry.ID(hit.document_id), **{name: getattr(hit, name) for name in same})
            for hit in found.hits
        ]
        return SearchResult(hits=hits, total=found.total, facets=JSON(found.facets), next_cursor=found.next_cursor)

    @strawberry.field
    async def processing_job(self, info: strawberry.Info[GraphContext], id: strawberry.ID) -> ProcessingJob | None:
        """One job of analysis, with its result; null when there is none."""
        return await info.context.load(jobs_by_id, str(id))

    @strawberry.field
    async def processing_jobs(
        self,
        info: strawberry.Info[GraphContext],
        first: First = 10,
        after: After = None,
        status: JobStatus | None = None,
    ) -> Connection[ProcessingJob] | None:
        """Jobs of analysis, the newest first, without their results."""
        behind = paging.decode("jobs", after)
        found = await info.context.run(
            info.context.services.analyses.list,
            tenant=info.context.tenant,
            status=status,
            after=None if behind is None else _uuid(behind),
            limit=paging.checked(first) + 1,
        )
        listed = [ProcessingJob.of(job) for job in found]
        return paging.page("jobs", listed, lambda job: str(job.id), first=first, after=after)


@strawberry.type
class HandedIn:
    """What became of a document: `received`, or `unchanged` when it was known."""

    document: Document
    outcome: str
    position: int | None


@strawberry.type
class Mutation:
    """What can be done with documents."""

    @strawberry.mutation
    async def hand_in_document(
        self,
        info: strawberry.Info[GraphContext],
        name: str,
        text: str,
        uri: str | None = None,
        title: str | None = None,
        subject: str | None = None,
        requires: list[str] | None = None,
        tags: list[str] | None = None,
    ) -> HandedIn | None:
        """Take a document as text. What is answered is stored durably; the work happens in a run.

        Files of other formats are handed in at `POST /api/v1/documents`.
        """
        context = info.context
        declared = {
            "name": name,
            "uri": uri or f"upload:{name}",
            "title": title,
            "subject": subject,
            "requires": tuple(requires or ()),
            "tags": tuple(tags or ()),
        }
        source = validated(DocumentSource, declared)
        receipt = await context.run(context.services.intake.receive, source, text.encode(), tenant=context.tenant)
        return HandedIn(document=Document.of(receipt.document), outcome=receipt.outcome, position=receipt.position)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise InvalidInputError("The cursor is not one of this list's.", code="cursor_invalid") from error


MODULE = Module(
    name="content",
    query=Query,
    mutation=Mutation,
    entities={Document: documents_by_id, ProcessingJob: jobs_by_id},
    cache={
        "Query.document": 10,
        "Query.documents": 10,
        "Query.search": 10,
        "Document.analysis": 10,
        "Document.relatedContent": 10,
        "SearchHit.document": 10,
    },
    access={
        "Document": "read:documents",
        "ProcessingJob": "read:documents",
        "Query.document": "read:documents",
        "Query.documents": "read:documents",
        "Query.search": "read:knowledge",
        "Query.processingJob": "read:documents",
        "Query.processingJobs": "read:documents",
        "Document.analysis": "read:documents",
        "Document.relatedContent": "read:documents",
        "ProcessingJob.execution": "read:runs",
        "SearchHit.document": "read:documents",
        "Workflow.processedContent": "read:documents",
        "WorkflowExecution.documents": "read:documents",
        "Mutation.handInDocument": "write:documents",
    },
)
