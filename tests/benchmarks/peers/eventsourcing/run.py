"""The PyPI package `eventsourcing` on the workload of the event benchmark: its mapper, its JSON transcoder, and its PostgreSQL
application recorder, which keeps the order of notifications by locking the table.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, UUID, uuid5

sys.path.insert(0, str(Path(__file__).parents[4]))

from eventsourcing.domain import DomainEvent
from eventsourcing.persistence import DatetimeAsISO, JSONTranscoder, Mapper, StoredEvent, UUIDAsHex
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from tests.benchmarks import workload


class Received(DomainEvent):  # type: ignore[misc]  # the package lives in an environment of its own
    data: dict[str, Any]


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
        transcoder = JSONTranscoder()
        transcoder.register(UUIDAsHex())
        transcoder.register(DatetimeAsISO())
        self.mapper: Mapper[UUID] = Mapper(transcoder)
        self._number = 0

    def make(self, stream: str, first_version: int, count: int) -> list[Received]:
        originator = uuid5(NAMESPACE_URL, stream)
        self._number += count
        return [
            Received(
                originator_id=originator,
                originator_version=first_version + place + 1,
                timestamp=datetime.now(UTC),
                data=workload.payload(self._number + place),
            )
            for place in range(count)
        ]

    def encode(self, stream: str, events: list[Received]) -> list[StoredEvent]:
        del stream
        return [self.mapper.to_stored_event(event) for event in events]

    def append(self, stream: str, events: list[Received]) -> None:
        self.recorder.insert_events(self.encode(stream, events))

    def bulk(self, batches: list[tuple[str, Any]], *, encoded: bool) -> None:
        # Two threads were never slower than one: while one waits for the table's lock, the other encodes.
        def store(batch: tuple[str, Any]) -> None:
            self.recorder.insert_events(batch[1] if encoded else self.encode(*batch))

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(store, batches))

    def read_all(self, page: int, *, decoded: bool) -> int:
        position, count = 0, 0
        while found := self.recorder.select_notifications(position, page, inclusive_of_start=False):
            if decoded:
                for notification in found:
                    self.mapper.to_domain_event(notification)
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
