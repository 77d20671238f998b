"""What a message is: something said on a topic, with a place in the order of all messages of its tenant.

Positions of a tenant are 1, 2, 3 and so on without a gap, and no reader sees n+1 before n: who has seen a position has seen all
below it, and resumes from it. `ttl` says how long a message is worth delivering; history keeps it longer (see `Retention`). A
message that is not to persist takes its place in the order all the same, and is gone a minute later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, Literal
from uuid import UUID

import msgspec
import orjson
import uuid_utils.compat as uuid_utils

from resources.errors import InvalidInputError, LimitExceededError, Problem
from resources.realtime import topics

MessageType = Literal["progress", "notification", "agent", "control", "heartbeat", "ack", "error", "custom"]
DeliveryStatus = Literal["sent", "delivered", "read", "failed"]

RUN_TENANT_TAG = "aiw/tenant"
"""The tag of Dagster's runs that tells for which tenant they work."""

MAX_BYTES = 1024 * 1024
MAX_TARGETS = 1000
MAX_PAGE = 1000
TRANSIENT_SECONDS = 60.0
_SECRET_HEADERS = frozenset({"authorization", "cookie", "x-api-key"})
_MAX_HEADERS = 50
_ALL = 100


class Priority(IntEnum):
    """How much a message matters when a reader is too slow for all of them."""

    LOW = 0
    NORMAL = 1
    HIGH = 2
    CRITICAL = 3


def new_message_id() -> UUID:
    """A UUIDv7."""
    return uuid_utils.uuid7()


class NewMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message to publish. With `targets` only these users get it, subscribed or not.

    `required_subscriptions`: only who is subscribed to all of these gets it. `max_targets`: at most so many connections of each
    process get it at once. `ack`: for each target it is noted whether it was delivered and read.
    """

    topic: str
    content: Any
    message_id: UUID = msgspec.field(default_factory=new_message_id)
    sender: str | None = None
    type: MessageType = "custom"
    routing_key: str | None = None
    priority: Priority = Priority.NORMAL
    headers: Mapping[str, str] = msgspec.field(default_factory=dict)
    targets: tuple[str, ...] = ()
    required_subscriptions: tuple[str, ...] = ()
    max_targets: int | None = None
    ttl: float | None = None
    persist: bool = True
    ack: bool = False


class Message(NewMessage, frozen=True, kw_only=True):
    """A message that was published."""

    tenant: str
    position: int
    created_at: datetime
    expires_at: datetime | None = None

    def live_at(self, now: datetime) -> bool:
        """Whether it is still worth delivering."""
        return self.expires_at is None or self.expires_at > now


class Delivery(msgspec.Struct, frozen=True):
    """What became of a message at one of its targets."""

    message_id: UUID
    user: str
    status: DeliveryStatus
    at: datetime


class Conversation(msgspec.Struct, frozen=True):
    """Two users who wrote to each other. `topic` is `dm_<a>_<b>`; the position is that of the newest message."""

    topic: str
    members: tuple[str, ...]
    position: int
    updated_at: datetime


class RunEntry(msgspec.Struct, frozen=True):
    """One entry of the log of a run: `content` has event, step, level and message."""

    id: int
    tenant: str
    at: datetime
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Retention:
    """How long messages are kept."""

    messages: timedelta = timedelta(days=365)
    transient: timedelta = timedelta(seconds=TRANSIENT_SECONDS)


class Notice(msgspec.Struct, frozen=True):
    """Something happened that readers want to look at; holds ids, never contents.

    message (position) | delivery (message id, user, status, sender) | presence (user) | typing (topic, user, start or end) |
    rules () | lost (): notices may have been missed | run (run id, event id) | events ()
    """

    kind: str
    tenant: str = ""
    ids: tuple[str, ...] = ()


def checked(message: NewMessage) -> NewMessage:
    """The message as it may be stored, its secret headers left out. Raises InvalidInputError with every problem listed."""
    problems = list(_problems(message))
    if problems:
        listed = "; ".join(map(str, problems))
        raise InvalidInputError(
            f"The message is not valid: {listed}.", code="message_invalid", problems=tuple(problems)
        )
    size = len(_encoded(message.content))
    if size > MAX_BYTES:
        raise LimitExceededError(
            f"The message has {size} bytes; {MAX_BYTES} are allowed. Store it elsewhere and send its address.",
            code="CONTENT_TOO_LARGE",
            limit_bytes=MAX_BYTES,
        )
    if any(name.lower() in _SECRET_HEADERS for name in message.headers):
        kept = {name: value for name, value in message.headers.items() if name.lower() not in _SECRET_HEADERS}
        return msgspec.structs.replace(message, headers=kept)
    return message


def as_direct(sender: str, to: str, content: Any, **fields: Any) -> NewMessage:
    """A message from one user to another."""
    return NewMessage(
        topic=topics.direct_topic(sender, to), content=content, sender=sender, targets=(to,), ack=True, **fields
    )


def _problems(message: NewMessage) -> list[Problem]:
    problems: list[Problem] = []
    try:
        topics.check_topic(message.topic)
    except InvalidInputError as error:
        problems += error.problems
    try:
        if b"\\u0000" in _encoded(message.content):
            problems.append(Problem("content", "holds a NUL character", "leave it out"))
    except TypeError as error:
        problems.append(Problem("content", f"is not JSON: {error}"))
    texts = [
        message.sender or "",
        message.routing_key or "",
        *message.targets,
        *message.headers,
        *message.headers.values(),
    ]
    if any("\x00" in text or not _is_unicode(text) for text in texts):
        problems.append(Problem("message", "a name, key or header holds a character that cannot be stored"))
    if len(message.headers) > _MAX_HEADERS:
        problems.append(Problem("headers", f"{len(message.headers)} headers; {_MAX_HEADERS} are allowed"))
    if len(message.targets) > MAX_TARGETS:
        problems.append(Problem("targets", f"{len(message.targets)} targets; {MAX_TARGETS} are allowed", "use a topic"))
    if message.ttl is not None and not 0 < message.ttl <= 10 * 365 * 86400:
        problems.append(Problem("ttl", f"{message.ttl} seconds: the message is expired", "more than 0"))
    if message.routing_key is not None and len(message.routing_key) > topics.MAX_LENGTH:
        problems.append(Problem("routing_key", f"more than {topics.MAX_LENGTH} characters"))
    if message.type == "progress" and not _is_progress(message.content):
        problems.append(Problem("content.progress", "a message of type progress has one, from 0 to 100"))
    return problems


def _is_progress(content: Any) -> bool:
    value = content.get("progress") if isinstance(content, dict) else content
    return isinstance(value, int | float) and 0 <= value <= _ALL


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _encoded(content: Any) -> bytes:
    return orjson.dumps(content)
