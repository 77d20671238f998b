"""Handlers that are too slow, and bodies that hardly come."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.requests import Request  # noqa: TC002 - the framework reads the annotation
from starlette.responses import StreamingResponse

from api.middleware.exchange import ExchangeMiddleware
from api.middleware.limits import BodyLimitMiddleware
from tests.api.harness import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

SHORT = 0.2


class Slow:
    """An application with handlers that end when they are let go, and what became of them."""

    def __init__(self) -> None:
        self.app = FastAPI()
        self.cancelled = threading.Event()
        self.go = threading.Event()
        self.app.add_api_route("/async", self.wait)
        self.app.add_api_route("/thread", self.block)
        self.app.add_api_route("/stream", self.stream)
        self.app.add_api_route("/body", self.body, methods=["POST"])
        self.app.add_middleware(BodyLimitMiddleware, limit=10_000)
        self.app.add_middleware(ExchangeMiddleware, timeout=SHORT)

    async def wait(self) -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return "late"

    def block(self) -> str:
        self.go.wait(60)
        return "late"

    async def stream(self) -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            yield b"one "
            await asyncio.sleep(2 * SHORT)
            yield b"two"

        return StreamingResponse(parts())

    async def body(self, request: Request) -> int:
        return len(await request.body())


@pytest.fixture
def slow() -> Iterator[Slow]:
    found = Slow()
    yield found
    found.go.set()


@pytest.fixture
def http(slow: Slow) -> Iterator[httpx.Client]:
    with serving(slow.app) as url, httpx.Client(base_url=url, trust_env=False, timeout=30.0) as client:
        yield client
        slow.go.set()


def test_a_handler_that_is_too_slow_is_answered_for_and_ended(slow: Slow, http: httpx.Client) -> None:
    answer = http.get("/async", headers={"X-Correlation-ID": "abcdefgh-1"})
    problem = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (504, "application/problem+json")
    assert (problem["code"], problem["correlation_id"]) == ("request_timeout", "abcdefgh-1")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert slow.cancelled.wait(30)
    assert http.get("/async").status_code == 504  # on the same connection


def test_a_thread_that_is_too_slow_is_not_waited_for(slow: Slow, http: httpx.Client) -> None:
    assert http.get("/thread").status_code == 504
    assert not slow.go.is_set()


def test_an_answer_that_has_begun_may_take_its_time(http: httpx.Client) -> None:
    assert http.get("/stream").text == "one two"


def test_the_time_of_a_body_is_not_the_handlers(http: httpx.Client) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(6):
            time.sleep(SHORT / 2)
            yield b"x" * 10

    answer = http.post("/body", content=parts())
    assert (answer.status_code, answer.text) == (200, "60")


async def test_a_body_that_hardly_comes_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.middleware.limits.PATIENCE", 0.1)
    asked = 0

    async def drip() -> dict[str, Any]:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/body",
        "query_string": b"",
        "headers": [(b"content-length", b"9000")],
    }
    await Slow().app(scope, drip, send)
    assert sent[0]["status"] == 408
    assert asked < 1000
