"""Each route that is answered ahead of the framework, asked twice: what it says must be what the framework's route says."""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.app import create_app
from api.hot.appends import written
from api.hot.routes import HotRoutes
from api.schemas import EventOut
from resources.content.model import DocumentSource, DocumentStatus, MediaType
from resources.errors import UnavailableError
from resources.events.catalog import NodeCompleted
from resources.events.model import EventMetadata, RecordedEvent, StreamId, new_event_id
from resources.events.projections.projector import Projector
from resources.events.projections.workflows import WorkflowExecutionHistory
from resources.events.workflow import WorkflowAggregate
from resources.tenants.permissions import Role
from tests.api.auth.people import bearer
from tests.api.harness import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from api.dependencies import Services
    from resources.settings import Settings
    from tests.api.auth.people import People

V1 = "/api/v1"
TEXT = "# Tides\n\nThe moon pulls; the sea follows. \N{GREEK SMALL LETTER ALPHA}\n"
VARYING = {"x-correlation-id", "date", "ratelimit", "x-ratelimit-remaining", "x-ratelimit-reset"}


@pytest.fixture(scope="module")
def slow_url(services: Services, guarded_settings: Settings) -> Iterator[str]:
    """The same API without the routes of `api.hot`."""
    app = create_app(services, guarded_settings)
    app.user_middleware = [one for one in app.user_middleware if getattr(one.cls, "__name__", "") != HotRoutes.__name__]
    with serving(app) as url:
        yield url


@pytest.fixture
def slow(slow_url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=slow_url, trust_env=False, timeout=30.0) as client:
        yield client


