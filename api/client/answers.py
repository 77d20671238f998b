"""What answers are turned into: models, and the errors that the server raised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from resources.errors import (
    ConflictError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    NotPermittedError,
    PlatformError,
    Problem,
    UnauthenticatedError,
    UnavailableError,
    UpstreamError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx


V1 = "/api/v1"
Model = TypeVar("Model", bound=BaseModel)


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
        case 409 | 412 | 428:
            return ConflictError(detail, code=code, **details)
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
