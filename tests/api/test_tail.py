"""Server-sent events: whole, in order, resumable, and out of the way when they end."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from api.app import create_app
from api.client import ApiClient
from api.tail import PAGE, Tails
from resources.errors import LimitExceededError, UnavailableError
from resources.events.memory import MemoryEventStore
from resources.events.model import NewEvent, StreamId
from tests.api.events import EVENTS, Tail, append, eventually, started
from tests.api.harness import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from api.dependencies import Services
    from resources.settings import Settings

TAIL = f"{EVENTS}/tail"


@pytest.fixture
def tails(_app: FastAPI) -> Tails:
    found: Tails = _app.state.tails
    return found


@contextmanager
def tailing(http: httpx.Client, *, last_event_id: str | None = None, **parameters: Any) -> Iterator[Tail]:
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    with http.stream("GET", TAIL, params=parameters, headers=headers, timeout=30) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Tail(answer)


def test_what_is_stored_comes_first_and_what_happens_follows(http: httpx.Client) -> None:
    stored = append(http, started("r1"), started("r2"))
    with tailing(http, after=0) as tail:
        assert [tail.event() for _ in range(2)] == stored
        (third,) = append(http, started("r3"))
        assert tail.event() == third
        assert tail.last_id == str(third["position"])


def test_it_begins_with_what_comes_unless_told_where(http: httpx.Client) -> None:
    append(http, started("past"))
    with tailing(http) as tail:
        (event,) = append(http, started("future"))
        assert tail.event() == event


def test_a_reader_that_comes_back_again_and_again_loses_and_repeats_nothing(http: httpx.Client, api_url: str) -> None:
    total, batch = 600, 20
    assert total > PAGE
    done = threading.Event()

    def write() -> None:
        with httpx.Client(base_url=api_url, trust_env=False) as writer:
            for first in range(0, total, batch):
                append(writer, *(started(f"r{number}") for number in range(first, first + batch)))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen: list[str] = []
    positions: list[int] = []
    last_id, patience = "0", 1
    while len(seen) < total:
        with tailing(http, last_event_id=last_id) as tail:
            for _ in range(min(patience, total - len(seen))):
                event = tail.event()
                seen.append(event["data"]["run_id"])
                positions.append(event["position"])
            last_id = tail.last_id or last_id
        patience = patience * 2 % 97 + 1
    writer.join()
    assert done.is_set()
    assert seen == [f"r{number}" for number in range(total)]
    assert positions == sorted(set(positions))


def test_the_last_id_wins_over_the_query(http: httpx.Client) -> None:
    first, second = append(http, started("r1"), started("r2"))
    with tailing(http, after=0, last_event_id=str(first["position"])) as tail:
        assert tail.event() == second


def test_only_chosen_events_come(http: httpx.Client) -> None:
    append(
        http,
        started("no"),
        started("yes", metadata={"tags": {"kind": "a"}}),
        {"type": "run.succeeded", "data": {"run_id": "end", "job": "tea"}},
    )
    with tailing(http, after=0, tag=["kind=a"]) as tail:
        assert tail.event()["data"]["run_id"] == "yes"
    with tailing(http, after=0, types=["run.succeeded"]) as tail:
        assert tail.event()["data"]["run_id"] == "end"
    with tailing(http, after=0, types=["run.*"]) as tail:
        assert tail.event()["data"]["run_id"] == "no"


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ({"after": "-1"}, {}),
        ({"after": "x"}, {}),
        ({"types": "no.*"}, {}),
        ({"types": "NONSENSE"}, {}),
        ({"tag": "novalue"}, {}),
        ({}, {"Last-Event-ID": "x"}),
        ({}, {"Last-Event-ID": "-1"}),
        ({}, {"Last-Event-ID": "9" * 30}),
    ],
)
def test_a_wrong_beginning_is_refused(http: httpx.Client, query: dict[str, str], headers: dict[str, str]) -> None:
    answer = http.get(TAIL, params=query, headers=headers)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"]


def test_a_reader_that_goes_away_is_forgotten(http: httpx.Client, tails: Tails) -> None:
    with tailing(http):
        assert len(tails._wakers) == 1
    eventually(lambda: not tails._wakers)
    assert tails._open == 0


def test_tails_end_when_the_server_does(services: Services, api_settings: Settings) -> None:
    """`serving` fails when the server needs longer than its grace."""
    app = create_app(services, api_settings)
    ended = threading.Event()
    reading = threading.Event()

    def read(url: str) -> None:
        with httpx.stream("GET", f"{url}{TAIL}", timeout=30, trust_env=False) as answer:
            for _ in answer.iter_lines():
                reading.set()
        ended.set()

    with serving(app) as url:
        reader = threading.Thread(target=read, args=(url,))
        reader.start()
        assert reading.wait(20)
    assert ended.wait(60)
    reader.join()


class Breaking(httpx.HTTPTransport):
    """Breaks each answer off after so many bytes, in the middle of whatever is being said."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after
        self.broken = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        if "tail" in request.url.path:
            assert isinstance(answer.stream, httpx.SyncByteStream)
            answer.stream = self._cut(answer.stream)
        return answer

    def _cut(self, stream: httpx.SyncByteStream) -> httpx.SyncByteStream:
        outer = self

        class Cut(httpx.SyncByteStream):
            def __iter__(self) -> Iterator[bytes]:
                left = outer.after
                for chunk in stream:
                    yield chunk[:left]
                    left -= len(chunk)
                    if left <= 0:
                        outer.broken += 1
                        raise httpx.ReadError("broken off")

            def close(self) -> None:
                stream.close()

        return Cut()


