"""The OpenAPI document, completed: what every route answers because of what stands before all of them.

Routes declare what is their own. That one must log in, may be refused, has asked too often or has sent something that cannot be
read is the same everywhere, and stands here once; so no route can forget it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from api import problems
from api.auth import access
from api.schemas import DataIn, EventIn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fastapi import FastAPI

_SCHEMAS = "#/components/schemas/"
_PARAMETERS = re.compile(r"/{[^}]*}")
_SEPARATORS = re.compile(r"\W")
_WORDS = re.compile(r"[\W_]*([^\W_]+)[\W_]*")
_SECURITY = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An access token of `POST /auth/login`"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key of `POST /keys`"},
}


def complete(app: FastAPI, *, tags: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The document of `app`."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        routes=app.routes,
        tags=list(tags),
        separate_input_output_schemas=False,  # one model, one name
    )
    components = document.setdefault("components", {})
    components["securitySchemes"] = _SECURITY
    schemas = components.setdefault("schemas", {})
    for model in (problems.ProblemDetails, DataIn, EventIn):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(operation, access.needed(method.upper(), path))
    # What the framework says by itself, and what is never answered: problems take its place.
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    _name(document)
    return document


def _name(document: dict[str, Any]) -> None:
    """Names as people would give them, because generated clients take them over.

    An operation is called as its function is; an alias, which has the same, also by its path. A form is called as its operation.
    """
    taken: set[str] = set()
    renamed = {schema: _WORDS.sub(_capital, schema) for schema in document["components"]["schemas"]}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            given = operation["operationId"]
            name = given.removesuffix(f"{_SEPARATORS.sub('_', path)}_{method}")
            if f"Body_{given}" in renamed:
                renamed[f"Body_{given}"] = f"{_WORDS.sub(_capital, name)}Form"
            if name in taken:
                name += f"_at{_SEPARATORS.sub('_', _PARAMETERS.sub('', path))}"
            taken.add(name)
            operation["operationId"] = name
            for answer in operation["responses"].values():
                for content in answer.get("content", {}).values():
                    content.get("schema", {}).pop("title", None)
    document["components"]["schemas"] = {
        renamed[name]: schema | {"title": renamed[name]} for name, schema in document["components"]["schemas"].items()
    }
    _refer(document, {f"{_SCHEMAS}{name}": f"{_SCHEMAS}{new}" for name, new in renamed.items()})


def _capital(word: re.Match[str]) -> str:
    return word[1][:1].upper() + word[1][1:]


def _refer(part: Any, renamed: Mapping[str, str]) -> None:
    """Let all references below a part of the document lead to the new names."""
    if isinstance(part, dict):
        if isinstance(reference := part.get("$ref"), str):
            part["$ref"] = renamed[reference]
        if isinstance(mapping := part.get("mapping"), dict):
            mapping.update({kind: renamed[reference] for kind, reference in mapping.items() if reference in renamed})
        part = part.values()
    if isinstance(part, Iterable) and not isinstance(part, str):
        for each in part:
            _refer(each, renamed)


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
        yield HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    if operation.get("requestBody") is not None or operation.get("parameters"):
        yield HTTPStatus.UNPROCESSABLE_ENTITY
