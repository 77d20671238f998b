"""What is said over a socket: JSON objects `{"type", "data"}` in two dialects. Pure: no socket, no clock.

In the *simple* dialect topics are spoken to with Broadcast and speak with Broadcast; in the *rich* one each kind of message has
a name of its own (TopicMessage, TopicMessageReceived). A client may use the frames of both; it is answered in the dialect
that it asked for (`?dialect=rich`), or in rich once it has said Connect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import msgspec
import orjson

from resources.errors import InvalidInputError, Problem
from resources.realtime import topics
from resources.realtime.model import Priority

if TYPE_CHECKING:
    from datetime import datetime

    from resources.errors import PlatformError
    from resources.realtime.model import Message

Dialect = Literal["simple", "rich"]
DIALECTS: tuple[str, ...] = get_args(Dialect)
Log = Literal["messages", "events"]

MAX_FRAME = 64 * 1024
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
_Position = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
_Id = Annotated[str, msgspec.Meta(max_length=200)] | int


class Cursor(msgspec.Struct, forbid_unknown_fields=True):
    """Where to go on: a position of the log of messages, of the events, or both."""

    messages: _Position | None = None
    events: _Position | None = None


class Ping(msgspec.Struct):
    """Is anybody there? Answered with Pong and the same timestamp."""

    timestamp: Any = None


class Pong(msgspec.Struct):
    """The answer to the server's Ping."""

    timestamp: Any = None


class Subscribe(msgspec.Struct):
    """Topics and patterns to hear; `after` a position what was missed comes first, with `last` the last value of each."""

    topics: Annotated[list[_Name], msgspec.Meta(min_length=1, max_length=1000)]
    after: _Position | Cursor | None = None
    last: bool = False

    def cursor(self) -> Cursor:
        """Where to go on in each log. Raises InvalidInputError where one number could mean either."""
        if not isinstance(self.after, int):
            return self.after or Cursor()
        kinds = {topics.is_live(topic) for topic in self.topics}
        if kinds <= {True}:
            return Cursor(events=self.after)
        if kinds <= {False}:
            return Cursor(messages=self.after)
        problem = Problem("data.after", "these topics have positions of two kinds", 'say {"messages": n, "events": m}')
        raise InvalidInputError(f"Cannot go on there: {problem}.", code="frame_invalid", problems=(problem,))


class Unsubscribe(msgspec.Struct):
    """Topics and patterns, as they were subscribed to."""

    topics: Annotated[list[_Name], msgspec.Meta(max_length=1000)]


class Broadcast(msgspec.Struct):
    """A message to a topic."""

    topic: str
    payload: Any
    routing_key: str | None = None
    priority: Priority = Priority.NORMAL
    headers: dict[str, str] = {}
    ttl: float | None = None


class DirectMessage(msgspec.Struct):
    """`target_user` and `payload`, or `to` and `content`."""

    target_user: _Name | None = None
    to: _Name | None = None
    payload: Any = msgspec.UNSET
    content: Any = msgspec.UNSET
    message_id: _Id | None = None
    ttl: float | None = None
    persist_offline: bool | None = None


class TopicMessage(msgspec.Struct):
    """A message to a topic, in the rich dialect."""

    topic: str
    content: Any
    message_id: _Id | None = None
    routing_key: str | None = None
    priority: Priority = Priority.NORMAL
    headers: dict[str, str] = {}
    ttl: float | None = None


class BroadcastMessage(msgspec.Struct):
    """A message to everybody who is connected."""

    content: Any
    message_id: _Id | None = None


class Connect(msgspec.Struct):
    """From now on in the rich dialect. Who one is tells the token, not the frame."""

    user_id: str | None = None
    metadata: dict[str, Any] = {}


class Disconnect(msgspec.Struct):
    """Close the connection when all is sent."""

    reason: str | None = None


class UpdatePresence(msgspec.Struct):
    """How the user is: online, away, busy."""

    status: str
    message: Annotated[str, msgspec.Meta(max_length=500)] | None = None


class TypingStart(msgspec.Struct):
    """The user begins to type."""

    conversation_id: _Name


class TypingEnd(msgspec.Struct):
    """The user no longer types."""

    conversation_id: _Name


