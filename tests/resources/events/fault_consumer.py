"""A process that is there to be killed: a consumer whose effect is a line in a file."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from resources.database.postgres import Database
from resources.events.postgres import PostgresEventStore
from resources.events.subscriptions.consumer import Consumer
from resources.events.subscriptions.postgres import PostgresSubscriptions

if TYPE_CHECKING:
    from resources.events.model import RecordedEvent


def main(url: str, name: str, file: str, die_after: str) -> None:
    count = 0

    def deliver(event: RecordedEvent) -> None:
        nonlocal count
        with Path(file).open("a") as effects:
            effects.write(f"{event.stream.id} {event.version}\n")
        count += 1
        if count == int(die_after):
            os.kill(os.getpid(), signal.SIGKILL)

    database = Database(url)
    store, subscriptions = PostgresEventStore(database), PostgresSubscriptions(database)
    Consumer(name, events=store, subscriptions=subscriptions, deliver=deliver).run_once()


if __name__ == "__main__":
    main(*sys.argv[1:])
