"""What answers are turned into: models, and the errors that the server raised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from resources.errors import (
    ConcurrencyError,
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

if TYPE_CHECKING:
    import httpx


V1 = "/api/v1"
Model = TypeVar("Model", bound=BaseModel)
Seen = str | BaseModel | Mapping[str, Any]
"""What a change depends on: the thing as it was read alone, its ETag, or `*` for "whatever it is"."""
_ETAG = "etag"


class Answer(dict[str, Any]):
    """The members of an answer, and the `etag` of what it represents, where it has one."""

    etag: str | None = None


def etag_of(thing: BaseModel | Mapping[str, Any]) -> str | None:
    """The ETag of what was read alone, or answered to its last change; None for what came in a list."""
    found = vars(thing).get(_ETAG)
    return None if found is None else str(found)


def model_of(model: type[Model], answer: httpx.Response) -> Model:
    """What was answered, which remembers its ETag: beside its fields, as a cached property would be."""
    found = model.model_validate_json(answer.content)
    _remember(found, answer)
    return found


def mapping_of(answer: httpx.Response) -> Answer:
    """What was answered, where there is no model of it."""
    found = Answer(answer.json())
    _remember(found, answer)
    return found


def condition(if_match: Seen | None) -> dict[str, str]:
    """The header that says what a change depends on. Raises InvalidInputError for a thing whose ETag is not known."""
    if if_match is None:
        return {}
    etag = if_match if isinstance(if_match, str) else etag_of(if_match)
    if etag is None:
        raise InvalidInputError(
            "What came in a list, or was made here, has no ETag: read the thing alone first, and give what was answered.",
            problems=(Problem("if_match", "has no ETag"),),
        )
    return {"If-Match": etag}


def _remember(thing: BaseModel | Answer, answer: httpx.Response) -> None:
    if _ETAG in answer.headers:
        vars(thing)[_ETAG] = answer.headers[_ETAG]


def error_of(answer: httpx.Response) -> PlatformError:
    """The platform's error that the server's problem stands for."""
    try:
        problem = answer.json()
        detail, code = str(problem["detail"]), str(problem["code"])
    except (ValueError, KeyError, TypeError):
        return UpstreamError(
            f"{answer.request.url} answered {answer.status_code} with something that is no problem+json."
        )
    known = {"type", "title", "status", "detail", "instance", "code", "errors", "correlation_id"}
    details = {key: value for key, value in problem.items() if key not in known}
    match answer.status_code:
        case 401:
            return UnauthenticatedError(detail, code=code, **details)
        case 404:
            return NotFoundError(detail, code=code, **details)
        case 409 if {"expected", "actual"} == details.keys():
            return ConcurrencyError(detail, **details)
        case 409:
            return ConflictError(detail, code=code, **details)
        case 412 | 428:
            return StaleError(detail, code=code, **{"etag": None, **details})
        case 403:
            return NotPermittedError(detail, code=code, **details)
        case 408 | 413 | 429:
            after = answer.headers.get("Retry-After")
            return LimitExceededError(detail, code=code, retry_after=float(after) if after else None, **details)
        case 503:
            return UnavailableError(detail, code=code, **{"dependency": "api", **details})
        case status if status < 500:  # noqa: PLR2004 - the client's own fault
            found = tuple(
                Problem(item["path"], item["message"], item.get("hint"), item.get("code"))
                for item in problem.get("errors", ())
            )
            return InvalidInputError(detail, code=code, problems=found, **details)
        case _:
            return UpstreamError(detail, code=code, **details)


def list_of(model: type[Model], answer: httpx.Response) -> list[Model]:
    """Each of the answer's items."""
    return [model.model_validate(item) for item in answer.json()]


def named(reference: str) -> tuple[str, str | None]:
    """`id@which` in its parts."""
    name, _, which = reference.partition("@")
    return name, which or None


def given(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What is not None."""
    return {name: value for name, value in fields.items() if value is not None}


def reason(error: httpx.TransportError) -> str:
    """Why the connection failed, for people."""
    return str(error) or type(error).__name__
