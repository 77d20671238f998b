from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest

from resources.content.model import sha256_of

if TYPE_CHECKING:
    import httpx

    from api.dependencies import Services

EVENTS = "/api/v1/events"


def started(run_id: str = "r1", **fields: Any) -> dict[str, Any]:
    return {"type": "run.started", "data": {"run_id": run_id, "job": "documents"}, **fields}


def test_an_event_is_stored_and_can_be_read(http: httpx.Client) -> None:
    answer = http.post(EVENTS, json=started(stream="run/r1", metadata={"source": "test", "tags": {"a": "b"}}))
    assert answer.status_code == 201
    [read] = http.get(EVENTS).json()["events"]
    assert read == answer.json()
    assert read["stream"] == "run/r1"
    assert read["version"] == 1
    assert read["data"]["job"] == "documents"
    assert read["metadata"]["source"] == "test"


def test_the_correlation_id_of_the_request_is_that_of_the_event(http: httpx.Client) -> None:
    answer = http.post(EVENTS, json=started(), headers={"X-Request-ID": "from-the-caller"})
    assert answer.json()["metadata"]["correlation_id"] == "from-the-caller"
    assert answer.headers["x-correlation-id"] == "from-the-caller"


def test_an_event_without_a_stream_gets_one_of_its_own(http: httpx.Client) -> None:
    first, second = (http.post(EVENTS, json=started()).json() for _ in range(2))
    assert first["stream"] == f"run/{first['event_id']}"
    assert first["stream"] != second["stream"]
    assert second["version"] == 1


def test_the_same_event_id_twice_is_stored_once(http: httpx.Client) -> None:
    event = started(event_id=str(uuid.uuid4()))
    first, second = (http.post(EVENTS, json=event) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert len(http.get(EVENTS).json()["events"]) == 1


def test_the_same_event_id_for_another_fact_is_a_conflict(http: httpx.Client) -> None:
    event_id = str(uuid.uuid4())
    http.post(EVENTS, json=started("r1", event_id=event_id))
    answer = http.post(EVENTS, json=started("r2", event_id=event_id))
    assert answer.status_code == 409
    assert answer.json()["code"] == "event_id_reused"


def test_a_stale_version_is_a_conflict_that_names_both(http: httpx.Client) -> None:
    http.post(EVENTS, json=started(stream="run/r1", expected_version=0))
    answer = http.post(EVENTS, json=started(stream="run/r1", expected_version=0))
    assert answer.status_code == 409
    assert answer.json()["code"] == "concurrency_conflict"
    assert answer.json()["actual"] == 1


@pytest.mark.parametrize(
    ("event", "path"),
    [
        ({"data": {}}, "body.type"),
        ({"type": "run.started"}, "body.data"),
        ({"type": "run.started", "data": [1]}, "body.data"),
        (started(stream="nonsense"), "body.stream"),
        (started(event_id="nonsense"), "body.event_id"),
        (started(occurred_at="2026-01-01T00:00:00"), "body.occurred_at"),
        (started(surprise=1), "body.surprise"),
        ({"type": "no.such.type", "data": {}}, "body.type"),
        ({"type": "run.started", "data": {"run_id": 1, "job": "x"}}, "body.data.run_id"),
    ],
)
def test_what_is_wrong_with_an_event_is_named_by_its_path(http: httpx.Client, event: dict[str, Any], path: str) -> None:
    answer = http.post(EVENTS, json=event)
    assert answer.status_code == 422
    assert path in {problem["path"] for problem in answer.json()["errors"]}
    assert http.get(EVENTS).json()["events"] == []


@pytest.mark.parametrize("body", ["text", 7, None, True])
def test_a_body_that_is_neither_event_nor_batch_is_refused(http: httpx.Client, body: Any) -> None:
    assert http.post(EVENTS, json=body).status_code == 422


def test_a_batch_is_stored_in_order(http: httpx.Client) -> None:
    answer = http.post(EVENTS, json=[started(f"r{number}", stream="run/all") for number in range(5)])
    assert answer.status_code == 201
    assert answer.json()["accepted"] == 5
    assert [result["event"]["version"] for result in answer.json()["results"]] == [1, 2, 3, 4, 5]


def test_a_batch_has_a_result_for_each_event(http: httpx.Client) -> None:
    batch = [
        started("r1"),
        {"type": "run.started"},
        "nonsense",
        {"type": "no.such.type", "data": {}},
        started("r2"),
    ]
    answer = http.post(EVENTS, json=batch)
    assert answer.status_code == 207
    result = answer.json()
    assert [item["status"] for item in result["results"]] == [201, 422, 422, 422, 201]
    assert (result["accepted"], result["refused"]) == (2, 3)
    assert result["results"][1]["problem"]["errors"][0]["path"] == "body[1].data"
    assert result["results"][3]["problem"]["errors"][0]["path"] == "body[3].type"
    assert [event["data"]["run_id"] for event in http.get(EVENTS).json()["events"]] == ["r1", "r2"]


@pytest.mark.parametrize("size", [0, 1001])
def test_a_batch_has_a_size_that_makes_sense(http: httpx.Client, size: int) -> None:
    answer = http.post(EVENTS, json=[started()] * size)
    assert answer.status_code == 422
    assert answer.json()["code"] == "validation_failed"


def test_a_reader_that_keeps_the_cursor_sees_each_event_once(http: httpx.Client) -> None:
    sent = [http.post(EVENTS, json=started(f"r{number}")).json()["position"] for number in range(5)]
    seen: list[int] = []
    after = 0
    while True:
        page = http.get(EVENTS, params={"after": after, "limit": 2}).json()
        if not page["events"]:
            break
        seen += [event["position"] for event in page["events"]]
        after = page["next_after"]
    assert seen == sent
    assert page["head"] == sent[-1]


def test_events_can_be_chosen_by_type(http: httpx.Client) -> None:
    http.post(EVENTS, json=started())
    http.post(EVENTS, json={"type": "run.succeeded", "data": {"run_id": "r1", "job": "documents"}})
    http.post(EVENTS, json={"type": "run.failed", "data": {"run_id": "r1", "job": "documents"}})
    page = http.get(EVENTS, params={"types": ["run.failed", "run.started"]}).json()
    assert [event["type"] for event in page["events"]] == ["run.started", "run.failed"]


@pytest.mark.parametrize("query", ["after=-1", "limit=0", "limit=1001", "after=x"])
def test_a_cursor_that_makes_no_sense_is_refused(http: httpx.Client, query: str) -> None:
    assert http.get(f"{EVENTS}?{query}").status_code == 422


def received(document_id: str, sha256: str) -> dict[str, Any]:
    return {
        "type": "document.received",
        "data": {
            "document_id": document_id,
            "sha256": sha256,
            "uri": "upload:a.md",
            "name": "a.md",
            "media_type": "text/markdown",
            "size_bytes": 7,
        },
    }


def test_a_received_document_must_have_been_handed_in(http: httpx.Client) -> None:
    answer = http.post(EVENTS, json=received("a-md-0123456789", sha256_of(b"# A\n\nB.")))
    assert answer.status_code == 422
    assert answer.json()["code"] == "content_unknown"
    assert "upload it first" in answer.json()["errors"][0]["hint"]
    assert http.get(EVENTS).json()["events"] == []


def test_a_document_that_was_handed_in_can_be_announced_again(http: httpx.Client, services: Services) -> None:
    del services
    document = http.post("/api/v1/documents?name=a.md", content=b"# A\n\nSome text about it.").json()["document"]
    assert http.post(EVENTS, json=received(document["id"], document["sha256"])).status_code == 201
