"""A typed client of the HTTP API. Errors come back as the errors that the server raised.

Safe to share between threads. Reads are retried once when the connection broke; writes never are, because only the caller
knows whether its `event_id`s make that safe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx
from pydantic import BaseModel

from api.schemas import (
    BatchOut,
    DocumentAccepted,
    DocumentPage,
    EventOut,
    EventPage,
    HealthDetailOut,
    HealthOut,
    RunOut,
    SearchOut,
    StatisticsOut,
)
from resources.content.model import Document
from resources.errors import (
    ConflictError,
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    NotPermittedError,
    PlatformError,
    Problem,
    UnavailableError,
    UpstreamError,
)
from resources.knowledge.model import ConceptView, LearningPath
from resources.telemetry import correlation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import TracebackType

    from resources.content.model import DocumentStatus

_V1 = "/api/v1"
_TRIES_OF_A_READ = 2
_Model = TypeVar("_Model", bound=BaseModel)


class ApiClient:
    """Speaks to one API at `url`. `timeout` is in seconds, for each step of a request."""

    def __init__(self, url: str, *, timeout: float = 30.0, transport: httpx.BaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, timeout=timeout, transport=transport, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back the connections."""
        self._http.close()

    def health(self) -> HealthOut:
        return self._get("/health", HealthOut)

    def health_detailed(self) -> HealthDetailOut:
        """Also answered when something is down: the answer says what."""
        answer = self._send("GET", "/health/detailed", expected=(200, 503))
        return HealthDetailOut.model_validate_json(answer.content)

    def append_event(self, type: str, data: Mapping[str, Any], *, stream: str | None = None, **fields: Any) -> EventOut:
        """Store one event; `fields` are further members of the request (`event_id`, `expected_version`, `metadata`)."""
        body = {"type": type, "data": dict(data), **fields} | ({} if stream is None else {"stream": stream})
        return EventOut.model_validate_json(self._send("POST", f"{_V1}/events", json=body).content)

    def append_events(self, events: Sequence[Mapping[str, Any]]) -> BatchOut:
        """Store several events; the answer has a result for each."""
        body = [dict(event) for event in events]
        return BatchOut.model_validate_json(self._send("POST", f"{_V1}/events", json=body).content)

    def read_events(self, *, after: int = 0, types: Iterable[str] = (), limit: int = 100) -> EventPage:
        return self._get(f"{_V1}/events", EventPage, after=after, types=list(types), limit=limit)

    def upload(
        self,
        content: bytes,
        *,
        name: str,
        uri: str | None = None,
        media_type: str | None = None,
        title: str | None = None,
        subject: str | None = None,
        requires: Iterable[str] = (),
        tags: Iterable[str] = (),
    ) -> DocumentAccepted:
        """Hand a document in. Raises InvalidInputError or LimitExceededError when it is refused, with the reason."""
        fields: dict[str, Any] = {"name": name, "uri": uri, "title": title, "subject": subject}
        parameters = {key: value for key, value in fields.items() if value is not None}
        answer = self._send(
            "POST",
            f"{_V1}/documents",
            params={**parameters, "requires": list(requires), "tags": list(tags)},
            content=content,
            headers={"Content-Type": media_type or "application/octet-stream"},
        )
        return DocumentAccepted.model_validate_json(answer.content)

    def document(self, document_id: str) -> Document:
        return self._get(f"{_V1}/documents/{document_id}", Document)

    def documents(
        self, *, after: str | None = None, limit: int = 100, status: DocumentStatus | None = None
    ) -> DocumentPage:
        return self._get(f"{_V1}/documents", DocumentPage, after=after, limit=limit, status=status)

    def search(self, query: str, *, limit: int = 10) -> SearchOut:
        return self._get(f"{_V1}/search", SearchOut, q=query, limit=limit)

    def learning_path(self, target: str, *, source: str | None = None) -> LearningPath:
        return self._get(f"{_V1}/learning-path", LearningPath, to=target, **{"from": source})

    def concept(self, concept: str) -> ConceptView:
        return self._get(f"{_V1}/concepts/{concept}", ConceptView)

    def statistics(self) -> StatisticsOut:
        return self._get(f"{_V1}/statistics", StatisticsOut)

    def run(self, run_id: str) -> RunOut:
        return self._get(f"{_V1}/runs/{run_id}", RunOut)

    def _get(self, path: str, model: type[_Model], **parameters: Any) -> _Model:
        given = {key: value for key, value in parameters.items() if value is not None}
        return model.model_validate_json(self._send("GET", path, params=given).content)

    def _send(self, method: str, path: str, *, expected: tuple[int, ...] = (), **request: Any) -> httpx.Response:
        headers = {correlation.HEADER: correlation.accept(correlation.current()), **request.pop("headers", {})}
        tries = _TRIES_OF_A_READ if method == "GET" else 1
        for remaining in reversed(range(tries)):
            try:
                answer = self._http.request(method, path, headers=headers, **request)
            except httpx.TransportError as error:
                if remaining:
                    continue
                raise UnavailableError(
                    f"The API at {self.url!r} does not answer ({_reason(error)}). Start it with `aiw up`, or name "
                    "another with AIW_API_URL.",
                    dependency="api",
                ) from error
            if answer.is_success or answer.status_code in expected:
                return answer
            raise error_of(answer)
        raise AssertionError("unreachable")


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
        case 404:
            return NotFoundError(detail, code=code, **details)
        case 409:
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
                Problem(item["path"], item["message"], item.get("hint")) for item in problem.get("errors", ())
            )
            return InvalidInputError(detail, code=code, problems=found, **details)
        case _:
            return UpstreamError(detail, code=code, **details)


def _reason(error: httpx.TransportError) -> str:
    return str(error) or type(error).__name__