def test_the_client_goes_on_by_itself_after_the_connection_broke(http: httpx.Client, api_url: str) -> None:
    append(http, *(started(f"r{number}") for number in range(20)))
    transport = Breaking(after=1500)
    with ApiClient(api_url, transport=transport) as client:
        events = client.tail(after=0)
        seen = [next(events).data["run_id"] for _ in range(20)]
        events.close()
    assert transport.broken > 3
    assert seen == [f"r{number}" for number in range(20)]


def test_the_client_tells_why_it_was_refused(api_url: str) -> None:
    with ApiClient(api_url) as client, pytest.raises(Exception, match="fits no type"):
        next(client.tail(types=["nothing.*"]))


# What no live server does soon enough: the store in memory.


def fact(number: int) -> NewEvent:
    return NewEvent(type="run.started", data={"run_id": f"r{number}", "job": "tea"})


async def test_a_heartbeat_moves_the_last_id_past_what_was_not_wanted() -> None:
    store = MemoryEventStore()
    store.append(StreamId("run", "a"), [fact(number) for number in range(3)])
    tail = Tails().follow(store, after=0, tenant="default", types={"run.failed"}, poll=0.01, heartbeat=0.0)
    async with asyncio.timeout(20):
        assert await anext(tail) == b"retry: 1000\nid: 0\n\n"
        assert await anext(tail) == b": still here\nid: 3\n\n"
    await tail.aclose()  # type: ignore[attr-defined]  # it is a generator


async def test_a_slow_reader_costs_one_page() -> None:
    reads: list[int] = []

    class Counting(MemoryEventStore):
        def read_all(self, **choice: Any) -> Any:
            reads.append(choice["limit"])
            return super().read_all(**choice)

    store = Counting()
    store.append(StreamId("run", "a"), [fact(number) for number in range(3 * PAGE)])
    tail = Tails().follow(store, after=0, tenant="default")
    async with asyncio.timeout(20):
        for _ in range(10):
            await anext(tail)
    assert reads == [PAGE]
    await tail.aclose()  # type: ignore[attr-defined]  # it is a generator


async def test_there_are_only_so_many() -> None:
    tails = Tails(limit=1)
    tails.check()
    tail = tails.follow(MemoryEventStore(), after=0, tenant="default")
    await anext(tail)
    with pytest.raises(LimitExceededError):
        tails.check()
    await tail.aclose()  # type: ignore[attr-defined]  # it is a generator
    tails.check()


async def test_a_database_that_goes_away_ends_the_tail_and_leaves_the_reader_its_place() -> None:
    class Broken(MemoryEventStore):
        def head(self, *, tenant: str | None = "default") -> int:
            raise UnavailableError(f"gone with {tenant}", dependency="database")

    frames = [frame async for frame in Tails().follow(Broken(), after=7, tenant="default")]
    assert frames == [b"retry: 1000\nid: 7\n\n"]
