"""What a hub does once in a while: tell that it lives, clear away, and see who is still there."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from api.realtime import frames
from resources.errors import PlatformError
from resources.realtime.model import Retention
from resources.realtime.presence.model import SWEEP_SECONDS
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from typing import Any

    from api.realtime.connection import Connection
    from api.realtime.hub import Hub
    from api.realtime.room import Room

log = get_logger(__name__)

_NOT_ALLOWED = 1008
_WARN_BEFORE = 60.0


def upkeep(
    hub: Hub, rooms: Mapping[str, Room], thread: Callable[..., Awaitable[Any]]
) -> tuple[Coroutine[Any, Any, None], ...]:
    """What is to be run for as long as the hub lives. `thread` runs what waits for the database."""
    return _beat(hub, rooms, thread), _sweep(hub, thread), _pulse(hub, rooms)


async def _beat(hub: Hub, rooms: Mapping[str, Room], thread: Callable[..., Awaitable[Any]]) -> None:
    """Tell that this process lives; write its devices again when the database has forgotten them.

    And look for what nobody told of: who published may have died before it could tell, or told by a connection that was dead.
    """
    while True:
        await asyncio.sleep(hub.limits.beat)
        try:
            known = await thread(hub.presence.beat, hub.id, at=datetime.now(UTC))
            mine = [one for room in rooms.values() for one in room.connections if one.present]
            if mine and not known:
                await thread(hub.presence.join, [hub.device(one) for one in mine])
            if rooms:
                await hub.look()
        except PlatformError as error:
            log.warning("realtime.beat_failed", error=error.message)


async def _sweep(hub: Hub, thread: Callable[..., Awaitable[Any]]) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        hub.limiter.sweep()
        try:
            now = datetime.now(UTC)
            await thread(hub.presence.sweep, now)
            await thread(hub.messages.sweep, now, retention=Retention())
        except PlatformError as error:
            log.warning("realtime.sweep_failed", error=error.message)


async def _pulse(hub: Hub, rooms: Mapping[str, Room]) -> None:
    """Ping those who were not pinged for long; send those away who once answered and no longer do.

    Who never answers is kept: the protocol's own pings, which every library answers, find out whether it is there.
    """
    while True:
        await asyncio.sleep(min(1.0, hub.limits.heartbeat / 4))
        now = time.monotonic()
        for room in rooms.values():
            for connection in tuple(room.connections):
                _watch_token(connection)
                if now - connection.pinged_at < hub.limits.heartbeat:
                    continue
                connection.pinged_at = now
                if connection.pongs and connection.missed >= hub.limits.missed:
                    connection.close(1011, "no answer to the heartbeat")
                    continue
                connection.missed += 1
                at = {"timestamp": frames.stamp(datetime.now(UTC))}
                # Behind an empty queue this is true: all up to here was sent.
                position = {"position": room.seen} if not connection.waiting else {}
                connection.say(frames.encode("Ping", {**at, **position}))


def _watch_token(connection: Connection) -> None:
    expires = connection.principal.expires_at
    if expires is None:
        return
    left = (expires - datetime.now(UTC)).total_seconds()
    if left <= 0:
        connection.close(_NOT_ALLOWED, "the token has expired: log in again")
    elif left <= _WARN_BEFORE and not connection.warned:
        connection.warned = True
        status = {"status": "token_expiring", "expires_at": frames.stamp(expires)}
        connection.say(frames.encode("AuthStatus", status))
