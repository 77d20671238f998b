"""The event benchmark's measurements, the same for us and for the peers: a side tells how to append, read and subscribe.

Standard library only: it also runs in the peers' environments.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAYLOAD = {
    "sha256": "3f2a9c1d04b7e6853f2a9c1d04b7e6853f2a9c1d04b7e6853f2a9c1d04b7e685",
    "uri": "https://docs.example.org/guides/getting-started/index.html",
    "name": "index.html",
    "media_type": "text/html",
    "title": "Getting started",
    "subject": "first steps",
    "requires": ["python", "packaging"],
    "tags": ["guide", "beginner"],
}


class Side(Protocol):
    """One of those that are compared."""

    def make(self, stream: str, first_version: int, count: int) -> Any:
        """Event objects for `stream`, not timed."""

    def encode(self, stream: str, events: Any) -> Any:
        """The objects in the form that is stored: timed, unless a measurement says otherwise."""

    def append(self, stream: str, events: Any) -> None:
        """Encode and store the objects, durably, and return when they are stored."""

    def bulk(self, batches: list[tuple[str, Any]], *, encoded: bool) -> None:
        """Store all as fast as it can be done, each batch atomically, and return when all are durable."""

    def read_all(self, page: int, *, decoded: bool) -> int:
        """Read every event of the store; returns how many there were."""

    def live(self) -> tuple[Iterator[Any], Callable[[], None]]:
        """New events from now on, and how to end it."""


def payload(number: int) -> dict[str, Any]:
    return {"document_id": f"index-html-{number:010x}", "size_bytes": number, **PAYLOAD}


def serve(side: Side) -> None:
    """Answer requests until the input ends."""
    work: dict[str, Callable[..., dict[str, float]]] = {
        "append": append,
        "bulk": bulk,
        "read": read,
        "live": live,
        "fill": fill,
    }
    for line in sys.stdin:
        request = json.loads(line)
        do = request.pop("do")
        answer = work[do](side, **request) if do in work else getattr(side, do)(**request)
        print(json.dumps(answer), flush=True)


def append(side: Side, *, writers: int, batch: int, count: int) -> dict[str, float]:
    """`count` appends of `batch` events by each of `writers` threads."""
    run = uuid.uuid4().hex
    made = [
        [side.make(f"{run}-{writer}-{n // 20}", n % 20 * batch, batch) for n in range(count)]
        for writer in range(writers)
    ]
    side.append(f"{run}-warm", side.make(f"{run}-warm", 0, batch))
    gc.freeze()  # what was made beforehand is not to be looked at again and again by the collector
    barrier = threading.Barrier(writers)

    def write(writer: int) -> list[float]:
        times = []
        barrier.wait()
        for number, events in enumerate(made[writer]):
            started = time.perf_counter()
            side.append(f"{run}-{writer}-{number // 20}", events)
            times.append(time.perf_counter() - started)
        return times

    cpu, started = time.process_time(), time.perf_counter()
    with ThreadPoolExecutor(writers) as pool:
        times = sorted(found for part in pool.map(write, range(writers)) for found in part)
    seconds, total = time.perf_counter() - started, writers * count * batch
    return {
        "p50_ms": times[len(times) // 2] * 1000,
        "p99_ms": times[int(len(times) * 0.99)] * 1000,
        "events_s": total / seconds,
        "cpu_us": (time.process_time() - cpu) / total * 1e6,
    }


def bulk(side: Side, *, batch: int, total: int, encoded: bool = False) -> dict[str, float]:
    """`total` events in atomic batches, as fast as it goes; `encoded`: the time for encoding is left out."""
    run = uuid.uuid4().hex
    batches = [(f"{run}-{n}", side.make(f"{run}-{n}", 0, batch)) for n in range(total // batch)]
    side.append(f"{run}-warm", side.make(f"{run}-warm", 0, batch))
    if encoded:
        batches = [(stream, side.encode(stream, events)) for stream, events in batches]
    gc.freeze()
    cpu, started = time.process_time(), time.perf_counter()
    side.bulk(batches, encoded=encoded)
    seconds = time.perf_counter() - started
    return {"events_s": total / seconds, "cpu_us": (time.process_time() - cpu) / total * 1e6}


def fill(side: Side, *, total: int) -> dict[str, float]:
    """Grow the table, in steps that fit into memory."""
    seconds = 0.0
    for _ in range(0, total, 50_000):
        part = min(50_000, total)
        seconds += part / bulk(side, batch=1000, total=part)["events_s"]
    return {"events_s": total / seconds}


def read(side: Side, *, page: int, decoded: bool) -> dict[str, float]:
    """Every event, in pages."""
    cpu, started = time.process_time(), time.perf_counter()
    count = side.read_all(page, decoded=decoded)
    seconds = time.perf_counter() - started
    return {"events_s": count / seconds, "cpu_us": (time.process_time() - cpu) / count * 1e6}


def live(side: Side, *, count: int, pause_ms: float) -> dict[str, float]:
    """From just before an append until a subscriber in another thread has the event."""
    run = uuid.uuid4().hex
    made = [side.make(f"{run}-{n}", 0, 1) for n in range(count + 1)]
    events, end = side.live()
    sent: list[float] = []
    got: list[float] = []
    warm = threading.Event()

    def receive() -> None:
        for place, _ in enumerate(events):
            got.append(time.perf_counter())
            warm.set()
            if place == count:
                return

    receiver = threading.Thread(target=receive)
    receiver.start()
    time.sleep(0.5)
    for number, each in enumerate(made):
        sent.append(time.perf_counter())
        side.append(f"{run}-{number}", each)
        if number == 0:
            warm.wait(10)
        time.sleep(pause_ms / 1000)
    receiver.join(30)
    end()
    times = sorted(b - a for a, b in zip(sent[1:], got[1:], strict=True))
    return {"p50_ms": times[len(times) // 2] * 1000, "p99_ms": times[int(len(times) * 0.99)] * 1000}
