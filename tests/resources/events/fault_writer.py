"""A process that is there to be killed: appends groups of five events and prints what was acknowledged."""

from __future__ import annotations

import sys

from resources.database.postgres import Database
from resources.events.model import StreamId
from resources.events.postgres import PostgresBatches
from resources.events.writer import EventWriter
from tests.contracts.event_store import received


def main(url: str, tenant: str) -> None:
    with EventWriter(PostgresBatches(Database(url)), max_events=50) as writer:
        for number in range(1_000_000):
            events = [received(number * 5 + place) for place in range(5)]
            future = writer.submit(StreamId("document", str(number % 7)), events, tenant=tenant)
            future.add_done_callback(
                lambda done: sys.stdout.write(f"{done.result()[0].position} {done.result()[0].version}\n")
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
