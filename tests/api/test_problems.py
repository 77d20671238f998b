from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import httpx
import pytest
from fastapi import Body, FastAPI, Query

from api import problems
from api.middleware.exchange import ExchangeMiddleware
from api.middleware.limits import BodyLimitMiddleware
from api.middleware.security import LoopbackOnlyMiddleware
from resources.errors import (
    ConcurrencyError,
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

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, MutableMapping

LIMIT = 1000
ERRORS: dict[str, PlatformError | Exception] = {
    "invalid": InvalidInputError(
        "The document is empty.",
        code="document_empty",
        problems=(Problem("file", "is empty", "send a file with text"),),
    ),
    "missing": NotFoundError("There is no document 'x'.", code="document_not_found"),
    "conflict": ConflictError("It is running."),
    "concurrency": ConcurrencyError("Somebody was first.", expected="3", actual=4),
    "forbidden": NotPermittedError("Not yours."),
    "large": LimitExceededError("Too large.", code="CONTENT_TOO_LARGE", limit_bytes=10),
    "slow": LimitExceededError("It took too long.", code="TIMEOUT"),
    "fast": LimitExceededError("Slow down.", retry_after=1.2),
    "down": UnavailableError("The graph cannot be reached.", dependency="graph"),
    "upstream": UpstreamError("It answered 500."),
    "format": InvalidInputError("Pictures cannot be read.", code="UNSUPPORTED_FORMAT"),
    "bug": RuntimeError("password=hunter2"),
    "shadow": NotFoundError("No.", status="not-a-status"),
}


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    problems.install(app)

    @app.get("/raise/{name}")
    def fail(name: str) -> None:
        raise ERRORS[name]

    @app.post("/echo")
    def echo(body: Annotated[dict[str, int], Body()], limit: Annotated[int, Query(ge=1)] = 1) -> dict[str, Any]:
        return {"size": len(body), "limit": limit}

    app.add_middleware(BodyLimitMiddleware, limit=LIMIT, limits={"/raise/x": 10})
    app.add_middleware(LoopbackOnlyMiddleware)
    app.add_middleware(ExchangeMiddleware)
    return app


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        yield client


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("invalid", 400, "document_empty"),
        ("missing", 404, "document_not_found"),
        ("conflict", 409, "conflict"),
        ("concurrency", 409, "concurrency_conflict"),
        ("forbidden", 403, "not_permitted"),
        ("large", 413, "CONTENT_TOO_LARGE"),
        ("slow", 408, "TIMEOUT"),
        ("fast", 429, "limit_exceeded"),
        ("down", 503, "dependency_unavailable"),
        ("upstream", 502, "upstream_error"),
        ("format", 400, "UNSUPPORTED_FORMAT"),
        ("bug", 500, "internal_error"),
    ],
)
async def test_each_category_of_error_has_its_status(
    http: httpx.AsyncClient, name: str, status: int, code: str
) -> None:
    answer = await http.get(f"/raise/{name}", headers={"X-Correlation-ID": "abcdefgh-1"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["type"] == "urn:aiw:problem:" + code.replace("_", "-").lower()
    assert problem["instance"] == f"/raise/{name}"
    assert problem["correlation_id"] == "abcdefgh-1"
    assert problem["title"]
    assert problem["detail"]


async def test_everything_wrong_with_an_input_is_listed_with_its_path(http: httpx.AsyncClient) -> None:
    problem = (await http.get("/raise/invalid")).json()
    assert problem["errors"] == [{"path": "file", "message": "is empty", "hint": "send a file with text", "code": None}]


async def test_a_limit_in_time_says_when_to_come_back(http: httpx.AsyncClient) -> None:
    assert (await http.get("/raise/fast")).headers["retry-after"] == "2"


async def test_an_unreachable_dependency_is_named(http: httpx.AsyncClient) -> None:
    answer = await http.get("/raise/down")
    assert answer.json()["dependency"] == "graph"
    assert "retry-after" in answer.headers


async def test_facts_of_an_error_are_told_but_never_replace_members_of_the_problem(http: httpx.AsyncClient) -> None:
    assert (await http.get("/raise/large")).json()["limit_bytes"] == 10
    assert (await http.get("/raise/shadow")).json()["status"] == 404


async def test_an_unforeseen_exception_tells_nothing_of_the_inside(
    http: httpx.AsyncClient, logs: list[MutableMapping[str, Any]]
) -> None:
    answer = await http.get("/raise/bug")
    assert "hunter2" not in answer.text
    assert "hunter2" in str([line["exc_info"] for line in logs if line["event"] == "request.failed"])


async def test_all_validation_errors_come_at_once(http: httpx.AsyncClient) -> None:
    answer = await http.post("/echo?limit=0", json={"a": "x", "b": None})
    assert answer.status_code == 422
    assert answer.json()["code"] == "validation_failed"
    assert {item["path"] for item in answer.json()["errors"]} == {"query.limit", "body.a", "body.b"}


async def test_malformed_json_is_a_bad_request(http: httpx.AsyncClient) -> None:
    answer = await http.post("/echo", content=b'{"a": 1,', headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "malformed_json"


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", ""])
async def test_a_body_of_another_kind_is_refused_as_one(http: httpx.AsyncClient, media_type: str) -> None:
    answer = await http.post("/echo", content=b'{"a": 1}', headers={"Content-Type": media_type})
    assert (answer.status_code, answer.json()["code"]) == (415, "media_type_unsupported")
    assert "application/json" in answer.json()["detail"]


async def test_json_that_is_no_utf8_is_a_bad_request(http: httpx.AsyncClient) -> None:
    answer = await http.post("/echo", content=b'{"\xff": 1}', headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [("GET", "/nowhere", 404, "route_not_found"), ("DELETE", "/echo", 405, "method_not_allowed")],
)
async def test_unknown_routes_and_wrong_methods_are_problems_too(
    http: httpx.AsyncClient, method: str, path: str, status: int, code: str
) -> None:
    answer = await http.request(method, path)
    assert answer.status_code == status
    assert answer.json()["code"] == code


async def test_a_body_that_is_declared_too_large_is_refused_unread(http: httpx.AsyncClient) -> None:
    answer = await http.post("/echo", content=b"x" * (LIMIT + 1))
    assert answer.status_code == 413
    assert answer.json()["code"] == "CONTENT_TOO_LARGE"
    assert answer.json()["limit_bytes"] == LIMIT


async def test_a_body_without_a_declared_length_is_counted(http: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 100
            yield b"x" * 100

    answer = await http.post("/echo", content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["code"] == "CONTENT_TOO_LARGE"
    assert sent <= LIMIT + 200


async def test_a_body_of_exactly_the_limit_passes(http: httpx.AsyncClient) -> None:
    body = b'{"a":1}'.ljust(LIMIT)
    answer = await http.post("/echo", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 200


@pytest.mark.parametrize("header", ["X-Correlation-ID", "X-Request-ID", "X-Trace-ID", "Correlation-ID"])
async def test_a_correlation_id_that_was_sent_comes_back(http: httpx.AsyncClient, header: str) -> None:
    answer = await http.get("/nowhere", headers={header: "order-4711.retry:2"})
    assert answer.headers["x-correlation-id"] == "order-4711.retry:2"


@pytest.mark.parametrize("sent", [None, "short", "with space in it", "x" * 129, "ünïcödé-identifier", "a" * 12 + "\t"])
async def test_an_absent_or_ill_formed_correlation_id_is_replaced(http: httpx.AsyncClient, sent: str | None) -> None:
    headers = {} if sent is None else {b"X-Correlation-ID": sent.encode()}
    answer = await http.get("/nowhere", headers=headers)
    assert len(answer.headers["x-correlation-id"]) == 36
    assert answer.json()["correlation_id"] == answer.headers["x-correlation-id"]


async def test_the_first_accepted_header_wins(http: httpx.AsyncClient) -> None:
    answer = await http.get("/nowhere", headers={"X-Request-ID": "request-id", "X-Correlation-ID": "correlation"})
    assert answer.headers["x-correlation-id"] == "correlation"


async def test_even_a_failed_request_carries_its_correlation_id(http: httpx.AsyncClient) -> None:
    answer = await http.get("/raise/bug", headers={"X-Correlation-ID": "abcdefgh-2"})
    assert answer.headers["x-correlation-id"] == "abcdefgh-2"


@pytest.mark.parametrize("path", ["/nowhere", "/raise/bug", "/raise/missing"])
async def test_every_answer_carries_the_security_headers(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.get(path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    "headers",
    [{"Host": "rebound.example:8000"}, {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "[::1"}],
)
async def test_pages_of_other_sites_are_refused(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await http.get("/raise/missing", headers=headers)
    assert answer.status_code == 403
    assert answer.json()["code"] == "host_not_allowed"


@pytest.mark.parametrize(
    "headers",
    [{"Host": "localhost:8000"}, {"Host": "[::1]:8000"}, {"Host": "127.0.0.1", "Origin": "http://localhost:3000"}],
)
async def test_pages_and_programs_of_this_machine_are_served(http: httpx.AsyncClient, headers: dict[str, str]) -> None:
    assert (await http.get("/raise/missing", headers=headers)).status_code == 404


async def test_each_request_is_logged_once_with_its_outcome(
    http: httpx.AsyncClient, logs: list[MutableMapping[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "api.access")
    await http.get("/raise/missing")
    [line] = [line for line in logs if line["event"] == "request.finished"]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/raise/missing", 404)
    assert line["milliseconds"] >= 0
