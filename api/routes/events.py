"""Events in and out: the front door of the only queue between web and Dagster."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Response
from pydantic import ValidationError

from api import problems
from api.dependencies import Services, ServicesDep, TenantDep
from api.schemas import BatchItem, BatchOut, EventIn, EventOut, EventPage, Storable
from resources.errors import InvalidInputError, NotFoundError, PlatformError, Problem, UnavailableError
from resources.events.catalog import DocumentReceived
from resources.events.model import Expected
from resources.telemetry import correlation

MAX_BATCH = 1000

router = APIRouter(prefix="/events", tags=["events"])


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    summary="Append an event, or a batch of events",
    responses={
        207: {"model": BatchOut, "description": "Some events of the batch were refused"},
        **problems.responses(400, 409, 413, 422, 503),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "oneOf": [
                            {"$ref": "#/components/schemas/EventIn"},
                            {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": MAX_BATCH,
                                "items": {"$ref": "#/components/schemas/EventIn"},
                            },
                        ]
                    }
                }
            },
        }
    },
)
def append_events(
    body: Annotated[dict[str, Any] | list[Any], Body()], services: ServicesDep, tenant: TenantDep, response: Response
) -> EventOut | BatchOut:
    """Append one event, or a list of up to 1000. What is answered with 201 is stored durably.

    A batch is not atomic: each of its events has a result of its own, and the answer is 207 when some were refused.
    Repeating a request with the same `event_id`s stores nothing twice.
    """
    if isinstance(body, dict):
        return _append(body, "body", services, tenant)
    if not 1 <= len(body) <= MAX_BATCH:
        found = Problem("body", f"{len(body)} events", f"send between 1 and {MAX_BATCH} events at a time")
        raise InvalidInputError(f"The batch is not valid: {found}.", code="validation_failed", problems=(found,))
    results = _append_each(body, services, tenant)
    refused = sum(item.event is None for item in results)
    if refused:
        response.status_code = HTTPStatus.MULTI_STATUS
    return BatchOut(accepted=len(results) - refused, refused=refused, results=results)


@router.get("", summary="Read events in order of position", responses=problems.responses(422, 503))
def read_events(
    services: ServicesDep,
    tenant: TenantDep,
    after: Annotated[int, Query(ge=0, description="Only events with a position above this one")] = 0,
    types: Annotated[list[Storable] | None, Query(description="Only events of these types; may be repeated")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> EventPage:
    """Events of all streams. A reader that keeps `next_after` and asks again misses nothing and sees nothing twice."""
    events = services.events.read_all(after_position=after, types=types, limit=limit, tenant=tenant)
    return EventPage(
        events=[EventOut.of(event) for event in events],
        next_after=events[-1].position if events else after,
        head=services.events.head(tenant=tenant),
    )


def _append_each(batch: list[Any], services: Services, tenant: str) -> list[BatchItem]:
    results: list[BatchItem] = []
    for index, item in enumerate(batch):
        try:
            stored = _append(item, f"body[{index}]", services, tenant)
        except UnavailableError as error:
            if not any(result.event for result in results):
                raise  # nothing was stored, so the whole request may simply be repeated
            rest = [_refused(error)] * (len(batch) - index)
            return [*results, *rest]
        except PlatformError as error:
            results.append(_refused(error))
        else:
            results.append(BatchItem(status=HTTPStatus.CREATED, event=stored))
    return results


def _append(item: Any, path: str, services: Services, tenant: str) -> EventOut:
    try:
        sent = EventIn.model_validate(item)
    except ValidationError as error:
        raise problems.validation_error(error.errors(), prefix=path) from error
    _refuse_unknown_content(sent, path, services, tenant)
    stream, event = sent.to_event(correlation_id=correlation.current())
    expected = Expected.ANY if sent.expected_version is None else sent.expected_version
    try:
        appended = services.events.append(stream, [event], expected_version=expected, tenant=tenant)
    except InvalidInputError as error:
        found = tuple(replace(problem, path=problem.path.replace("events[0]", path)) for problem in error.problems)
        raise InvalidInputError(error.message, code=error.code, problems=found) from error
    return EventOut.of(appended.events[-1])


def _refuse_unknown_content(sent: EventIn, path: str, services: Services, tenant: str) -> None:
    """A `document.received` starts a run, which needs the document: it must have been handed in."""
    if sent.type != DocumentReceived.event_type:
        return
    document_id = sent.data.get("document_id")
    try:
        known = services.documents.get(str(document_id), tenant=tenant).sha256
    except NotFoundError:
        known = None
    if known is None or known != sent.data.get("sha256"):
        problem = Problem(
            f"{path}.data",
            f"names content of {document_id!r} that is not here",
            "upload it first: POST /api/v1/documents",
        )
        raise InvalidInputError(f"The event is refused: {problem}.", code="content_unknown", problems=(problem,))


def _refused(error: PlatformError) -> BatchItem:
    problem = problems.of_error(error)
    return BatchItem(status=problem["status"], problem=problem)
