from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from resources.events.live import afollow, follow
from resources.events.memory import MemoryEventStore
from resources.events.postgres import PostgresEventStore
from tests.contracts.event_store import A, received, rejected

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.database.postgres import Database


class _Deaf(MemoryEventStore):
    """A store whose notices get lost."""

    def watch(self, notice: Callable[[], None]) -> Callable[[], None]:
        del notice
        return lambda: None


async def test_stored_and_new_events_come_in_one_sequence(database: Database, tenant: str) -> None:
    store = PostgresEventStore(database)
    store.append(A, [received(0), received(1)], tenant=tenant)
    seen: list[int] = []
    async with asyncio.timeout(10):
        async for event in afollow(store, tenant=tenant, poll=60):
            seen.append(event.data["size_bytes"])
            if len(seen) == 2:
                await asyncio.to_thread(store.append, A, [received(2), received(3)], tenant=tenant)
            if len(seen) == 4:
                break
    store.close()
    assert seen == [0, 1, 2, 3]


async def test_filters_hold_while_following(database: Database, tenant: str) -> None:
    store = PostgresEventStore(database)
    store.append(A, [received(0), rejected("x"), received(1)], tenant=tenant)
    async with asyncio.timeout(10):
        async for event in afollow(store, types=["document.rejected"], tenant=tenant):
            assert event.data["code"] == "x"
            break
    store.close()


async def test_a_lost_notice_costs_a_poll_and_no_event() -> None:
    store = _Deaf()
    events = afollow(store, poll=0.02)
    following = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.05)
    store.append(A, [received(7)])
    async with asyncio.timeout(5):
        assert (await following).data["size_bytes"] == 7
    await events.aclose()  # type: ignore[attr-defined]  # an async generator behind the interface


def test_following_in_a_thread_ends_when_asked(database: Database, tenant: str) -> None:
    store = PostgresEventStore(database)
    stop = threading.Event()
    seen: list[int] = []

    def read() -> None:
        for event in follow(store, tenant=tenant, stop=stop, poll=60):
            seen.append(event.data["size_bytes"])
            if len(seen) == 5:
                stop.set()

    thread = threading.Thread(target=read)
    thread.start()
    for number in range(5):
        store.append(A, [received(number)], tenant=tenant)
    thread.join(10)
    assert seen == [0, 1, 2, 3, 4]
    store.close()


def test_a_listener_that_lost_its_connection_connects_again(database: Database, tenant: str) -> None:
    store = PostgresEventStore(database)
    heard = threading.Event()
    store.watch(heard.set)
    with database.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query = 'LISTEN aiw_event'"
        )
    assert heard.wait(60)
    for _ in range(50):
        heard.clear()
        store.append(A, [received()], tenant=tenant)
        if heard.wait(0.1):
            break
    else:
        raise AssertionError("the listener never came back")
    store.close()
