"""Who is there and who types, as those who listen are told. Belongs to the loop of its hub."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from api.realtime import frames
from api.realtime.connection import Connection, Frame
from resources.realtime import topics
from resources.realtime.model import Notice, Priority
from resources.realtime.presence.model import TYPING_SECONDS, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Coroutine
    from typing import Any

    from api.realtime.room import Room
    from resources.realtime.store import MessageStore, PresenceStore

_PAUSE = 0.05


class Company:
    """`thread` runs what waits for the database, `spawn` what goes on in the background.

    After `patience` seconds every process has written those who are connected to it again, whatever the database forgot.
    """

    def __init__(
        self,
        messages: MessageStore,
        presence: PresenceStore,
        *,
        patience: float,
        thread: Callable[..., Coroutine[Any, Any, Any]],
        spawn: Callable[[Coroutine[Any, Any, Any]], object],
    ) -> None:
        self._messages = messages
        self._presence = presence
        self._patience = patience
        self._thread = thread
        self._spawn = spawn
        self._typing: dict[tuple[str, str, str], asyncio.TimerHandle] = {}

    async def types(self, connection: Connection, conversation: str, *, typing: bool) -> None:
        """The user types, or no longer does; that ends by itself after ten seconds."""
        principal = connection.principal
        key = (principal.tenant, conversation, principal.username)
        if (timer := self._typing.pop(key, None)) is not None:
            timer.cancel()
        if typing:
            later = asyncio.get_running_loop().call_later
            self._typing[key] = later(TYPING_SECONDS, lambda: self._spawn(self._end_typing(key)))
        ids = (conversation, principal.username, "start" if typing else "end")
        await self._thread(self._messages.tell, [Notice("typing", principal.tenant, ids)])

    async def _end_typing(self, key: tuple[str, str, str]) -> None:
        self._typing.pop(key, None)
        tenant, conversation, user = key
        await self._thread(self._messages.tell, [Notice("typing", tenant, (conversation, user, "end"))])

    def typing_heard(self, room: Room, conversation: str, user: str, state: str) -> None:
        """Some process tells that a user types, or no longer does."""
        pair = topics.members(conversation) if topics.is_direct(conversation) else None
        readers = (
            room.index.matching(conversation)
            if pair is None
            else [one for member in pair for one in room.users.get(member, ())]
        )
        data = {"conversation_id": conversation, "user_id": user, "typing": state == "start"}
        text = frames.encode("TypingIndicator", data)
        for connection in readers:
            if connection.principal.username != user:
                connection.offer(Frame(text, priority=Priority.LOW))

    def changed(self, tenant: str, room: Room, user: str) -> None:
        """Some process tells that a user came, went or says something else of itself."""
        if not room.index.matching(topics.PRESENCE):
            return
        first = not room.changed_users
        room.changed_users.add(user)
        if first:
            self._spawn(self._tell_changes(tenant, room))

    async def _tell_changes(self, tenant: str, room: Room) -> None:
        await asyncio.sleep(_PAUSE)  # who comes back with many devices is told of once
        users, room.changed_users = room.changed_users, set()
        await self.tell(tenant, room, users, to=room.index.matching(topics.PRESENCE))

    def missed(self, tenant: str, room: Room) -> None:
        """It may not have been told who came and went: say it all once more."""
        if room.index.matching(topics.PRESENCE):
            self._spawn(self._tell_again(tenant, room))

    async def _tell_again(self, tenant: str, room: Room) -> None:
        await asyncio.sleep(self._patience)
        there = await self._thread(self._presence.find, None, tenant=tenant, now=datetime.now(UTC))
        users = room.present.union(presence.user for presence in there)
        await self.tell(tenant, room, users, to=room.index.matching(topics.PRESENCE))

    async def tell(self, tenant: str, room: Room, users: Collection[str] | None, *, to: Collection[Connection]) -> None:
        """How the users are now; None = all of the tenant."""
        now = datetime.now(UTC)
        for presence in await self._thread(self._presence.find, users, tenant=tenant, now=now):
            if presence.status is Status.OFFLINE:
                room.present.discard(presence.user)
            else:
                room.present.add(presence.user)
            data = {
                "user_id": presence.user,
                "status": presence.status,
                "last_seen": None if presence.last_seen is None else frames.stamp(presence.last_seen),
                "devices": presence.devices,
                "message": presence.note,
            }
            text = frames.encode("PresenceUpdate", data)
            for connection in to:
                connection.offer(Frame(text, priority=Priority.LOW))
