"""Finding passages, and asking questions that are answered from them."""

from __future__ import annotations

import time
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from api import problems
from api.auth.principal import PrincipalDep
from api.dependencies import Services, ServicesDep, TenantDep
from api.schemas import AskIn, AskOut, IndexStateOut, SearchIn, SearchOut, ShortText, SimilarOut
from api.workflows import service
from api.workflows.schemas import RunIn
from resources.content.model import MediaType
from resources.content.retrieval.model import Filters, Mode
from resources.errors import UpstreamError
from resources.telemetry import correlation

router = APIRouter(tags=["knowledge"])

ASK = "ask"
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")]


@router.get("/search", summary="Search passages", responses=problems.responses(400, 409, 422, 503))
def search(
    services: ServicesDep,
    tenant: TenantDep,
    q: Annotated[str, Query(min_length=1, max_length=1000, description="What to look for, in your own words")],
    mode: Annotated[
        Mode, Query(description="By words, by meaning, by both, fused by rank, or along the graph of knowledge as well")
    ] = Mode.HYBRID,
    type: Annotated[list[MediaType], Query(max_length=20, description="Media types, any of them")] = [],  # noqa: B006 - FastAPI copies it
    language: Annotated[list[ShortText], Query(max_length=20, description="ISO 639-1 codes, any of them")] = [],  # noqa: B006
    difficulty: Annotated[
        list[Literal["beginner", "intermediate", "advanced", "expert"]], Query(max_length=4, description="Any of them")
    ] = [],  # noqa: B006
    tag: Annotated[list[ShortText], Query(max_length=50, description="Tags, all of them")] = [],  # noqa: B006
    min_quality: Annotated[float | None, Query(ge=0, le=1)] = None,
    since: Annotated[datetime | None, Query(description="Received then or later")] = None,
    until: Annotated[datetime | None, Query(description="Received before then")] = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
    cursor: Cursor = None,
    rerank: Annotated[bool, Query(description="Order the first 50 by nearness and words held together")] = False,
) -> SearchOut:
    """The passages with the words of the query and those close to it in meaning, best first, with highlights and citations."""
    filters = Filters(
        types=tuple(type),
        languages=tuple(language),
        difficulties=tuple(difficulty),
        tags=tuple(tag),
        min_quality=min_quality,
        since=since,
        until=until,
    )
    wanted = SearchIn(query=q, mode=mode, filters=filters, limit=limit, cursor=cursor, rerank=rerank)
    return _found(services, tenant, wanted)


@router.post("/search", summary="Search passages, with filters", responses=problems.responses(400, 409, 413, 422, 503))
def search_with_filters(body: SearchIn, services: ServicesDep, tenant: TenantDep) -> SearchOut:
    """As `GET /search`, with all filters there are."""
    return _found(services, tenant, body)


@router.get("/search/state", summary="What can be found by meaning", responses=problems.responses(422, 503))
def index_state(
    services: ServicesDep, tenant: TenantDep, limit: Annotated[int, Query(ge=1, le=10_000)] = 1000
) -> IndexStateOut:
    """Which model's vectors there are, and which documents have to be embedded anew because theirs are of another one."""
    return IndexStateOut.model_validate(services.search.state(tenant=tenant, limit=limit), from_attributes=True)


@router.get(
    "/documents/{document_id}/similar",
    summary="Find similar documents",
    responses=problems.responses(404, 409, 422, 503),
)
def similar_documents(
    document_id: Annotated[str, Path(min_length=1, max_length=200)],
    services: ServicesDep,
    tenant: TenantDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> SimilarOut:
    """Documents about the same, best first."""
    return SimilarOut(
        document_id=document_id, documents=list(services.search.similar(document_id, tenant=tenant, limit=limit))
    )


@router.post(
    "/ask",
    summary="Ask a question",
    responses={**problems.responses(404, 409, 413, 422, 502, 503), 202: {"model": AskOut}},
)
def ask(body: AskIn, services: ServicesDep, principal: PrincipalDep, request: Request, response: Response) -> AskOut:
    """Answered by the workflow `ask`: from the documents alone, each sentence with where it stands, or not at all.

    An answer that takes longer than `wait` comes as the output of the run (202).
    """
    launched, ended = service.launch(
        services,
        ASK,
        RunIn(inputs=body.model_dump(mode="json", exclude={"wait"}, exclude_unset=True)),
        principal=principal,
        key=None,
        correlation_id=correlation.current(),
        wait=body.wait,
    )
    status_url = str(request.url_for("execution_status", run_id=launched.run_id).path)
    if ended is None or ended.status in {"created", "running"}:
        response.status_code = HTTPStatus.ACCEPTED
        return AskOut(run_id=launched.run_id, status="running", status_url=status_url)
    if ended.status != "completed":
        raise UpstreamError(
            f"The question could not be answered: {ended.error or ended.status}.",
            code="ask_failed",
            run_id=launched.run_id,
        )
    given = service.outputs(services, launched.run_id, principal.tenant, None)
    return AskOut(run_id=launched.run_id, status="completed", status_url=status_url, **given)


def _found(services: Services, tenant: str, wanted: SearchIn) -> SearchOut:
    started = time.perf_counter()
    page = services.graph_search.find(
        wanted.query,
        tenant=tenant,
        mode=wanted.mode,
        filters=wanted.filters,
        limit=wanted.limit,
        cursor=wanted.cursor,
        rerank=wanted.rerank,
    )
    return SearchOut(
        query=wanted.query,
        mode=wanted.mode,
        hits=list(page.hits),
        total=page.total,
        facets=page.facets,
        next_cursor=page.next_cursor,
        milliseconds=round((time.perf_counter() - started) * 1000, 1),
    )