@pytest.fixture
def left_over(guarded_app: FastAPI, guarded: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Paths of the requests that the hot routes left to the framework."""
    guarded.get("/live")  # the stack of middleware exists
    seen: list[str] = []
    layer: Any = guarded_app.middleware_stack
    while not isinstance(layer, HotRoutes):
        layer = getattr(layer, "app", None) or layer._app
    behind = layer._app

    async def told(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            seen.append(scope["path"])
        await behind(scope, receive, send)

    monkeypatch.setattr(layer, "_app", told)
    return seen


@pytest.fixture
def document(services: Services, people: People) -> str:
    source = DocumentSource(uri="notes:tides", name="tides.md", tags=("sea",), media_type=MediaType.MARKDOWN)
    return services.intake.receive(source, TEXT.encode(), tenant=people.tenant).document.id


@pytest.fixture
def run(services: Services, people: People) -> str:
    """A run of a workflow that has ended, in the read model."""
    found = WorkflowAggregate(f"run-{people.tenant}")
    found.create("tides", input_data={"q": "\N{SNOWMAN} why?"}, user_id="ada")
    found.start()
    found.node(
        NodeCompleted(workflow_id=found.id, node_id="n", node_type="llm", duration_ms=3, output_data=[1.5, None])
    )
    found.complete({"answer": [1, 2.5, None]}, duration_ms=12)
    services.aggregates.save(found, tenant=people.tenant)
    Projector(services.events, services.projections, batch=2000).update(WorkflowExecutionHistory())
    return found.id


def told(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    return answer.status_code, {name: it for name, it in answer.headers.items() if name not in VARYING}, answer.content


def test_every_read_says_what_the_frameworks_route_says(
    guarded: httpx.Client, slow: httpx.Client, people: People, left_over: list[str], document: str, run: str
) -> None:
    headers = people.headers(Role.VIEWER)
    paths = (
        f"{V1}/documents/{document}",
        f"{V1}/executions/{run}",
        f"{V1}/workflows/{run}/status",
        f"{V1}/workflows/status/{run}",
        f"{V1}/health",
        f"{V1}/live",
        "/health",
        "/live",
        f"{V1}/events",
        f"{V1}/events?limit=3",
        f"{V1}/events?after=1&limit=100",
        f"{V1}/events?after=999999999999",
    )
    for path in paths * 2:  # the second time, how it is written is known
        assert told(guarded.get(path, headers=headers)) == told(slow.get(path, headers=headers))
    assert left_over == []
    assert VARYING - {"date"} <= set(guarded.get(paths[0], headers=headers).headers)


def test_a_row_that_changes_is_seen_at_once(
    services: Services, guarded: httpx.Client, people: People, document: str, left_over: list[str]
) -> None:
    headers, path = people.headers(Role.VIEWER), f"{V1}/documents/{document}"
    for status in (DocumentStatus.PARSED, DocumentStatus.READY, DocumentStatus.PARSED):
        services.documents.set_status(document, status, tenant=people.tenant, now=datetime.now(UTC))
        assert guarded.get(path, headers=headers).json()["status"] == status
    assert left_over == []


def test_what_is_out_of_the_ordinary_is_left_to_the_framework(
    guarded: httpx.Client, slow: httpx.Client, people: People, strangers: People, document: str, left_over: list[str]
) -> None:
    path, may = f"{V1}/documents/{document}", people.headers(Role.VIEWER)
    known = guarded.get(path, headers=may).headers["etag"]
    asked: list[tuple[str, dict[str, str], int]] = [
        (path, {}, 401),
        (path, bearer("nonsense"), 401),
        (path, strangers.headers(Role.ADMIN), 404),
        (f"{V1}/executions/run-{people.tenant}", strangers.headers(Role.ADMIN), 404),
        (f"{V1}/documents/no-such-document", may, 404),
        (f"{V1}/documents/%00", may, 422),
        (path, may | {"If-None-Match": known}, 304),
        (path + "?x=1", may, 200),
        (f"{V1}/events?limit=0", may, 422),
        (f"{V1}/events?limit=101", may, 200),
        (f"{V1}/events?limit=1&types=run.started", may, 200),
        (f"{V1}/events?after=-1", may, 422),
    ]
    for url, headers, status in asked:
        left_over.clear()
        fast, plain = guarded.get(url, headers=headers), slow.get(url, headers=headers)
        assert fast.status_code == status
        problem = [
            {name: it for name, it in answer.json().items() if name != "correlation_id"}
            if status >= 400
            else answer.content
            for answer in (fast, plain)
        ]
        assert (fast.status_code, problem[0]) == (plain.status_code, problem[1])
        assert left_over or status in {401, 422}


def test_who_may_not_read_is_refused(guarded: httpx.Client, services: Services, people: People, document: str) -> None:
    admin = people.pair(Role.ADMIN).principal
    _, key = services.identity.administration.create_key("narrow", scopes=["read:prompts"], actor=admin)
    answer = guarded.get(f"{V1}/documents/{document}", headers=bearer(key))
    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


def test_without_the_quick_way_to_the_database_the_framework_answers(
    services: Services, guarded: httpx.Client, people: People, document: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_arguments: Any, **_options: Any) -> None:
        raise UnavailableError("It is down.", dependency="database")

    monkeypatch.setattr(services.lookups, "find", down)
    assert guarded.get(f"{V1}/documents/{document}", headers=people.headers(Role.VIEWER)).status_code == 200


def event(**more: Any) -> dict[str, Any]:
    return {"type": "run.started", "data": {"run_id": "r", "job": "tides"}, **more}


def test_an_event_is_stored_as_the_frameworks_route_stores_it(
    guarded: httpx.Client, slow: httpx.Client, services: Services, people: People, left_over: list[str]
) -> None:
    headers = people.headers(Role.MEMBER) | {"X-Correlation-ID": "story-12345"}
    found = []
    for client in (guarded, slow):
        answer = client.post(
            f"{V1}/events", json=event(stream="run/x", metadata={"tags": {"a": "\N{SNOWMAN}"}}), headers=headers
        )
        stored = answer.json()
        assert answer.status_code == 201
        (kept,) = services.events.find([uuid.UUID(stored["event_id"])], tenant=people.tenant)
        assert (kept.position, kept.metadata.correlation_id) == (stored["position"], "story-12345")
        varying = {"event_id", "position", "version", "occurred_at", "recorded_at"}
        assert varying <= stored.keys()
        found.append({name: it for name, it in stored.items() if name not in varying})
    assert found[0] == found[1]
    assert left_over == []


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b'{"type": "run.started"}',
        b'{"type": "no.such.event", "data": {}}',
        b'{"type": "tenant.created", "data": {}}',
        b'{"type": "run.started", "data": {"run_id": 18446744073709551616, "job": "x"}}',
        b'{"type": "run.started", "data": {"run_id": NaN, "job": "x"}}',
        b'{"type": "run.started", "data": {"run_id": "r", "job": "x"}, "stream": "run/y", "expected_version": 7}',
        b'{"type": "document.received", "data": {"document_id": "d", "sha256": "0"}}',
        b"[" * 2000,
    ],
)
def test_an_event_that_is_refused_is_refused_in_the_same_words(
    guarded: httpx.Client, slow: httpx.Client, people: People, body: bytes
) -> None:
    headers = people.headers(Role.MEMBER) | {"X-Correlation-ID": "story-12345", "Content-Type": "application/json"}
    fast, plain = (client.post(f"{V1}/events", content=body, headers=headers) for client in (guarded, slow))
    assert told(fast) == told(plain)
    assert fast.status_code >= 400


def test_events_of_many_requests_at_once_are_all_stored(guarded_url: str, services: Services, people: People) -> None:
    headers = people.headers(Role.MEMBER)

    async def post_all() -> list[int]:
        async with httpx.AsyncClient(base_url=guarded_url, trust_env=False, timeout=30, headers=headers) as client:
            answers = await asyncio.gather(
                *(client.post(f"{V1}/events", json=event(stream="run/z")) for _ in range(60))
            )
        return [answer.json()["version"] for answer in answers]

    assert sorted(asyncio.run(post_all())) == list(range(1, 61))
    assert len(services.events.read_stream(StreamId("run", "z"), tenant=people.tenant)) == 60


def test_a_revoked_token_is_refused_by_the_quick_way_too(
    guarded: httpx.Client, services: Services, people: People, document: str
) -> None:
    pair, path = people.pair(Role.VIEWER), f"{V1}/documents/{document}"
    headers = bearer(pair.access_token)
    assert guarded.get(path, headers=headers).status_code == 200
    services.identity.authentication.logout(pair.principal)
    deadline = time.monotonic() + 30  # NOTIFY takes milliseconds; MAX_SECONDS would be the end of it without
    while guarded.get(path, headers=headers).status_code != 401:
        assert time.monotonic() < deadline


@given(
    data=st.dictionaries(st.text(), st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text()),
    moment=st.datetimes(timezones=st.just(UTC)),
    known=st.text(min_size=1) | st.none(),
)
@settings(deadline=None, max_examples=50)
def test_an_event_is_written_as_the_route_writes_it(data: dict[str, Any], moment: datetime, known: str | None) -> None:
    metadata = EventMetadata(correlation_id=known, tags={"a": "b"} if known else {})
    stream, name = StreamId("run", "1"), new_event_id()
    event = RecordedEvent(7, name, "t", stream, 3, "run.started", 1, data, metadata, moment, moment, "")
    assert written(event) == EventOut.of(event).model_dump_json().encode()
