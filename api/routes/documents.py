"""Documents in, and what became of them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from http import HTTPStatus
from tempfile import SpooledTemporaryFile
from typing import IO, TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile

from api import problems
from api.auth.principal import PrincipalDep
from api.dependencies import ServicesDep, TenantDep
from api.schemas import DocumentAccepted, DocumentPage, Storable
from resources.content.model import Document, DocumentSource, DocumentStatus, MediaType
from resources.content.spool import IN_MEMORY, Spooled
from resources.errors import InvalidInputError, Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

router = APIRouter(prefix="/documents", tags=["documents"])

DocumentId = Annotated[Storable, Path(min_length=1, max_length=200)]

_MANY = ("requires", "tags")
_FORM_FIELDS = {
    "file": {"type": "string", "format": "binary"},
    "uri": {"type": "string", "description": "Identity of the document; unset = upload:NAME"},
    "title": {"type": "string"},
    "subject": {"type": "string", "description": "The concept that the document is about"},
    "requires": {"type": "array", "items": {"type": "string"}, "description": "Concepts to know before it"},
    "tags": {"type": "array", "items": {"type": "string"}},
}


class _Declared(BaseModel):
    """What the sender says about the document, from form fields or query parameters."""

    model_config = ConfigDict(extra="ignore")

    name: Storable = Field(min_length=1, max_length=255)
    uri: Storable | None = Field(default=None, min_length=1, max_length=2048)
    title: Storable | None = Field(default=None, max_length=500)
    subject: Storable | None = Field(default=None, max_length=200)
    requires: tuple[Storable, ...] = Field(default=(), max_length=500)
    tags: tuple[Storable, ...] = Field(default=(), max_length=50)


@router.post(
    "",
    status_code=HTTPStatus.ACCEPTED,
    summary="Hand a document in",
    responses=problems.responses(400, 408, 409, 413, 422, 503),
    openapi_extra={
        "parameters": [
            {"name": name, "in": "query", "required": False, "schema": schema, "description": "For a raw body"}
            for name, schema in {"name": {"type": "string"}, **_FORM_FIELDS}.items()
            if name != "file"
        ],
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {"schema": {"type": "object", "required": ["file"], "properties": _FORM_FIELDS}},
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            },
        },
    },
)
async def hand_in(request: Request, response: Response, services: ServicesDep, tenant: TenantDep) -> DocumentAccepted:
    """Take a document: as `file` of a form, or as the raw body with `?name=`. What is answered with 202 is stored durably.

    `uri` is the document's identity: sending it again with other bytes makes a new revision, with the same bytes does
    nothing. The work itself happens in a run; follow the document at `Location`.
    """
    async with _upload(request) as (file, source):
        content = await run_in_threadpool(Spooled.measured, file)
        receipt = await run_in_threadpool(services.intake.receive, source, content, tenant=tenant)
    response.headers["Location"] = f"{request.url.path}/{receipt.document.id}"
    return DocumentAccepted(document=receipt.document, position=receipt.position, outcome=receipt.outcome)


@router.get("", summary="List documents in order of id", responses=problems.responses(422, 503))
def list_documents(
    services: ServicesDep,
    tenant: TenantDep,
    after: Annotated[Storable | None, Query(max_length=200, description="Only ids after this one")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    status: Annotated[DocumentStatus | None, Query(description="Only documents that stand there")] = None,
) -> DocumentPage:
    """The catalogue, page by page: ask again with `after` = `next_after`."""
    found = services.documents.list(tenant=tenant, after=after, limit=limit + 1, status=status)
    page = list(found[:limit])
    return DocumentPage(documents=page, next_after=page[-1].id if len(found) > limit else None)


@router.get("/{document_id}", summary="Show a document", responses=problems.responses(404, 422, 503))
def show_document(document_id: DocumentId, services: ServicesDep, tenant: TenantDep) -> Document:
    """Where the document comes from and where it stands; why, if it was rejected."""
    return services.documents.get(document_id, tenant=tenant)


@router.delete(
    "/{document_id}",
    status_code=HTTPStatus.NO_CONTENT,
    summary="Remove a document",
    responses=problems.responses(404, 422, 503),
)
def remove_document(document_id: DocumentId, services: ServicesDep, tenant: TenantDep, principal: PrincipalDep) -> None:
    """With its passages, and with what it alone supports in the graph. Sent again, it is received as a new one."""
    services.removal.remove(document_id, tenant=tenant, by=principal.subject)


@asynccontextmanager
async def _upload(request: Request) -> AsyncIterator[tuple[IO[bytes], DocumentSource]]:
    """The document, on disk where it is large, and what is said about it."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type != "multipart/form-data":
        source = _source(request.query_params, content_type, default_name=None)
        with SpooledTemporaryFile(IN_MEMORY) as body:
            async for piece in request.stream():
                await run_in_threadpool(body.write, piece)  # it may wait for the disk
            yield body, source
        return
    async with request.form(max_files=1, max_fields=1000) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            problem = Problem("file", "is missing", "send the document as the form's file field 'file'")
            raise InvalidInputError(f"The form is not valid: {problem}.", code="validation_failed", problems=(problem,))
        name = (file.filename or "").replace("\\", "/").rpartition("/")[2]
        yield file.file, _source(form, file.content_type or "", default_name=name)


def _source(fields: Any, declared_type: str, *, default_name: str | None) -> DocumentSource:
    given = {name: fields.getlist(name) for name in _MANY}
    given |= {name: value for name, value in fields.items() if name not in _MANY and value != ""}
    try:
        declared = _Declared.model_validate({"name": default_name, **given})
    except ValidationError as error:
        raise problems.validation_error(error.errors()) from error
    return DocumentSource(
        media_type=_media_type(declared_type),
        **{**declared.model_dump(), "uri": declared.uri or f"upload:{declared.name}"},
    )


def _media_type(declared: str) -> MediaType | None:
    """The declared type where it is one of ours; the parsers find out the others."""
    try:
        return MediaType(declared.partition(";")[0].strip().lower())
    except ValueError:
        return None
