"""Requests that come again."""

from __future__ import annotations

import hashlib
import tracemalloc
from typing import TYPE_CHECKING
from unittest.mock import MagicMock

import pytest

from api.app import create_app
from api.bodies import held
from api.middleware.repeats import KEYED
from resources.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx
    from starlette.types import Message

EVENT = {"type": "run.started", "data": {"run_id": "a", "job": "b"}, "stream": "run/a"}
WITHOUT_A_KEY = {
    "/ask": "an answer is given anew; nothing is made but the record of a question",
    "/hooks/{name}": "its senders have no headers of ours",
    "/keys": "it answers with a secret, and answers are kept",
    "/plugins": "the same module is stored once",
    "/subscriptions/{name}/dead-letters/{letter_id}/retry": "the letter is gone when it is done",
}


def keyed(key: str) -> dict[str, str]:
    return {"Idempotency-Key": key}


def test_a_post_with_the_same_key_is_done_once(http: httpx.Client) -> None:
    first = http.post("/api/v1/events", json=EVENT, headers=keyed("k"))
    again = http.post("/api/v1/events", json=EVENT, headers=keyed("k"))
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert len(http.get("/api/v1/streams/run/a").json()["events"]) == 1


def test_a_key_is_for_one_request(http: httpx.Client) -> None:
    http.post("/api/v1/events", json=EVENT, headers=keyed("k"))
    other = http.post("/api/v1/events", json={**EVENT, "stream": "run/b"}, headers=keyed("k"))
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


def test_a_refusal_is_kept_too(http: httpx.Client) -> None:
    wrong = {"type": "no.such", "data": {}}
    first, again = (http.post("/api/v1/events", json=wrong, headers=keyed("k")) for _ in range(2))
    assert first.status_code == again.status_code >= 400
    assert again.headers["idempotency-replayed"] == "true"


def test_documents_take_a_key(http: httpx.Client) -> None:
    path, content = "/api/v1/documents?name=a.md", b"# A\n\nText."
    first, again = (http.post(path, content=content, headers=keyed("k")) for _ in range(2))
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == first.json()


@pytest.mark.parametrize("key", ["", "a b", "x" * 201])
def test_a_key_must_be_one(http: httpx.Client, key: str) -> None:
    answer = http.post("/api/v1/events", json=EVENT, headers=keyed(key))
    assert answer.status_code == 422


def test_a_body_that_is_too_large_is_still_told(http: httpx.Client) -> None:
    parts = (b"x" * 2**20 for _ in range(5))
    answer = http.post("/api/v1/events", content=parts, headers=keyed("k"))
    assert answer.json()["code"] == "CONTENT_TOO_LARGE"


def test_what_has_not_changed_is_not_sent_again(http: httpx.Client) -> None:
    first = http.get("/api/v1/events")
    etag = first.headers["etag"]
    same = http.get("/api/v1/events", headers={"If-None-Match": f'"x", {etag}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    http.post("/api/v1/events", json=EVENT)
    changed = http.get("/api/v1/events", headers={"If-None-Match": etag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


def test_whatever_is_made_can_be_made_once() -> None:
    app = create_app(MagicMock(rate_buckets=None, lookups=None), Settings(_env_file=None))
    without = set()
    for path, operations in app.openapi()["paths"].items():
        post = operations.get("post", {})
        own = any(each["name"] == "Idempotency-Key" for each in post.get("parameters", ()))
        makes = {"201", "202"} & set(post.get("responses", ()))
        if makes and not own and path.startswith("/api/v1/") and not KEYED.fullmatch(path):
            without.add(path.removeprefix("/api/v1"))
    assert without == set(WITHOUT_A_KEY)


async def test_a_large_body_waits_on_disk_and_comes_as_it_was() -> None:
    parts = [bytes([number % 251]) * 65_536 for number in range(40)]
    messages: Iterator[Message] = iter(
        [
            *({"type": "http.request", "body": part, "more_body": True} for part in parts),
            {"type": "http.request", "body": b"", "more_body": False},
            {"type": "http.disconnect"},
        ]
    )

    async def receive() -> Message:
        return next(messages)

    digest = hashlib.sha256()
    read: list[bytes] = []
    tracemalloc.start()
    async with held(receive, digest.update) as again:
        held_in_memory = tracemalloc.get_traced_memory()[0]
        while (message := await again())["type"] == "http.request":
            read.append(message["body"])
            assert len(message["body"]) <= 256 * 1024
            assert message["more_body"] == (sum(map(len, read)) < sum(map(len, parts)))
    tracemalloc.stop()
    assert b"".join(read) == b"".join(parts)
    assert digest.digest() == hashlib.sha256(b"".join(parts)).digest()
    assert held_in_memory < 512 * 1024


def test_a_large_document_takes_a_key(http: httpx.Client) -> None:
    path, content = "/api/v1/documents?name=large.txt", b"One sentence of many. " * 150_000
    first, again = (http.post(path, content=content, headers=keyed("k")) for _ in range(2))
    assert (first.status_code, again.headers["idempotency-replayed"]) == (202, "true")
    assert first.json()["document"]["sha256"] == hashlib.sha256(content).hexdigest()
    other = http.post(path, content=content + b"!", headers=keyed("k"))
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
