"""Servers that are really down: an address where nobody listens, a server that is stopped under way."""

from __future__ import annotations

import os
import signal
import socket
import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from pydantic import SecretStr

from api.app import create_app
from api.composition import build_services
from resources.database.migrations import migrate
from resources.database.postgres import Database
from resources.servers.postgres import EmbeddedPostgres
from tests.api.harness import serving
from tests.api.realtime.harness import Client

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from resources.settings import Settings

EVENT = {"type": "run.started", "data": {"run_id": "r1", "job": "documents"}}


@pytest.fixture
def nobody() -> Iterator[int]:
    """A port that is bound, so that nobody else gets it, and does not listen."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def without_database(api_settings: Settings, nobody: int, tenant: str) -> Iterator[httpx.Client]:
    database = api_settings.database.model_copy(
        update={"url": SecretStr(f"postgresql://nobody:secret@127.0.0.1:{nobody}/none"), "connect_timeout": 0.5}
    )
    yield from serve(api_settings.model_copy(update={"database": database, "tenant": tenant}))


@pytest.fixture
def without_graph(api_settings: Settings, nobody: int, tenant: str) -> Iterator[httpx.Client]:
    graph = api_settings.graph.model_copy(update={"url": SecretStr(f"bolt://127.0.0.1:{nobody}")})
    yield from serve(api_settings.model_copy(update={"graph": graph, "tenant": tenant}))


def serve(settings: Settings) -> Iterator[httpx.Client]:
    services = build_services(settings)
    with (
        serving(create_app(services, settings)) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=30) as http,
    ):
        yield http
    services.close()


def assert_unavailable(answer: httpx.Response, dependency: str) -> None:
    assert answer.status_code == 503
    problem = answer.json()
    assert problem["dependency"] == dependency
    assert "retry-after" in answer.headers
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "request_"),
    [
        ("POST", "/api/v1/events", {"json": EVENT}),
        ("POST", "/api/v1/events", {"json": [EVENT, EVENT]}),
        ("GET", "/api/v1/events", {}),
        ("POST", "/api/v1/documents?name=a.md", {"content": b"# A\n\nText."}),
        ("GET", "/api/v1/documents", {}),
        ("GET", "/api/v1/documents/a", {}),
        ("GET", "/api/v1/search?q=a", {}),
    ],
)
def test_without_the_database_the_caller_is_told_so(
    without_database: httpx.Client, method: str, path: str, request_: dict[str, Any]
) -> None:
    assert_unavailable(without_database.request(method, path, **request_), "database")


@pytest.mark.usefixtures("patient_checks")
def test_without_the_database_the_api_lives_and_says_what_is_down(without_database: httpx.Client) -> None:
    assert without_database.get("/health").status_code == 200
    answer = without_database.get("/health/detailed")
    assert answer.status_code == 503
    checks = answer.json()["checks"]
    assert checks["database"]["status"] == "unhealthy"
    assert checks["graph"]["status"] == "healthy"


@pytest.mark.parametrize("path", ["/api/v1/learning-path?to=a", "/api/v1/concepts/a"])
def test_without_the_graph_the_caller_is_told_so(without_graph: httpx.Client, path: str) -> None:
    assert_unavailable(without_graph.get(path), "graph")


def test_without_the_graph_events_and_documents_are_still_taken(without_graph: httpx.Client) -> None:
    event = {**EVENT, "event_id": str(uuid.uuid4())}
    assert without_graph.post("/api/v1/events", json=event).status_code == 201
    answer = without_graph.post("/api/v1/documents?name=a.md", content=b"# A\n\nText.")
    assert answer.status_code == 202
    announced = without_graph.get("/api/v1/events", params={"types": "document.received"}).json()["events"]
    assert [found["data"]["document_id"] for found in announced] == [answer.json()["document"]["id"]]


def test_what_was_acknowledged_survives_a_killed_database_and_the_api_recovers(
    api_settings: Settings, tmp_path: Path, tenant: str
) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres")
    server.start()
    try:
        with closing(Database(server.url)) as database:
            migrate(database)
        settings = api_settings.model_copy(
            update={
                "tenant": tenant,
                "database": api_settings.database.model_copy(
                    update={"url": SecretStr(server.url), "connect_timeout": 1.0}
                ),
            }
        )
        for http in serve(settings):
            acknowledged: set[str] = set()
            outcomes: list[int] = []
            listener = Client(str(http.base_url).replace("http", "ws", 1) + "/ws")
            assert listener.next()["type"] == "Status"
            listener.subscribe("news")
            while 503 not in outcomes:
                event_id = str(uuid.uuid4())
                answer = http.post("/api/v1/events", json={**EVENT, "event_id": event_id})
                outcomes.append(answer.status_code)
                if answer.status_code == 201:
                    acknowledged.add(event_id)
                if len(acknowledged) == 30:
                    assert server.pid is not None
                    os.kill(server.pid, signal.SIGKILL)
            assert set(outcomes) == {201, 503}
            server.stop()
            server.start()
            answer = http.get("/api/v1/events", params={"limit": 1000})
            assert answer.status_code == 200
            assert acknowledged <= {event["event_id"] for event in answer.json()["events"]}
            assert http.post("/api/v1/events", json=EVENT).status_code == 201
            assert http.post("/api/v1/topics/news/messages", json={"content": "back"}).status_code == 201
            assert listener.messages(1) == ["back"]  # by the socket that was open all the while
            listener.close()
    finally:
        server.stop()
