"""The PyPI package `eventsourcing`, with its PostgreSQL application recorder, on the workload of the event benchmark."""

from __future__ import annotations

import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

sys.path.insert(0, str(Path(__file__).parents[4]))

from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from tests.benchmarks import workload


class EventSourcing:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        datastore = PostgresDatastore(
            dbname=parts.path[1:],
            host=parts.hostname or "",
            port=parts.port or 0,
            user=parts.username or "",
            password=parts.password or "",
            pool_size=10,
            max_overflow=10,
        )
        self.recorder = PostgresApplicationRecorder(datastore, events_table_name="stored_events")
        self.recorder.create_table()
        self._number = 0

    def make(self, stream: str, first_version: int, count: int) -> list[StoredEvent]:
        originator = uuid5(NAMESPACE_URL, stream)
        self._number += count
        return [
            StoredEvent(
                originator_id=originator,
                originator_version=first_version + place + 1,
                topic="documents:Document.Received",
                state=json.dumps(workload.payload(self._number + place), separators=(",", ":")).encode(),
            )
            for place in range(count)
        ]

    def append(self, stream: str, events: list[StoredEvent]) -> None:
        del stream
        self.recorder.insert_events(events)

    def bulk(self, batches: list[tuple[str, list[StoredEvent]]]) -> None:
        # Two threads were never slower than one: while one waits for the table's lock, the other encodes.
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda batch: self.recorder.insert_events(batch[1]), batches))

    def read_all(self, page: int, *, decoded: bool) -> int:
        position, count = 0, 0
        while found := self.recorder.select_notifications(position, page, inclusive_of_start=False):
            if decoded:
                for notification in found:
                    json.loads(notification.state)
            position, count = found[-1].id, count + len(found)
        return count

    def live(self) -> tuple[Any, Any]:
        subscription = self.recorder.subscribe(gt=self.recorder.max_notification_id())
        subscription.__enter__()
        done = threading.Event()

        def end() -> None:
            done.set()
            subscription.stop()
            subscription.__exit__(None, None, None)

        return iter(subscription), end


if __name__ == "__main__":
    workload.serve(EventSourcing(sys.argv[1]))
