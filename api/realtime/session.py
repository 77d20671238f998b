"""What a client may say, and what follows. Whatever goes wrong with a frame is answered, and the next is taken."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from msgspec import UNSET

from api import problems
from api.realtime import frames
from resources.errors import (
    InvalidInputError,
    LimitExceededError,
    NotFoundError,
    NotPermittedError,
    PlatformError,
    Problem,
)
from resources.realtime import topics
from resources.realtime.model import NewMessage, as_direct, new_message_id
from resources.realtime.presence.model import Status

if TYPE_CHECKING:
    from api.realtime.connection import Connection
    from api.realtime.hub import Hub
    from resources.realtime.model import Message

PROTOCOL_VERSION = "1.0"


class Session:
    """One client of the hub: its frames in, answers out."""

    __slots__ = ("_connection", "_hub")

    def __init__(self, hub: Hub, connection: Connection) -> None:
        self._hub = hub
        self._connection = connection

    def greet(self) -> None:
        """The first frame."""
        connection, now = self._connection, frames.stamp(datetime.now(UTC))
        facts = {"connection_id": connection.id, "server_time": now, "protocol_version": PROTOCOL_VERSION}
        if connection.dialect == "rich":
            connection.say(frames.encode("Connected", {**facts, "user_id": connection.principal.username}))
        else:
            connection.say(frames.encode("Status", {"status": "connected", "details": facts}))

    async def take(self, text: str) -> None:
        """Do what a frame wants. Errors of the platform are told; others are the caller's."""
        connection, given = self._connection, None
        principal = connection.principal
        wait = self._hub.limiter.take(principal.tenant, principal.username, connection.bucket)
        if wait:
            limited = LimitExceededError("Too many frames: slow down.", code="rate_limited", retry_after=wait)
            connection.say(frames.error_text(429, limited))
            return
        try:
            frame = frames.opened(text)
            given = frame.id
            command = frame.command()
            if not isinstance(command, frames.Pong):
                self._hub.active(connection)
            await self._obey(command, given)
        except PlatformError as error:
            connection.say(frames.error_text(_code_of(error), error, given))

    async def _obey(self, command: frames.Command, id: str | int | None) -> None:
        connection, hub = self._connection, self._hub
        match command:
            case frames.Ping(timestamp=timestamp):
                now = frames.stamp(datetime.now(UTC))
                connection.say(frames.encode("Pong", {"timestamp": now if timestamp is None else timestamp}))
            case frames.Pong():
                connection.missed, connection.pongs = 0, True
            case frames.Subscribe():
                await hub.subscribe(connection, command.topics, after=command.cursor(), last=command.last)
                self._status("subscribed", id, topics=sorted(connection.patterns))
            case frames.Unsubscribe(topics=names):
                hub.unsubscribe(connection, names)
                self._status("unsubscribed", id, topics=sorted(connection.patterns))
            case frames.Broadcast(payload=content) | frames.TopicMessage(content=content):
                await self._publish(command, content, id)
            case frames.BroadcastMessage(content=content, message_id=given):
                self._need("broadcast")
                await self._send(NewMessage(topic=topics.BROADCAST, content=content, **self._named(given)), id, given)
            case frames.DirectMessage():
                await self._direct(command, id)
            case frames.Ack(message_id=given, status=status):
                if status.lower() not in {"read", "delivered"}:
                    raise _wrong("data.status", f"{status[:50]!r} is neither read nor delivered")
                read = status.lower() == "read"
                await hub.confirm(_uuid(given), connection, "read" if read else "delivered")
            case frames.UpdatePresence(status=status, message=note):
                known = {one.value: one for one in Status if one is not Status.OFFLINE}
                if status.lower() not in known:
                    raise _wrong("data.status", f"{status[:50]!r} is none of {', '.join(known)}")
                await hub.tell_status(connection, known[status.lower()], note)
                self._status("presence", id, presence=status.lower())
            case frames.TypingStart(conversation_id=name) | frames.TypingEnd(conversation_id=name):
                await self._typing(name, typing=isinstance(command, frames.TypingStart))
            case frames.Connect():
                connection.dialect = "rich"
                self.greet()
            case frames.Disconnect(reason=reason):
                await connection.flushed()
                connection.close(1000, (reason or "as you wish")[:100])

    async def _publish(
        self, command: frames.Broadcast | frames.TopicMessage, content: Any, id: str | int | None
    ) -> None:
        given = command.message_id if isinstance(command, frames.TopicMessage) else None
        message = NewMessage(
            topic=topics.check_publishable(command.topic),
            content=content,
            routing_key=command.routing_key,
            priority=command.priority,
            headers=command.headers,
            ttl=command.ttl,
            **self._named(given),
        )
        await self._send(message, id, given)

    async def _direct(self, command: frames.DirectMessage, id: str | int | None) -> None:
        connection = self._connection
        to = command.target_user or command.to
        if to is None:
            raise _wrong("data.to", "names nobody", "to, or target_user")
        content = command.content if command.payload is UNSET else command.payload
        if content is UNSET:
            raise _wrong("data.content", "is missing", "content, or payload")
        keep = command.target_user is None if command.persist_offline is None else command.persist_offline
        if not keep and not await self._hub.is_present(to, tenant=connection.principal.tenant):
            raise NotFoundError(f"{to!r} is not connected. Say persist_offline to have it wait.", code="user_absent")
        named = self._named(command.message_id)
        sender = named.pop("sender")
        await self._send(as_direct(sender, to, content, ttl=command.ttl, **named), id, command.message_id)

    async def _send(self, message: NewMessage, id: str | int | None, given: str | int | None) -> None:
        self._need("write")
        connection = self._connection
        stored = await self._hub.publish(message, tenant=connection.principal.tenant, origin=connection)
        connection.say(frames.encode("Ack", _ack(stored, id, given)))

    async def _typing(self, conversation: str, *, typing: bool) -> None:
        if topics.is_direct(conversation):
            if self._connection.principal.username not in (topics.members(conversation) or ()):
                raise NotFoundError("There is no such conversation of yours.", code="conversation_unknown")
        else:
            topics.check_topic(conversation)
        await self._hub.company.types(self._connection, conversation, typing=typing)

    def _named(self, given: str | int | None) -> dict[str, Any]:
        """A client's own id names the message if it is a UUID: so it can be said again without being said twice."""
        try:
            message_id = UUID(given) if isinstance(given, str) else new_message_id()
        except ValueError:
            message_id = new_message_id()
        return {"message_id": message_id, "sender": self._connection.principal.username}

    def _need(self, scope: str) -> None:
        if not self._connection.principal.allows(scope):
            raise NotPermittedError(f"This needs the scope {scope!r}.", code="not_permitted", scope=scope)

    def _status(self, status: str, id: str | int | None, **details: Any) -> None:
        data: dict[str, Any] = {"status": status, "details": details}
        if id is not None:
            data["id"] = id
        self._connection.say(frames.encode("Status", data))


def _ack(message: Message, id: str | int | None, given: str | int | None) -> dict[str, Any]:
    data: dict[str, Any] = {
        "message_id": id if id is not None else str(message.message_id),
        "status": "sent",
        "recipients": len(message.targets) or None,
        "position": message.position,
        "stored_id": str(message.message_id),
    }
    if given is not None:
        data["client_id"] = given
    return data


def _code_of(error: PlatformError) -> int:
    """The status of an error, of those that sockets use."""
    status = int(problems.status_of(error))
    if status in {400, 401, 403, 404, 429, 500, 503}:
        return status
    if isinstance(error, LimitExceededError) and error.retry_after is not None:
        return 429
    return 400 if status < 500 else 500  # noqa: PLR2004  # the server's own fault


def _wrong(path: str, message: str, hint: str | None = None) -> InvalidInputError:
    problem = Problem(path, message, hint)
    return InvalidInputError(f"The frame is not valid: {problem}.", code="frame_invalid", problems=(problem,))


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise _wrong("data.message_id", f"{text[:50]!r} is not a message's id") from None
