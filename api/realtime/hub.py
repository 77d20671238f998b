"""Who is connected to this process, and what they get: one feed of messages a tenant, one of the platform's own facts.

    NOTIFY (ids) -> the feed reads on after the last position -> dispatch -> queues of the connections -> sockets

All state belongs to the loop's thread; what waits for the database runs in threads of a few.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from anyio import CapacityLimiter, to_thread

from api.realtime import frames
from api.realtime.batcher import Batcher
from api.realtime.batches import Batches
from api.realtime.company import Company
from api.realtime.connection import Connection, Frame
from api.realtime.facts import FactsFeed
from api.realtime.feed import MessageFeed
from api.realtime.upkeep import upkeep
from resources.errors import InvalidInputError, LimitExceededError, UnavailableError
from resources.realtime import topics
from resources.realtime.limits import Limiter
from resources.realtime.model import Priority
from resources.realtime.presence.model import Device, Joined, Status
from resources.telemetry.logging import get_logger
from resources.tenants.quotas.model import sockets_exceeded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
    from uuid import UUID

    from api.realtime.room import Room
    from resources.events.store import EventStore
    from resources.realtime.model import DeliveryStatus, Message, NewMessage, Notice
    from resources.realtime.publisher import Publisher
    from resources.realtime.runs.postgres import PostgresRunLog
    from resources.realtime.store import PresenceStore
    from resources.tenants.model import Principal

log = get_logger(__name__)

RESTART = 1012
_ACTIVE_EVERY = 60.0


@dataclass(frozen=True, slots=True)
class HubLimits:
    """Numbers that a process keeps to. Seconds, if not said otherwise."""

    capacity: int = 10_000
    sessions_per_user: int = 5
    patterns: int = 1000
    queue: int = 1000
    heartbeat: float = 30.0
    missed: int = 3
    beat: float = 5.0
    drain: float = 3.0


class Hub:
    """One for each process. Use it from the loop that started it."""

    def __init__(
        self,
        publisher: Publisher,
        presence: PresenceStore,
        events: EventStore,
        runs: PostgresRunLog | None = None,
        *,
        limits: HubLimits | None = None,
        limiter: Limiter | None = None,
        threads: int = 4,
    ) -> None:
        self.limits = limits or HubLimits()
        self.limiter = limiter or Limiter()
        self.publisher = publisher
        self.messages = publisher.messages
        self.presence = presence
        self.id = uuid.uuid4().hex
        self.draining = False
        self._rooms: dict[str, Room] = {}
        self._threads = CapacityLimiter(threads)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._cancel: Callable[[], None] | None = None
        self._feed = MessageFeed(self._rooms, self.messages, thread=self._thread, spawn=self._spawn)
        self._facts = FactsFeed(self._rooms, events, runs, thread=self._thread, spawn=self._spawn)
        self.company = Company(
            self.messages, presence, patience=2 * self.limits.beat, thread=self._thread, spawn=self._spawn
        )
        self._starting = asyncio.Lock()
        self._open = 0
        self._empty = asyncio.Event()
        self._empty.set()
        batches = Batches(publisher, presence)
        self._publishes: Batcher[NewMessage, Message] = Batcher(batches.publish, limiter=self._threads)
        self._joins: Batcher[Device, Joined] = Batcher(batches.join, limiter=self._threads)
        self._leaves: Batcher[str, None] = Batcher(batches.leave, limiter=self._threads)
        self._confirms: Batcher[tuple[UUID, str, DeliveryStatus], None] = Batcher(
            batches.confirm, limiter=self._threads
        )
        self._mail: Batcher[str, list[Message]] = Batcher(batches.mail, limiter=self._threads)

    # --- Life ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen, if it does not yet. Raises UnavailableError without a database."""
        async with self._starting:
            if self._cancel is not None:
                return
            self._loop = asyncio.get_running_loop()
            self._cancel = await self._thread(self.messages.watch, self._notice)
            for work in upkeep(self, self._rooms, self._thread):
                self._spawn(work)

    async def drain(self) -> None:
        """Take nobody new, let the queues run empty, and send everybody away (1012): they come back elsewhere, or later."""
        self.draining = True
        connections = [connection for room in self._rooms.values() for connection in room.connections]
        try:
            async with asyncio.timeout(self.limits.drain):
                for connection in connections:
                    await connection.flushed()
        except TimeoutError:
            log.info("realtime.drain_incomplete", connections=len(connections))
        for connection in connections:
            connection.close(RESTART, "the server restarts: come back")
        try:
            async with asyncio.timeout(self.limits.drain):
                await self._empty.wait()
                await self._confirms.settled()
                await self._leaves.settled()
        except TimeoutError:
            log.info("realtime.connections_left", connections=self._open)

    async def stop(self) -> None:
        """Stop listening; whoever is left is sent away."""
        await self.drain()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._cancel is not None:
            self._cancel()
            self._cancel = None

    @property
    def open(self) -> int:
        """Connections."""
        return self._open

    def check_capacity(self) -> None:
        """Raises UnavailableError when nobody else fits in."""
        if self.draining or self._open >= self.limits.capacity:
            raise UnavailableError("Server at capacity", dependency="realtime", code="at_capacity")

    # --- Coming and going ---------------------------------------------------------------------------------------

    async def enter(
        self,
        principal: Principal,
        write: Callable[[Frame], Awaitable[Any]],
        end: Callable[[], Any],
        *,
        dialect: frames.Dialect = "simple",
        present: bool = True,
    ) -> Connection:
        """A new connection. `present`: as one of the user's devices, of which there may only be so many.

        Raises UnavailableError at capacity, LimitExceededError when the user has too many.
        """
        self.check_capacity()
        self._open += 1
        self._empty.clear()
        try:
            await self.start()
            connection = Connection(
                uuid.uuid4().hex,
                principal,
                write,
                end,
                bucket=self.limiter.bucket(),
                dialect=dialect,
                size=self.limits.queue,
                now=time.monotonic(),
            )
            connection.present = present
            connection.on_receipt = self._delivered
            if present:
                self._check_joined(connection, await self._joins.submit("", self.device(connection)))
            room = await self._feed.room(principal.tenant)
            if not present:
                room.check_listener(principal)
        except BaseException:
            self._closed()
            raise
        connection.since = room.seen
        room.connections.add(connection)
        room.users.setdefault(principal.username, set()).add(connection)
        return connection

    def _closed(self) -> None:
        self._open -= 1
        if not self._open:
            self._empty.set()

    def _check_joined(self, connection: Connection, joined: Joined) -> None:
        principal, allowed = connection.principal, self.limits.sessions_per_user
        if joined.of_user > allowed:
            self._forget(connection)
            count = joined.of_user - 1
            message = f"{principal.username!r} has {count} sessions open already; {allowed} are allowed. Close one."
            raise LimitExceededError(message, code="too_many_sessions", retry_after=5.0)
        most = principal.limits.sockets
        if most is not None and joined.of_tenant > most:
            self._forget(connection)
            raise sockets_exceeded(principal.tenant, most)

    def _forget(self, connection: Connection) -> None:
        self._leaves.put("", connection.id).add_done_callback(_log_failure)

    def leave(self, connection: Connection) -> None:
        """Forget a connection."""
        self._closed()
        tenant, user = connection.principal.tenant, connection.principal.username
        room = self._rooms[tenant]
        self.unsubscribe(connection, tuple(connection.patterns))
        room.connections.discard(connection)
        if (mine := room.users.get(user)) is not None:
            mine.discard(connection)
            if not mine:
                del room.users[user]
        if not room.connections:
            del self._rooms[tenant]  # its feed need not go on; whoever comes next begins a new one
        if connection.present:
            self._forget(connection)

    async def catch_up(self, connection: Connection, after: int | None) -> None:
        """What was said to the user alone, or to everybody, while away: after a position, or what was never delivered."""
        if after is not None:
            await self._feed.catch_up(connection, after)
            return
        principal = connection.principal
        for message in await self._mail.submit(principal.tenant, principal.username):
            if message.position <= connection.since:
                self._feed.offer(connection, message, {})

    # --- Subscriptions ------------------------------------------------------------------------------------------

    async def subscribe(
        self, connection: Connection, patterns: Collection[str], *, after: frames.Cursor, last: bool = False
    ) -> None:
        """Subscribe to topics, after a position where one is given. Raises InvalidInputError, LimitExceededError."""
        wanted = {topics.check_pattern(pattern) for pattern in patterns}
        if any(topics.is_direct(pattern) for pattern in wanted):
            raise InvalidInputError("Direct messages come by themselves: nobody subscribes to a conversation.")
        if len(connection.patterns | wanted) > self.limits.patterns:
            message = f"At most {self.limits.patterns} topics a connection."
            raise LimitExceededError(message, code="too_many_topics")
        spoken = {pattern for pattern in wanted if not topics.is_live(pattern)}
        told = {pattern for pattern in wanted if topics.is_live(pattern) is not False}
        room = self._rooms[connection.principal.tenant]
        if told:
            await self._facts.rouse()
        message_at = after.messages if spoken else None
        event_at = after.events if told else None
        while (message_at is not None and message_at < room.seen) or (
            event_at is not None and event_at < self._facts.seen
        ):
            if message_at is not None:
                heard = connection.patterns | wanted
                message_at = await self._feed.replay(connection, room, spoken, message_at, heard=heard)
            if event_at is not None:
                event_at = await self._facts.replay(connection, told, event_at)
            if connection.closing is not None:
                return
        # Nothing is awaited between the look above and here: what comes next comes from the feeds.
        for pattern in wanted - connection.patterns:
            room.index.add(pattern, connection)
            self._facts.wanted += pattern in told
        connection.patterns |= wanted
        seen = room.seen
        if told:
            self._facts.wake()
        if last:
            await self._feed.send_last(connection, spoken, seen)
            if any(topics.fits(pattern, topics.PRESENCE) for pattern in wanted):
                await self.company.tell(connection.principal.tenant, room, None, to=[connection])

    def unsubscribe(self, connection: Connection, patterns: Collection[str]) -> None:
        """Unsubscribe from topics, as they were subscribed to."""
        room = self._rooms[connection.principal.tenant]
        for pattern in connection.patterns.intersection(patterns):
            room.index.remove(pattern, connection)
            connection.patterns.discard(pattern)
            self._facts.wanted -= topics.is_live(pattern) is not False

    # --- Speaking -----------------------------------------------------------------------------------------------

    async def publish(self, message: NewMessage, *, tenant: str, origin: Connection | None = None) -> Message:
        """Store a message; it reaches its readers through the database, as those of other processes do.

        `origin` gets no copy. Raises as `Publisher.publish` does.
        """
        if origin is not None:
            self._feed.origins[message.message_id] = origin
        try:
            return await self._publishes.submit(tenant, message)
        except BaseException:
            self._feed.origins.pop(message.message_id, None)
            raise

    async def is_present(self, user: str, *, tenant: str) -> bool:
        """Whether the user is connected, to any process."""
        if user in self._rooms[tenant].users:
            return True
        (found,) = await self._thread(self.presence.find, [user], tenant=tenant, now=datetime.now(UTC))
        return found.status is not Status.OFFLINE

    async def confirm(self, message_id: UUID, connection: Connection, status: DeliveryStatus) -> None:
        """Note what became of a message at this user."""
        principal = connection.principal
        await self._confirms.submit(principal.tenant, (message_id, principal.username, status))

    async def tell_status(self, connection: Connection, status: Status, note: str | None) -> None:
        """The user says how it is."""
        await self._thread(self.presence.update, connection.id, at=datetime.now(UTC), status=status, note=note)

    def active(self, connection: Connection) -> None:
        """The user did something."""
        connection.missed = 0
        now = time.monotonic()
        if now - connection.active_at >= _ACTIVE_EVERY:
            connection.active_at = now
            self._spawn(self._thread(self.presence.update, connection.id, at=datetime.now(UTC)))

    # --- What is heard ------------------------------------------------------------------------------------------

    def _notice(self, notices: Sequence[Notice]) -> None:
        """Called in the listener's thread."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._hear, notices)

    def _hear(self, notices: Sequence[Notice]) -> None:
        for notice in notices:
            room = self._rooms.get(notice.tenant)
            match notice.kind:
                case "message" if room is not None:
                    self._feed.wake(notice.tenant, room)
                case "delivery" if room is not None:
                    self._tell_delivery(room, *notice.ids)
                case "typing" if room is not None:
                    self.company.typing_heard(room, *notice.ids)
                case "presence" if room is not None:
                    self.company.changed(notice.tenant, room, notice.ids[0])
                case "rules":
                    self.publisher.router.forget(notice.tenant)
                case "events":
                    self._facts.wake()
                case "run":
                    run_id, event_id = notice.ids
                    self._facts.run_told(run_id, int(event_id))
                case "lost":
                    self.publisher.router.forget()
                    self._facts.wake()
                    for tenant, known in self._rooms.items():
                        self._feed.wake(tenant, known)
                        self.company.missed(tenant, known)
                case _:
                    pass

    def _delivered(self, connection: Connection, message_id: UUID) -> None:
        principal = connection.principal
        confirmed = self._confirms.put(principal.tenant, (message_id, principal.username, "delivered"))
        confirmed.add_done_callback(_log_failure)

    def _tell_delivery(self, room: Room, message_id: str, user: str, status: str, sender: str) -> None:
        connections = room.users.get(sender, ())
        text = frames.encode(
            "DeliveryConfirmation", {"message_id": message_id, "status": status.title(), "user_id": user}
        )
        for connection in connections:
            connection.offer(Frame(text, priority=Priority.HIGH))

    async def look(self) -> None:
        """Read on wherever something is new, though nobody told. Raises UnavailableError."""
        await self._feed.look()
        self._facts.wake()

    # --- Work in threads ----------------------------------------------------------------------------------------

    def device(self, connection: Connection) -> Device:
        """The connection, as one of its user's devices."""
        principal, now = connection.principal, datetime.now(UTC)
        return Device(connection.id, principal.tenant, principal.username, self.id, now, now)

    async def _thread(self, work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        return await to_thread.run_sync(lambda: work(*arguments, **options), limiter=self._threads)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run in the background. What goes wrong there is logged and hurts nobody else."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_log_failure)
        return task


def _log_failure(task: asyncio.Future[Any]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("realtime.background_failed", error=str(error), exc_info=error)
