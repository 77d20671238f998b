"""Every error of the HTTP face, as problem+json (RFC 9457): the one place where a category becomes a status.

A problem has the members of the RFC (`type`, `title`, `status`, `detail`, `instance`) and three of ours: `code`, stable and
for machines; `correlation_id`, which finds the request in logs, events and runs; `errors`, everything that is wrong with the
input, each with a path. An error's `details` become further members. What went wrong inside is logged, never sent.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from resources.errors import (
    ConflictError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    NotPermittedError,
    PlatformError,
    Problem,
    StaleError,
    UnauthenticatedError,
    UnavailableError,
    UpstreamError,
)
from resources.telemetry import correlation
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fastapi import FastAPI
    from starlette.requests import Request

log = get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:aiw:problem:"

# The category of an error decides its status ...
_STATUS: tuple[tuple[type[PlatformError], HTTPStatus], ...] = (
    (InvalidInputError, HTTPStatus.BAD_REQUEST),
    (NotFoundError, HTTPStatus.NOT_FOUND),
    (ConflictError, HTTPStatus.CONFLICT),
    (UnauthenticatedError, HTTPStatus.UNAUTHORIZED),
    (NotPermittedError, HTTPStatus.FORBIDDEN),
    (LimitExceededError, HTTPStatus.TOO_MANY_REQUESTS),
    (UnavailableError, HTTPStatus.SERVICE_UNAVAILABLE),
    (UpstreamError, HTTPStatus.BAD_GATEWAY),
)
# ... but for these codes.
_STATUS_OF_CODE = {
    "CONTENT_TOO_LARGE": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "document_bomb": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "TIMEOUT": HTTPStatus.REQUEST_TIMEOUT,
    "precondition_failed": HTTPStatus.PRECONDITION_FAILED,
    "precondition_required": HTTPStatus.PRECONDITION_REQUIRED,
    "query_invalid": HTTPStatus.UNPROCESSABLE_ENTITY,
    "validation_failed": HTTPStatus.UNPROCESSABLE_ENTITY,
    "event_invalid": HTTPStatus.UNPROCESSABLE_ENTITY,
    "content_unknown": HTTPStatus.UNPROCESSABLE_ENTITY,
}
# Codes of the errors that the web framework raises itself.
_CODE_OF_STATUS = {
    HTTPStatus.BAD_REQUEST: "malformed_request",
    HTTPStatus.NOT_FOUND: "route_not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "CONTENT_TOO_LARGE",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "media_type_unsupported",
}
_RESERVED = frozenset({"type", "title", "status", "detail", "instance", "code", "correlation_id", "errors"})
_RETRY_AFTER_UNAVAILABLE = 2


class ProblemItem(BaseModel):
    """One thing that is wrong with the input."""

    path: str = Field(examples=["body.events[2].type"])
    message: str
    hint: str | None = None
    code: str | None = Field(default=None, description="Stable and for machines, where the kind of problem has one")


class ProblemDetails(BaseModel):
    """An error, as RFC 9457 describes it. Further members hold the error's own facts, such as `dependency`."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:aiw:problem:document-empty"])
    title: str
    status: int
    detail: str
    instance: str | None = Field(default=None, description="The path that was asked for")
    code: str = Field(description="Stable and for machines", examples=["document_empty"])
    correlation_id: str | None = None
    errors: list[ProblemItem] = Field(default_factory=list, description="Everything that is wrong with the input")


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problem responses that a route declares, for its entry in the OpenAPI document."""
    schema = {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}
    return {status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: schema}} for status in statuses}


def status_of(error: PlatformError) -> HTTPStatus:
    """The HTTP status of an error: by its code where that is special, else by its category."""
    by_category = (status for category, status in _STATUS if isinstance(error, category))
    return _STATUS_OF_CODE.get(error.code) or next(by_category, HTTPStatus.INTERNAL_SERVER_ERROR)


def document(
    status: int,
    code: str,
    detail: str,
    *,
    instance: str | None = None,
    errors: Iterable[Problem] = (),
    details: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A problem as a plain mapping."""
    return {
        "type": TYPE_PREFIX + code.replace("_", "-").lower(),
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        "instance": instance,
        "code": code,
        "correlation_id": correlation.current(),
        "errors": [
            {"path": item.path, "message": item.message, "hint": item.hint, "code": item.code} for item in errors
        ],
        **{name: value for name, value in (details or {}).items() if name not in _RESERVED},
    }


