"""Every error of the graph: the one place where a category becomes `extensions`.

`code` is stable and for machines, as in the problems of the HTTP face; `service` names the module whose field failed. What went
wrong inside is logged, never sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from graphql import GraphQLError, GraphQLSyntaxError

from resources.errors import InvalidInputError, PlatformError
from resources.telemetry import correlation
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Iterable

log = get_logger(__name__)

SYNTAX: Final = "graphql_syntax"
INVALID: Final = "graphql_invalid"
INTERNAL: Final = "internal_error"


class FieldError(GraphQLError):
    """An error of a field, told in our words."""


def of(error: Exception, *, service: str | None = None) -> GraphQLError:
    """The error as the graph tells it."""
    if isinstance(error, GraphQLError) and not isinstance(error.original_error, Exception):
        return error
    if not isinstance(error, PlatformError):
        log.error("graphql.failed", service=service, exc_info=error)
        return FieldError(
            "Something went wrong inside.", extensions=_extensions(INTERNAL, service), original_error=error
        )
    extensions = {**error.details, **_extensions(error.code, service), "retryable": error.retryable}
    if isinstance(error, InvalidInputError) and error.problems:
        extensions["problems"] = [
            {"path": one.path, "message": one.message, "hint": one.hint, "code": one.code} for one in error.problems
        ]
    return FieldError(error.message, extensions=_plain(extensions), original_error=error)


def told(found: Iterable[GraphQLError]) -> None:
    """Give each error a code, and hide what is inside. Changes them in place, as their holder keeps the list."""
    for error in found:
        if "code" in (error.extensions or {}):
            continue
        original = error.original_error
        while isinstance(original, GraphQLError) and original.original_error is not None:
            original = original.original_error
        if isinstance(original, Exception) and not isinstance(original, GraphQLError):
            own = of(original)
            error.message, error.extensions = own.message, own.extensions
        else:
            code = SYNTAX if isinstance(error, GraphQLSyntaxError) else INVALID
            error.extensions = {**(error.extensions or {}), **_extensions(code, None)}


def _extensions(code: str, service: str | None) -> dict[str, Any]:
    found = {"code": code, "service": service, "correlationId": correlation.current()}
    return {name: value for name, value in found.items() if value is not None}


def _plain(details: dict[str, Any]) -> dict[str, Any]:
    known = (str, int, float, bool, list, dict, type(None))
    return {name: value if isinstance(value, known) else str(value) for name, value in details.items()}
