"""The OpenAPI document, completed: what every route answers because of what stands before all of them.

Routes declare what is their own. That one must log in, may be refused, has asked too often or has sent something that cannot be
read is the same everywhere, and stands here once; so no route can forget it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from api import problems
from api.auth import access
from api.schemas import EventIn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastapi import FastAPI

_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An access token of `POST /auth/login`"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key of `POST /keys`"},
}


def complete(app: FastAPI, *, tags: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The document of `app`."""
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, routes=app.routes, tags=list(tags)
    )
    components = document.setdefault("components", {})
    components["securitySchemes"] = _SECURITY
    schemas = components.setdefault("schemas", {})
    for model in (problems.ProblemDetails, EventIn):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(operation, access.needed(method.upper(), path))
    # What the framework says by itself, and what is never answered: problems take its place.
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return document


def _complete(operation: dict[str, Any], wanted: str) -> None:
    answers = operation["responses"]
    answers.pop("422", None)
    for status, answer in problems.responses(*_statuses(operation, wanted)).items():
        answers.setdefault(str(status), answer)
    operation["responses"] = dict(sorted(answers.items()))
    if wanted != access.PUBLIC:
        operation["security"] = [{"bearer": []}, {"key": []}]
        needs = "being logged in" if wanted == access.ANYONE else f"`{wanted}`"
        operation["description"] = f"{operation.get('description', '')}\n\nNeeds {needs}.".strip()


def _statuses(operation: dict[str, Any], wanted: str) -> Iterator[int]:
    yield HTTPStatus.TOO_MANY_REQUESTS
    if wanted != access.PUBLIC:
        yield HTTPStatus.UNAUTHORIZED
        yield HTTPStatus.FORBIDDEN
    if operation.get("requestBody") is not None:
        yield HTTPStatus.BAD_REQUEST
        yield HTTPStatus.REQUEST_TIMEOUT
        yield HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    if operation.get("requestBody") is not None or operation.get("parameters"):
        yield HTTPStatus.UNPROCESSABLE_ENTITY