def of_error(error: PlatformError, *, instance: str | None = None) -> dict[str, Any]:
    """The problem that an error of the platform is."""
    errors = error.problems if isinstance(error, InvalidInputError) else ()
    return document(
        status_of(error), error.code, error.message, instance=instance, errors=errors, details=error.details
    )


def response(problem: Mapping[str, Any], *, headers: Mapping[str, str] | None = None) -> Response:
    """The HTTP response that carries a problem."""
    body = orjson.dumps(problem, default=str, option=orjson.OPT_NON_STR_KEYS)
    return Response(body, status_code=problem["status"], headers=dict(headers or {}), media_type=MEDIA_TYPE)


def of_exception(error: Exception, *, instance: str) -> Response:
    """The answer to an exception that nobody foresaw: logged in full, told without internals."""
    log.error("request.failed", path=instance, exc_info=error)
    return response(
        document(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "internal_error",
            "The platform failed to answer; the cause is in its log, under this correlation id.",
            instance=instance,
        )
    )


def validation_error(errors: Sequence[Any], *, prefix: str = "") -> InvalidInputError:
    """What pydantic found wrong, in the platform's own words. `prefix` is the path of what was validated."""
    problems = tuple(Problem(path=_path(item["loc"], prefix), message=str(item["msg"])) for item in errors)
    listed = "; ".join(map(str, problems[:3]))
    return InvalidInputError(f"The request is not valid: {listed}.", code="validation_failed", problems=problems)


def install(app: FastAPI) -> None:
    """Answer every error of `app` as a problem."""
    app.add_exception_handler(PlatformError, _on_platform_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_platform_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PlatformError)
    problem = of_error(error, instance=request.url.path)
    if problem["status"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request.unserved", code=error.code, path=request.url.path, reason=error.message, **error.details)
    return response(problem, headers=headers_of(error))


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = list(error.errors())
    if found and found[0]["type"] == "json_invalid":
        reason = found[0].get("ctx", {}).get("error", found[0]["msg"])
        message = f"The body is not valid JSON, at character {found[0]['loc'][-1]}: {reason}."
        return response(
            document(HTTPStatus.BAD_REQUEST, "malformed_json", message, instance=request.url.path),
        )
    if isinstance(error.body, bytes) and error.body:  # the framework parses what says that it is JSON
        sent = request.headers.get("content-type", "").partition(";")[0] or "of no type"
        message = f"The body is {sent}. Send it as application/json."
        return response(
            document(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "media_type_unsupported", message, instance=request.url.path)
        )
    return response(of_error(validation_error(found), instance=request.url.path))


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return of_http(error, path=request.url.path, method=request.method)


def of_http(error: HTTPException, *, path: str, method: str = "") -> Response:
    """The answer to an error that the web framework has raised."""
    status = HTTPStatus(error.status_code)
    detail = str(error.detail)
    if status is HTTPStatus.NOT_FOUND:
        detail = f"There is nothing at {path!r}. /docs lists what there is."
    elif status is HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{method} is not supported at {path!r}."
    code = _CODE_OF_STATUS.get(status, status.phrase.lower().replace(" ", "_"))
    return response(document(status, code, detail, instance=path), headers=error.headers)


def headers_of(error: PlatformError) -> dict[str, str]:
    """The headers that belong to the answer: when to come back, how to log in, or how the thing is by now."""
    if isinstance(error, UnauthenticatedError):
        return {"WWW-Authenticate": 'Bearer realm="aiw"'}
    if isinstance(error, LimitExceededError) and error.retry_after is not None:
        return {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
    if isinstance(error, UnavailableError):
        return {"Retry-After": str(_RETRY_AFTER_UNAVAILABLE)}
    if isinstance(error, StaleError) and error.etag is not None:
        return {"ETag": error.etag}
    return {}


def _path(location: Sequence[Any], path: str = "") -> str:
    """`("body", "events", 2, "type")` as `body.events[2].type`."""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path
