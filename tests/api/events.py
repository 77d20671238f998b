"""What the tests of the event store's faces share."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from api.event_worker import work

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

    from resources.settings import Settings

EVENTS = "/api/v1/events"


def started(run_id: str = "r1", **fields: Any) -> dict[str, Any]:
    return {"type": "run.started", "data": {"run_id": run_id, "job": "tea"}, **fields}


def append(http: httpx.Client, *events: dict[str, Any]) -> list[dict[str, Any]]:
    """Store the events; as they are stored."""
    answer = http.post(EVENTS, json=list(events))
    assert answer.status_code == 201, answer.text
    return [item["event"] for item in answer.json()["results"]]


def workflow(http: httpx.Client, id: str, *, end: str | None = "completed") -> list[dict[str, Any]]:
    """The story of one execution."""
    facts: list[tuple[str, dict[str, Any]]] = [
        ("workflow.created", {"workflow_type": "tea", "input_data": {"cups": 2}}),
        ("workflow.started", {"workflow_type": "tea"}),
    ]
    if end == "completed":
        facts.append(("workflow.completed", {"duration_ms": 40, "nodes_executed": 1, "output_data": {"cups": 2}}))
    return append(
        http,
        *({"type": name, "stream": f"workflow/{id}", "data": {"workflow_id": id, **data}} for name, data in facts),
    )


@contextmanager
def working(settings: Settings) -> Iterator[None]:
    """The event worker, for the length of the block."""
    stop = threading.Event()
    outcome: list[bool] = []
    thread = threading.Thread(target=lambda: outcome.append(work(settings, stop)), name="event-worker")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)
    assert outcome == [True]


def eventually(look: Callable[[], Any], *, timeout: float = 30.0) -> Any:
    """The first answer that is true."""
    deadline = time.monotonic() + timeout
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


class Tail:
    """Reads server-sent events as the standard says: a block's data, and the last id, which blocks without data move too."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.iter_lines()
        self.last_id: str | None = None
        self.comments = 0

    def event(self) -> dict[str, Any]:
        """The next event."""
        data: list[str] = []
        for line in self._lines:
            if line.startswith(":"):
                self.comments += 1
            elif line.startswith("id: "):
                self.last_id = line[4:]
            elif line.startswith("data: "):
                data.append(line[6:])
            elif not line and data:
                found: dict[str, Any] = json.loads("\n".join(data))
                return found
        raise EOFError
