"""Reading on: from a position through what is stored into what is being appended, without a gap and without an end.

Notices of the store only cut the waiting short; every `poll` seconds the reader looks by itself, so a lost notice costs time
and never an event.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from resources.events.model import DEFAULT_TENANT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator, Mapping

    from resources.events.model import RecordedEvent
    from resources.events.store import EventStore

_PAGE = 500


def follow(
    store: EventStore,
    *,
    after_position: int = 0,
    types: Collection[str] | None = None,
    tenant: str | None = DEFAULT_TENANT,
    poll: float = 1.0,
    stop: threading.Event | None = None,
) -> Iterator[RecordedEvent]:
    """Events in order of position, for ever; ends when `stop` is set (looked at once a `poll` at the latest)."""
    stop = stop or threading.Event()
    appended = threading.Event()
    cancel = store.watch(appended.set)
    try:
        while not stop.is_set():
            appended.clear()
            page = store.read_all(after_position=after_position, types=types, limit=_PAGE, tenant=tenant)
            for event in page:
                yield event
                after_position = event.position
                if stop.is_set():
                    return
            if not page:
                appended.wait(poll)
    finally:
        cancel()


async def afollow(
    store: EventStore,
    *,
    after_position: int = 0,
    types: Collection[str] | None = None,
    stream_type: str | None = None,
    tags: Mapping[str, str] | None = None,
    tenant: str | None = DEFAULT_TENANT,
    poll: float = 1.0,
) -> AsyncIterator[RecordedEvent]:
    """Events in order of position, for ever. Reading happens in a thread; waiting holds none. Cancel the task to end it."""
    loop = asyncio.get_running_loop()
    appended = asyncio.Event()

    def notice() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(appended.set)

    cancel = await asyncio.to_thread(store.watch, notice)
    try:
        while True:
            appended.clear()
            page = await asyncio.to_thread(
                store.read_all,
                after_position=after_position,
                types=types,
                stream_type=stream_type,
                tags=tags,
                limit=_PAGE,
                tenant=tenant,
            )
            for event in page:
                yield event
                after_position = event.position
            if not page:
                try:
                    async with asyncio.timeout(poll):
                        await appended.wait()
                except TimeoutError:
                    pass
    finally:
        cancel()
