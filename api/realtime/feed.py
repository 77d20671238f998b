"""What is said, as the connections of a process get it: one feed a tenant, which reads on after the position that it has told.

A lost notification costs time and never a message, and several processes on one database tell the same. A connection that
resumes is read for until it has met the feed; what comes next comes from the feed, so nothing is lost between the two, and
nothing comes twice.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from api.realtime import frames
from api.realtime.connection import Connection, Frame
from api.realtime.room import Room
from resources.errors import PlatformError
from resources.realtime import topics
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine, Mapping, MutableMapping, Sequence
    from typing import Any
    from uuid import UUID

    from resources.realtime.model import Message
    from resources.realtime.store import MessageStore

log = get_logger(__name__)

_PAGE = 500
_BREATH = 200
_RETRY = 0.5


class MessageFeed:
    """Belongs to the loop of its hub, whose `rooms` it opens and serves.

    `thread` runs what waits for the database, `spawn` what goes on in the background.
    """

    def __init__(
        self,
        rooms: MutableMapping[str, Room],
        messages: MessageStore,
        *,
        thread: Callable[..., Coroutine[Any, Any, Any]],
        spawn: Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]],
    ) -> None:
        self.origins: dict[UUID, Connection] = {}
        """Who said what is not told yet, and gets no copy."""
        self._rooms = rooms
        self._messages = messages
        self._thread = thread
        self._spawn = spawn

    async def room(self, tenant: str) -> Room:
        """The tenant's room, its feed begun."""
        while True:
            room = self._rooms.get(tenant)
            if room is None:
                room = self._rooms[tenant] = Room()
            if room.opened is None or (room.opened.done() and not room.ready):
                room.opened = self._spawn(self._open_room(tenant, room))
            await asyncio.shield(room.opened)
            if self._rooms.get(tenant) is room:
                return room

    async def _open_room(self, tenant: str, room: Room) -> None:
        head = await self._thread(self._messages.head, tenant=tenant)
        floor = max(0, head - _PAGE)
        page = await self._thread(self._messages.read, tenant=tenant, after=floor, up_to=head, limit=_PAGE)
        room.seen, room.floor = head, floor
        room.recent.extend(page)
        room.ready = True
        self.wake(tenant, room)

    def wake(self, tenant: str, room: Room) -> None:
        """Something was said: read on."""
        room.again = True
        if room.ready and not room.reading:
            room.reading = True
            self._spawn(self._read_on(tenant, room))

    async def _read_on(self, tenant: str, room: Room) -> None:
        try:
            while room.again:
                room.again = False
                try:
                    page = await self._thread(
                        self._messages.read, tenant=tenant, after=room.seen, transient=True, limit=_PAGE
                    )
                except PlatformError as error:
                    log.warning("realtime.feed_waits", tenant=tenant, error=error.message)
                    room.again = True
                    await asyncio.sleep(_RETRY)
                    continue
                for message in page:
                    room.seen = message.position
                    room.remember(message)
                    await self._dispatch(room, message)
                room.again = room.again or len(page) == _PAGE
        finally:
            room.reading = False

    async def _dispatch(self, room: Room, message: Message) -> None:
        origin = self.origins.pop(message.message_id, None)
        if not message.live_at(datetime.now(UTC)):
            return
        if message.targets:
            readers: Collection[Connection] = {
                one for user in dict.fromkeys(message.targets) for one in room.users.get(user, ())
            }
        elif message.topic == topics.BROADCAST:
            readers = tuple(room.connections)
        else:
            readers = room.index.matching(message.topic)
        if message.required_subscriptions:
            readers = [one for one in readers if _hears_all(one.patterns, message)]
        chosen = [one for one in readers if one is not origin][: message.max_targets]
        texts: dict[str, str] = {}
        for number, connection in enumerate(chosen, 1):
            self.offer(connection, message, texts)
            if number % _BREATH == 0:
                await asyncio.sleep(0)

    def offer(self, connection: Connection, message: Message, texts: dict[str, str]) -> None:
        """`texts` keeps what was encoded already, for all who speak the same dialect."""
        text = texts.get(connection.dialect)
        if text is None:
            text = texts[connection.dialect] = frames.message_text(message, connection.dialect)
        connection.offer(
            Frame(
                text,
                place=f"m{message.position}" if message.persist else None,
                priority=message.priority,
                receipt=message.message_id if message.ack else None,
            )
        )

    async def look(self) -> None:
        """Read on where something is new, whatever was told of it. Raises UnavailableError."""
        heads: Mapping[str, int] = await self._thread(self._messages.heads, tuple(self._rooms))
        for tenant, head in heads.items():
            room = self._rooms.get(tenant)
            if room is not None and head > room.seen:
                self.wake(tenant, room)

    async def replay(
        self, connection: Connection, room: Room, patterns: set[str], after: int, *, heard: Collection[str]
    ) -> int:
        """Send what was said above `after`; the position that was reached. `heard` is all that it is subscribed to."""
        now = datetime.now(UTC)
        user = connection.principal.username
        while after < (up_to := room.seen) and connection.closing is None:
            if after >= room.floor:
                page: Sequence[Message] = [
                    message
                    for message in room.recent
                    if after < message.position <= up_to
                    and message.persist
                    and topics.any_fits(patterns, message.topic)
                    and (not message.targets or user in message.targets)
                ]
                reached = up_to
            else:
                page = await self._thread(
                    self._messages.read,
                    tenant=connection.principal.tenant,
                    after=after,
                    up_to=up_to,
                    patterns=patterns,
                    user=user,
                    limit=_PAGE,
                )
                reached = page[-1].position if len(page) == _PAGE else up_to
            for message in page:
                if message.live_at(now) and _hears_all(heard, message) and not _came_by_itself(connection, message):
                    self.offer(connection, message, {})
                    if connection.half_full:
                        await connection.drained()
            after = reached
        return after

    async def catch_up(self, connection: Connection, after: int) -> None:
        """What was said to the user alone, or to everybody, after a position and before the connection came."""
        principal = connection.principal
        up_to = connection.since
        connection.caught_up = after
        now = datetime.now(UTC)
        while after < up_to:
            direct = await self._thread(
                self._messages.direct,
                principal.username,
                tenant=principal.tenant,
                after=after,
                up_to=up_to,
                limit=_PAGE,
            )
            said = await self._thread(
                self._messages.read,
                tenant=principal.tenant,
                after=after,
                up_to=up_to,
                patterns=[topics.BROADCAST],
                limit=_PAGE,
            )
            full = [page[-1].position for page in (direct, said) if len(page) == _PAGE]
            reached = min(full, default=up_to)
            for message in sorted([*direct, *said], key=lambda one: one.position):
                if message.position <= reached and message.live_at(now) and not message.required_subscriptions:
                    self.offer(connection, message, {})
            await connection.drained()
            after = reached

    async def send_last(self, connection: Connection, patterns: Collection[str], seen: int) -> None:
        """The last value of each topic, of those that the feed had told by then."""
        principal, now = connection.principal, datetime.now(UTC)
        found = await self._thread(
            self._messages.last_values, patterns, tenant=principal.tenant, user=principal.username, now=now
        )
        for message in found:
            if message.position <= seen and _hears_all(connection.patterns, message):
                self.offer(connection, message, {})


def _hears_all(patterns: Collection[str], message: Message) -> bool:
    """Whether who hears these topics hears all that the message requires."""
    return all(topics.any_fits(patterns, wanted) for wanted in message.required_subscriptions)


def _came_by_itself(connection: Connection, message: Message) -> bool:
    """Whether it comes, or came when the connection began, without a subscription."""
    if topics.is_direct(message.topic):
        return True
    unasked = (message.targets or message.topic == topics.BROADCAST) and not message.required_subscriptions
    return bool(unasked) and connection.caught_up < message.position <= connection.since
