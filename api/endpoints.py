"""Routes that read, answered without the framework's general way of calling a function, which costs twice what they do.

Taken from the framework is what it has found out about a route: its parameters, its dependencies, its answer. Left out is what
such a route does not use: a solver of graphs of dependencies, stacks of things to be closed, and for functions that run in a
thread a second thread for the answer. A route that uses any of it is left to the framework.
"""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi.concurrency import run_in_threadpool
from fastapi.datastructures import DefaultPlaceholder
from fastapi.dependencies.utils import request_params_to_args
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from starlette.requests import Request
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fastapi.dependencies.models import Dependant
    from starlette.types import ASGIApp, Receive, Scope, Send

    Dependency = tuple[str | None, Callable[..., Awaitable[Any]], str | None]

_JSON = (b"content-type", b"application/json")
_OK = 200


def app_of(context: Any) -> ASGIApp:
    """What answers the route: an `Endpoint` where that is all it takes, else the framework's own."""
    dependant = context.dependant
    plain = (
        context.response_field is not None
        and isinstance(context.response_class, DefaultPlaceholder)
        and not (context.body_field or context.stream_item_field or context.is_sse_stream or context.is_json_stream)
        and not _uses_more(dependant)
        and not dependant.cookie_params
        and not (inspect.isgeneratorfunction(dependant.call) or inspect.isasyncgenfunction(dependant.call))
        and all(_is_plain(each) for each in dependant.dependencies)
    )
    app: ASGIApp = Endpoint(context) if plain else context.app
    return app


class Endpoint:
    """One route: checks what was sent, calls the function, and writes what it gives."""

    def __init__(self, context: Any) -> None:
        dependant = context.dependant
        self._call = dependant.call
        self._awaited = inspect.iscoroutinefunction(dependant.call)
        self._dependencies: Sequence[Dependency] = [
            (each.name, each.call, each.request_param_name) for each in dependant.dependencies
        ]
        self._path, self._query, self._header = dependant.path_params, dependant.query_params, dependant.header_params
        self._request_name, self._response_name = dependant.request_param_name, dependant.response_param_name
        self._status = context.status_code or _OK
        self._field = context.response_field
        self._write = partial(
            self._field.serialize_json,
            include=context.response_model_include,
            exclude=context.response_model_exclude,
            by_alias=context.response_model_by_alias,
            exclude_unset=context.response_model_exclude_unset,
            exclude_defaults=context.response_model_exclude_defaults,
            exclude_none=context.response_model_exclude_none,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        values: dict[str, Any] = {}
        for name, call, wants_request in self._dependencies:
            value = await (call() if wants_request is None else call(**{wants_request: request}))
            if name is not None:
                values[name] = value
        self._read(request, values)
        if self._request_name is not None:
            values[self._request_name] = request
        response = None
        if self._response_name is not None:
            response = values[self._response_name] = Response()
            del response.headers["content-length"]
            response.status_code = 0  # nobody has said one
        if self._awaited:
            body = self._written(await self._call(**values))
        else:
            body = await run_in_threadpool(lambda: self._written(self._call(**values)))
        if isinstance(body, Response):
            await body(scope, receive, send)
            return
        status, headers = self._status, [(b"content-length", b"%d" % len(body)), _JSON]
        if response is not None:
            status = response.status_code or status
            headers += response.raw_headers
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _read(self, request: Request, values: dict[str, Any]) -> None:
        """Raises RequestValidationError."""
        errors: list[Any] = []
        for fields, place in ((self._path, "path_params"), (self._query, "query_params"), (self._header, "headers")):
            if fields:
                found, wrong = request_params_to_args(fields, getattr(request, place))
                values.update(found)
                errors += wrong
        if errors:
            raise RequestValidationError(errors)

    def _written(self, answer: Any) -> bytes | Response:
        if isinstance(answer, Response):
            return answer
        value, errors = self._field.validate(answer, {}, loc=("response",))
        if errors:
            raise ResponseValidationError(errors=errors, body=answer)
        body: bytes = self._write(value)
        return body


def _is_plain(dependant: Dependant) -> bool:
    """Whether it takes nothing but the request, and closes nothing."""
    takes = (dependant.path_params, dependant.query_params, dependant.header_params, dependant.cookie_params)
    return (
        inspect.iscoroutinefunction(dependant.call)
        and not any((*takes, dependant.body_params, dependant.dependencies, dependant.response_param_name))
        and not _uses_more(dependant)
    )


def _uses_more(dependant: Dependant) -> bool:
    return any(
        (
            dependant.http_connection_param_name,
            dependant.websocket_param_name,
            dependant.background_tasks_param_name,
            dependant.security_scopes_param_name,
            dependant.own_oauth_scopes,
            dependant.parent_oauth_scopes,
            dependant.concurrency,
        )
    )
