"""One tenant's connections in a process, and how far its feed of messages is."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from resources.realtime import topics
from resources.tenants.quotas.model import sockets_exceeded

if TYPE_CHECKING:
    import asyncio

    from api.realtime.connection import Connection
    from resources.realtime.model import Message
    from resources.tenants.model import Principal

_RECENT = 1000


class Room:
    """One tenant's connections, and how far its feed is."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.users: dict[str, set[Connection]] = {}
        self.index: topics.TopicIndex[Connection] = topics.TopicIndex()
        self.seen = 0
        self.floor = 0
        self.recent: deque[Message] = deque()
        self.opened: asyncio.Task[None] | None = None
        self.ready = False
        self.reading = False
        self.again = False
        self.changed_users: set[str] = set()
        self.present: set[str] = set()
        """Who was said to be there."""

    def remember(self, message: Message) -> None:
        """`recent` holds all messages in (floor, seen]."""
        self.recent.append(message)
        while len(self.recent) > _RECENT:
            self.floor = self.recent.popleft().position

    def check_listener(self, principal: Principal) -> None:
        """Raises LimitExceededError where one more is too much. One that is no device is counted by its process alone."""
        most = principal.limits.sockets
        if most is not None and len(self.connections) >= most:
            raise sockets_exceeded(principal.tenant, most)