class Ack(msgspec.Struct):
    """The client has read the message."""

    message_id: str
    status: str = "read"


Command = (
    Ping
    | Pong
    | Subscribe
    | Unsubscribe
    | Broadcast
    | DirectMessage
    | TopicMessage
    | BroadcastMessage
    | Connect
    | Disconnect
    | UpdatePresence
    | TypingStart
    | TypingEnd
    | Ack
)
_COMMANDS: dict[str, Any] = {
    kind.__name__: msgspec.json.Decoder(kind)
    for kind in (
        Ping, Pong, Subscribe, Unsubscribe, Broadcast, DirectMessage, TopicMessage, BroadcastMessage, Connect, Disconnect,
        UpdatePresence, TypingStart, TypingEnd, Ack,
    )
}  # fmt: skip


class Envelope(msgspec.Struct):
    """What every frame has. `id` is the client's own name for it, which answers repeat."""

    type: str
    data: msgspec.Raw = msgspec.Raw(b"{}")
    id: _Id | None = None

    def command(self) -> Command:
        """What the client wants. Raises InvalidInputError."""
        decoder = _COMMANDS.get(self.type)
        if decoder is None:
            raise _invalid("type", f"{self.type[:50]!r} is not known", f"one of {', '.join(sorted(_COMMANDS))}")
        try:
            command: Command = decoder.decode(b"{}" if bytes(self.data) == b"null" else self.data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise _invalid("frame", str(error) or type(error).__name__) from error
        return command


_DECODE = msgspec.json.Decoder(Envelope).decode


def opened(text: str) -> Envelope:
    """A frame, its data not looked at yet. Raises InvalidInputError, whatever the text is."""
    try:
        return _DECODE(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise _invalid("frame", str(error) or type(error).__name__) from error


def encode(kind: str, data: Any) -> str:
    """A frame as text."""
    return orjson.dumps({"type": kind, "data": data}, default=str).decode()


def message_text(message: Message, dialect: Dialect) -> str:
    """A message as its reader gets it."""
    data: dict[str, Any] = {
        "from": message.sender,
        "message_id": str(message.message_id),
        "timestamp": stamp(message.created_at),
        "position": message.position if message.persist else None,
        "log": "messages",
        "kind": message.type,
        "priority": message.priority.name.lower(),
        "routing_key": message.routing_key,
        "headers": message.headers,
    }
    data["payload" if dialect == "simple" else "content"] = message.content
    if message.targets and topics.is_direct(message.topic):
        return encode("DirectMessage" if dialect == "simple" else "MessageReceived", {**data, "topic": message.topic})
    if dialect == "rich" and message.topic == topics.BROADCAST:
        return encode("BroadcastReceived", data)
    return encode("Broadcast" if dialect == "simple" else "TopicMessageReceived", {**data, "topic": message.topic})


def fact_text(topic: str, content: Any, dialect: Dialect, *, id: str, at: datetime, position: int | None) -> str:
    """One of the platform's own facts on a live topic; its position is the event store's."""
    data = {
        "topic": topic,
        "from": None,
        "message_id": id,
        "timestamp": stamp(at),
        "position": position,
        "log": "events",
        "payload" if dialect == "simple" else "content": content,
    }
    return encode("Broadcast" if dialect == "simple" else "TopicMessageReceived", data)


def error_text(code: int, error: PlatformError, id: str | int | None = None) -> str:
    """What went wrong with a frame."""
    data: dict[str, Any] = {"code": code, "error": error.code, "message": error.message}
    if id is not None:
        data["id"] = id
    if isinstance(error, InvalidInputError):
        data["problems"] = [str(problem) for problem in error.problems]
    if (after := getattr(error, "retry_after", None)) is not None:
        data["retry_after"] = round(after, 3)
    return encode("Error", data)


def stamp(at: datetime) -> str:
    """A time as ISO 8601 has it."""
    return at.isoformat().replace("+00:00", "Z")


def _invalid(path: str, message: str, hint: str | None = None) -> InvalidInputError:
    problem = Problem(path, message, hint)
    return InvalidInputError(f"The frame cannot be understood: {problem}.", code="frame_invalid", problems=(problem,))
