"""Topics over HTTP, and as server-sent events."""

from __future__ import annotations

import json
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import InvalidStatus

from api.app import create_app
from resources.settings import RealtimeSettings
from tests.api.events import append, started
from tests.api.realtime.harness import Client

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from api.dependencies import Services
    from resources.settings import Settings

V1 = "/api/v1"


def publish(http: httpx.Client, content: Any, topic: str = "news", **fields: Any) -> dict[str, Any]:
    answer = http.post(f"{V1}/topics/{topic}/messages", json={"content": content, **fields})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def contents(answer: httpx.Response) -> list[Any]:
    assert answer.status_code == 200, answer.text
    return [message["content"] for message in answer.json()["messages"]]


class Stream:
    """Reads server-sent events: blocks of an id and data."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.iter_lines()
        self.last_id: str | None = None

    def subscribed(self) -> Stream:
        assert any(line == ": subscribed" for line in self._lines)
        return self

    def next(self) -> Any:
        for line in self._lines:
            if line.startswith("id: "):
                self.last_id = line[4:]
            elif line.startswith("data: "):
                frame = json.loads(line[6:])
                if "content" in frame["data"]:
                    return frame["data"]["content"]
        raise EOFError


@contextmanager
def streaming(
    http: httpx.Client, topic: str, *, last_event_id: str | None = None, **parameters: Any
) -> Iterator[Stream]:
    headers = {} if last_event_id is None else {"Last-Event-ID": last_event_id}
    with http.stream("GET", f"{V1}/topics/{topic}/stream", params=parameters, headers=headers, timeout=30) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Stream(answer)


def test_what_is_published_is_read(http: httpx.Client) -> None:
    first = publish(http, {"n": 1}, headers={"Authorization": "secret", "x": "y"}, priority=2)
    assert (first["position"], first["sender"], first["headers"]) == (1, "local", {"x": "y"})
    publish(http, {"n": 2})
    publish(http, {"n": 3}, topic="other")
    assert contents(http.get(f"{V1}/topics/news/messages")) == [{"n": 1}, {"n": 2}]
    assert contents(http.get(f"{V1}/topics/news/messages", params={"before": 2})) == [{"n": 1}]
    assert contents(http.get(f"{V1}/topics/news/messages", params={"limit": 1})) == [{"n": 2}]
    assert contents(http.get(f"{V1}/topics/**/messages", params={"after": 1})) == [{"n": 2}, {"n": 3}]
    assert contents(http.get(f"{V1}/topics/news/messages", params={"before_timestamp": first["created_at"]})) == []


def test_an_id_is_published_once(http: httpx.Client) -> None:
    message_id = str(uuid.uuid4())
    assert publish(http, 1, message_id=message_id)["position"] == publish(http, 1, message_id=message_id)["position"]
    assert contents(http.get(f"{V1}/topics/news/messages")) == [1]


def test_words_are_searched(http: httpx.Client) -> None:
    publish(http, {"text": "the kettle boils"})
    publish(http, {"text": "the kettle is cold"})
    found = contents(http.get(f"{V1}/messages/search", params={"q": "kettle -cold"}))
    assert found == [{"text": "the kettle boils"}]


@pytest.mark.parametrize(
    ("topic", "body", "status"),
    [
        ("no topic", {"content": 1}, 400),
        ("a*", {"content": 1}, 400),
        ("runs.1", {"content": 1}, 403),
        ("dm_a_b", {"content": 1}, 403),
        ("broadcast", {"content": 1}, 403),
        ("a", {}, 422),
        ("a", {"content": "\x00"}, 422),
        ("a", {"content": 1, "ttl": 0}, 422),
        ("a", {"content": "x" * 1_100_000}, 413),
        ("a", {"content": 200, "type": "progress"}, 400),
    ],
)
def test_a_wrong_message_is_refused(http: httpx.Client, topic: str, body: dict[str, Any], status: int) -> None:
    answer = http.post(f"{V1}/topics/{topic}/messages", json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_stream_goes_on_where_it_was(http: httpx.Client) -> None:
    with streaming(http, "news") as stream:
        stream.subscribed()
        publish(http, 1)
        assert stream.next() == 1
        last = stream.last_id
    publish(http, 2)
    publish(http, 3)
    with streaming(http, "news", last_event_id=last) as stream:
        assert [stream.next(), stream.next()] == [2, 3]
        publish(http, 4)
        assert stream.next() == 4
    with streaming(http, "news", last=True) as stream:
        assert stream.next() == 4


def test_a_stream_of_facts_has_the_events_positions(http: httpx.Client) -> None:
    first, second = append(http, started("r1"), started("r2"))
    with streaming(http, "runs.**", last_event_id=f"e{first['position']}") as stream:
        assert stream.next()["data"]["run_id"] == "r2"
        assert stream.last_id == f"e{second['position']}"


@pytest.mark.parametrize(
    ("topic", "headers"),
    [
        ("**", {}),
        ("no topic", {}),
        ("news", {"Last-Event-ID": "e5"}),
        ("news", {"Last-Event-ID": "x"}),
        ("runs.*", {"Last-Event-ID": "m5"}),
    ],
)
def test_a_stream_that_cannot_begin_is_refused(http: httpx.Client, topic: str, headers: dict[str, str]) -> None:
    answer = http.get(f"{V1}/topics/{topic}/stream", headers=headers)
    assert answer.status_code in {400, 422}
    assert answer.json()["errors"]


def test_rules_are_stored_listed_and_removed(http: httpx.Client) -> None:
    rule = {"name": "x", "when": {"topic": "sensors[.].*"}, "then": {"transform": {"topic": "alarms"}}}
    assert http.put(f"{V1}/realtime/rules/to-alarms", json=rule).status_code == 200
    assert [one["name"] for one in http.get(f"{V1}/realtime/rules").json()] == ["to-alarms"]
    publish(http, 1, topic="sensors.door")
    assert contents(http.get(f"{V1}/topics/alarms/messages")) == [1]
    assert http.delete(f"{V1}/realtime/rules/to-alarms").status_code == 204
    assert http.delete(f"{V1}/realtime/rules/to-alarms").status_code == 404
    wild = {**rule, "when": {"topic": "(?=a)b"}}
    assert http.put(f"{V1}/realtime/rules/wild", json=wild).status_code == 422


def test_the_socket_is_there_with_conversations_and_presence(http: httpx.Client, api_url: str) -> None:
    with Client(api_url.replace("http", "ws", 1) + "/ws") as client:
        assert client.next()["type"] == "Status"
        assert http.get(f"{V1}/presence").json()[0]["user"] == "local"
        client.say("DirectMessage", to="bert", content="hi")
        stored = client.until("Ack")["stored_id"]
        assert [one["members"] for one in http.get(f"{V1}/conversations").json()] == [["bert", "local"]]
        assert [one["status"] for one in http.get(f"{V1}/messages/{stored}/deliveries").json()] == ["sent"]
        assert contents(http.get(f"{V1}/topics/dm_bert_local/messages")) == ["hi"]


def test_a_page_of_another_site_may_not_open_a_socket(api_url: str) -> None:
    with pytest.raises(InvalidStatus):
        Client(api_url.replace("http", "ws", 1) + "/ws", origin="https://elsewhere.example")


def test_a_wrong_token_does_not_count_as_none(api_url: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        Client(api_url.replace("http", "ws", 1) + "/ws?token=forged")
    assert refused.value.response.status_code == 401


def test_the_settings_bound_sockets(services: Services, api_settings: Settings) -> None:
    settings = api_settings.model_copy(update={"realtime": RealtimeSettings(capacity=7, sessions_per_user=2)})
    limits = create_app(services, settings).state.hub.limits
    assert (limits.capacity, limits.sessions_per_user) == (7, 2)
