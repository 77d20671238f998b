"""Events in and out: the front door of the only queue between web and Dagster."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from http import HTTPStatus
from itertools import islice
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query, Response
from pydantic import BaseModel, ValidationError

from api import problems
from api.dependencies import Services, ServicesDep, TenantDep
from api.schemas import (
    BatchItem,
    BatchOut,
    DataIn,
    DataStoredOut,
    EventIn,
    EventOut,
    EventPage,
    EventStatisticsOut,
    Storable,
)
from resources.errors import (
    InvalidInputError,
    NotFoundError,
    NotPermittedError,
    PlatformError,
    Problem,
    UnavailableError,
)
from resources.events.catalog import CATALOG, DataReceived, DocumentReceived
from resources.events.model import Appended, EventMetadata, Expected, NewEvent, RecordedEvent, StreamId
from resources.events.routing.model import expand, in_force, route
from resources.telemetry import correlation

MAX_BATCH = 1000
_BODIES = [
    {"$ref": "#/components/schemas/DataIn"},
    {"$ref": "#/components/schemas/EventIn"},
    {"type": "array", "minItems": 1, "maxItems": MAX_BATCH, "items": {"$ref": "#/components/schemas/EventIn"}},
]
_Fate = Literal["queued", "stored_not_queued", "stored_only"]
_IDENTITY = ("tenant.", "user.", "key.")

router = APIRouter(prefix="/events", tags=["events"])

Types = Annotated[
    list[Storable] | None,
    Query(
        max_length=100, description="Only these types, or patterns such as `document.*` and `ai.**`; may be repeated"
    ),
]
StreamType = Annotated[Storable | None, Query(max_length=64, description="Only streams of this type")]
Tags = Annotated[
    list[Storable] | None, Query(max_length=20, description="NAME=VALUE that must be there; may be repeated")
]


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    response_model=EventOut | BatchOut,
    summary="Append an event, or a batch of events",
    responses={
        207: {"model": BatchOut, "description": "Some events of the batch were refused"},
        **problems.responses(400, 403, 409, 413, 422, 503),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"oneOf": _BODIES[1:]},
                }
            },
        }
    },
)
def append_events(
    body: Annotated[dict[str, Any] | list[Any], Body()], services: ServicesDep, tenant: TenantDep
) -> Response:
    """Append one event, or a list of up to 1000. What is answered with 201 is stored durably.

    A batch is not atomic: each of its events has a result of its own, and the answer is 207 when some were refused.
    Repeating a request with the same `event_id`s stores nothing twice.
    """
    if isinstance(body, dict):
        return _answer(_append(body, "body", services, tenant), HTTPStatus.CREATED)
    if not 1 <= len(body) <= MAX_BATCH:
        found = Problem("body", f"{len(body)} events", f"send between 1 and {MAX_BATCH} events at a time")
        raise InvalidInputError(f"The batch is not valid: {found}.", code="validation_failed", problems=(found,))
    results = _append_each(body, services, tenant)
    refused = sum(item.event is None for item in results)
    stored = BatchOut(accepted=len(results) - refused, refused=refused, results=results)
    return _answer(stored, HTTPStatus.MULTI_STATUS if refused else HTTPStatus.CREATED)


@router.post(
    "/data",
    response_model=DataStoredOut | EventOut | BatchOut,
    summary="Append data of whatever form, as the first API took it",
    responses={
        201: {"model": EventOut | BatchOut, "description": "The body was what `POST /events` takes"},
        207: {"model": BatchOut, "description": "The same, and some events of the batch were refused"},
        **problems.responses(400, 403, 409, 413, 422, 503),
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"oneOf": _BODIES}}},
        }
    },
)
def append_data(
    body: Annotated[dict[str, Any] | list[Any], Body()], services: ServicesDep, tenant: TenantDep
) -> Response:
    """`{"data": …}` becomes an event of the type `data.received`; any other body is taken as `POST /events` takes it.

    `POST /events` without `/api/v1` leads here.
    """
    if not (isinstance(body, dict) and body.keys() == DataIn.model_fields.keys()):
        return append_events(body, services, tenant)
    sent = DataIn.model_validate(body)
    event = NewEvent(
        DataReceived.event_type, {"data": sent.data}, metadata=EventMetadata(correlation_id=correlation.current())
    )
    try:
        appended = services.events.append(StreamId("data", str(event.event_id)), [event], tenant=tenant)
    except InvalidInputError as error:
        raise at(error, "body") from error
    services.pushes.push(appended.events)
    status, message = _fate(appended.events[-1], services)
    return Response(
        DataStoredOut(message=message, event_id=event.event_id, status=status).model_dump_json(),
        media_type="application/json",
    )


def _fate(event: RecordedEvent, services: Services) -> tuple[_Fate, str]:
    """What becomes of an event that is stored, and that in words."""
    try:
        rules = in_force(services.rules.list(tenant=event.tenant), event)
    except UnavailableError:
        return "stored_not_queued", "The event is stored; the rules are looked at later."
    if any(found.matched for found in route([event], rules)):
        return "queued", "The event is stored, and a rule works with it."
    return "stored_only", "The event is stored; there is no rule for it."


@router.get("", summary="Read events in order of position", responses=problems.responses(422, 503))
def read_events(
    services: ServicesDep,
    tenant: TenantDep,
    after: Annotated[int, Query(ge=0, lt=2**63, description="Only events with a position above this one")] = 0,
    types: Types = None,
    stream_type: StreamType = None,
    tag: Tags = None,
    correlation_id: Annotated[Storable | None, Query(max_length=200, description="Only events of this story")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> EventPage:
    """Events of all streams. A reader that keeps `next_after` and asks again misses nothing and sees nothing twice."""
    chosen, tags = expanded(types), tags_of(tag)
    if correlation_id is None:
        events = services.events.read_all(
            after_position=after, types=chosen, stream_type=stream_type, tags=tags, limit=limit, tenant=tenant
        )
    else:
        story = _story(services, correlation_id, after, tenant)
        wanted = (
            event
            for event in story
            if (chosen is None or event.type in chosen)
            and stream_type in {None, event.stream.type}
            and (tags or {}).items() <= dict(event.metadata.tags).items()
        )
        events = list(islice(wanted, limit))
    return EventPage(
        events=[EventOut.of(event) for event in events],
        next_after=events[-1].position if events else after,
        head=services.events.head(tenant=tenant),
    )


@router.get("/statistics", summary="Count events by type", responses=problems.responses(503))
def count_events(services: ServicesDep, tenant: TenantDep) -> EventStatisticsOut:
    """How much is stored, of which types, and when last."""
    return EventStatisticsOut.model_validate(services.event_statistics.read(tenant=tenant))


def expanded(patterns: list[str] | None) -> set[str] | None:
    """The types that the caller chose, by name or pattern; None = all. Raises InvalidInputError."""
    return None if patterns is None else expand(patterns, CATALOG.types)


def tags_of(pairs: list[str] | None) -> dict[str, str] | None:
    """`name=value` pairs as a mapping. Raises InvalidInputError."""
    wrong = [pair for pair in pairs or () if not pair.partition("=")[1] or pair.startswith("=")]
    if wrong:
        found = tuple(Problem("query.tag", f"{pair!r} is not NAME=VALUE") for pair in wrong)
        raise InvalidInputError(f"Cannot choose by tags: {found[0]}.", code="query_invalid", problems=found)
    return None if pairs is None else {name: value for name, _, value in (pair.partition("=") for pair in pairs)}


def _story(services: Services, correlation_id: str, after: int, tenant: str) -> Iterator[RecordedEvent]:
    while page := services.events.read_correlation(
        correlation_id, after_position=after, limit=MAX_BATCH, tenant=tenant
    ):
        yield from page
        after = page[-1].position


def _answer(body: BaseModel, status: HTTPStatus) -> Response:
    """The body as it is: the framework would check and walk through all of it once more."""
    return Response(body.model_dump_json(), status_code=status, media_type="application/json")


def _append_each(batch: list[Any], services: Services, tenant: str) -> list[BatchItem]:
    """All together in as few commits as possible; each event is stored or refused by itself, in order."""
    sent: list[tuple[StreamId, NewEvent, int | Expected] | PlatformError] = []
    for index, item in enumerate(batch):
        try:
            sent.append(checked(item, f"body[{index}]", services, tenant))
        except PlatformError as error:
            sent.append(error)
    # Only now, and quickly: what is submitted together is written together.
    pending = [_submit(one, f"body[{index}]", services, tenant) for index, one in enumerate(sent)]
    outcomes = [_outcome(waiting, f"body[{index}]", services) for index, waiting in enumerate(pending)]
    lost = [outcome for outcome in outcomes if isinstance(outcome, UnavailableError)]
    if lost and not any(isinstance(outcome, EventOut) for outcome in outcomes):
        raise lost[0]  # nothing was stored, so the whole request may simply be repeated
    return [
        BatchItem(status=HTTPStatus.CREATED, event=outcome) if isinstance(outcome, EventOut) else _refused(outcome)
        for outcome in outcomes
    ]


def _submit(
    sent: tuple[StreamId, NewEvent, int | Expected] | PlatformError, path: str, services: Services, tenant: str
) -> Future[tuple[Appended, ...]] | PlatformError:
    if isinstance(sent, PlatformError):
        return sent
    stream, event, expected = sent
    try:
        return services.event_writer.submit(stream, [event], expected_version=expected, tenant=tenant)
    except PlatformError as error:
        return at(error, path)


def _outcome(
    waiting: Future[tuple[Appended, ...]] | PlatformError, path: str, services: Services
) -> EventOut | PlatformError:
    if isinstance(waiting, PlatformError):
        return waiting
    try:
        stored = waiting.result()[0].events
        services.pushes.push(stored)
        return EventOut.of(stored[-1])
    except PlatformError as error:
        return at(error, path)


def _append(item: Any, path: str, services: Services, tenant: str) -> EventOut:
    stream, event, expected = checked(item, path, services, tenant)
    try:
        appended = services.events.append(stream, [event], expected_version=expected, tenant=tenant)
    except InvalidInputError as error:
        raise at(error, path) from error
    services.pushes.push(appended.events)
    return EventOut.of(appended.events[-1])


def checked(item: Any, path: str, services: Services, tenant: str) -> tuple[StreamId, NewEvent, int | Expected]:
    """One event of a request, with its stream and what is expected of that. `path` is where it stands. Raises PlatformError."""
    try:
        sent = EventIn.model_validate(item)
    except ValidationError as error:
        raise problems.validation_error(error.errors(), prefix=path) from error
    _refuse_unknown_content(sent, path, services, tenant)
    _refuse_identity(sent)
    stream, event = sent.to_event(correlation_id=correlation.current())
    return stream, event, Expected.ANY if sent.expected_version is None else sent.expected_version


def at(error: PlatformError, path: str) -> PlatformError:
    """The error, with the paths of its problems as the caller knows them."""
    if not isinstance(error, InvalidInputError):
        return error
    found = tuple(replace(problem, path=problem.path.replace("events[0]", path)) for problem in error.problems)
    return InvalidInputError(error.message, code=error.code, problems=found)


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


def _refuse_identity(sent: EventIn) -> None:
    """Who was given which right is recorded by whoever gives it, and by nobody else: the record would be worth nothing."""
    stream = (sent.stream or sent.type).partition("/")[0]
    if sent.type.startswith(_IDENTITY) or f"{stream.partition('.')[0]}." in _IDENTITY:
        raise NotPermittedError(
            f"Events such as {sent.type!r} are recorded by the platform alone.", code="event_reserved"
        )


def _refused(error: PlatformError) -> BatchItem:
    problem = problems.of_error(error)
    return BatchItem(status=problem["status"], problem=problem)
