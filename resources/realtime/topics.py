"""Names of topics, and patterns of them. Each tenant has a namespace of its own, which is no part of the name.

A topic is dotted (`orders.created`). In a pattern a part may be `*` (one part) or, at the end, `**` (all that is left, one part
at least): `orders.*`, `runs.**`. The topics of the platform's own facts (`runs.{id}`, `workflows.{name}`, `documents`,
`budgets`, `presence`, `output.{run id}`) are read by all and published to by nobody. A conversation of two is `dm_<a>_<b>`,
sorted; what is not a letter, digit, `@` or `-` in a user's name is written `~` and two hexadecimal digits a byte, so that no two
pairs share a name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Generic, TypeVar

from resources.errors import InvalidInputError, NotPermittedError, Problem

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

_PART = r"[A-Za-z0-9_:@~+-]{1,100}"
_TOPIC = re.compile(rf"{_PART}(\.{_PART}){{0,15}}")
_PATTERN = re.compile(rf"(\*|{_PART})(\.(\*|{_PART})){{0,15}}(\.\*\*)?|\*\*")
_DIRECT = re.compile(r"dm_([A-Za-z0-9@~-]+)_([A-Za-z0-9@~-]+)")
_PLAIN = re.compile(rb"[A-Za-z0-9@-]")
_CACHED = 10_000

MAX_LENGTH = 200
BROADCAST = "broadcast"
PRESENCE = "presence"
OUTPUT = "output"
"""First part of the topics of what runs say while they work."""
LIVE = frozenset({"runs", "workflows", "documents", "budgets"})
"""First parts of the topics that tell the platform's own facts; their positions are the event store's."""
_OWN = LIVE | {PRESENCE, BROADCAST, OUTPUT}

_T = TypeVar("_T", bound="Hashable")


def check_topic(topic: str) -> str:
    """The topic, if it is one. Raises InvalidInputError."""
    if len(topic) > MAX_LENGTH or _TOPIC.fullmatch(topic) is None:
        problem = Problem("topic", f"{topic[:100]!r} is not a topic", "like 'orders.created', at most 200 characters")
        raise InvalidInputError(f"Cannot use the topic: {problem}.", code="topic_invalid", problems=(problem,))
    return topic


def check_pattern(pattern: str) -> str:
    """The topic or pattern, if it is one. Raises InvalidInputError."""
    if len(pattern) > MAX_LENGTH or _PATTERN.fullmatch(pattern) is None:
        problem = Problem("topics", f"{pattern[:100]!r} is not a topic or pattern", "like 'orders.*' or 'runs.**'")
        raise InvalidInputError(f"Cannot use the topic: {problem}.", code="topic_invalid", problems=(problem,))
    return pattern


def check_publishable(topic: str) -> str:
    """The topic, if anybody may publish to it. Raises InvalidInputError; NotPermittedError for the platform's own."""
    check_topic(topic)
    if topic.partition(".")[0] in _OWN or is_direct(topic):
        message = f"Nobody publishes to {topic!r}: the platform alone speaks there. Choose another topic."
        raise NotPermittedError(message, code="topic_reserved", topic=topic)
    return topic


def is_pattern(topic: str) -> bool:
    """Whether it may mean several topics."""
    return "*" in topic


def is_live(pattern: str) -> bool | None:
    """Whether the platform's own facts are meant (True), messages (False), or both (None)."""
    first = pattern.partition(".")[0]
    return None if first in {"*", "**"} else first in LIVE


def fits(pattern: str, topic: str) -> bool:
    """Whether a topic fits a pattern."""
    wanted, parts = pattern.split("."), topic.split(".")
    if wanted[-1] == "**":
        wanted.pop()
        if len(parts) <= len(wanted):
            return False
        parts = parts[: len(wanted)]
    return len(wanted) == len(parts) and all(one in {"*", part} for one, part in zip(wanted, parts, strict=True))


def as_regex(pattern: str) -> str:
    """The pattern as a regular expression that PostgreSQL and Python read alike."""
    parts = ["(.+)" if part == "**" else "([^.]+)" if part == "*" else re.escape(part) for part in pattern.split(".")]
    return f"^{'[.]'.join(parts)}$"


def direct_topic(one: str, other: str) -> str:
    """The conversation of two users, the same for both."""
    first, second = sorted([one, other])
    return f"dm_{_escape(first)}_{_escape(second)}"


def is_direct(topic: str) -> bool:
    """Whether it is the conversation of two users."""
    return topic.startswith("dm_")


def members(topic: str) -> tuple[str, str] | None:
    """The two users of a conversation; None when it is none."""
    found = _DIRECT.fullmatch(topic)
    if found is None:
        return None
    try:
        return _unescape(found[1]), _unescape(found[2])
    except ValueError:
        return None


class TopicIndex(Generic[_T]):
    """Who is subscribed to what, for one tenant. Answers are remembered until a subscription changes them."""

    def __init__(self) -> None:
        self._exact: dict[str, set[_T]] = {}
        self._patterns: dict[str, set[_T]] = {}
        self._found: dict[str, tuple[_T, ...]] = {}

    def add(self, pattern: str, subscriber: _T) -> None:
        table = self._patterns if is_pattern(pattern) else self._exact
        table.setdefault(pattern, set()).add(subscriber)
        self._forget(pattern)

    def remove(self, pattern: str, subscriber: _T) -> None:
        table = self._patterns if is_pattern(pattern) else self._exact
        subscribers = table.get(pattern)
        if subscribers is None:
            return
        subscribers.discard(subscriber)
        if not subscribers:
            del table[pattern]
        self._forget(pattern)

    def matching(self, topic: str) -> tuple[_T, ...]:
        """All subscribers of the topic, each once. A conversation is nobody's topic: its messages go to its members."""
        if is_direct(topic):
            return ()
        found = self._found.get(topic)
        if found is None:
            sets = [who for pattern, who in self._patterns.items() if fits(pattern, topic)]
            found = tuple(self._exact.get(topic, set()).union(*sets))
            if len(self._found) >= _CACHED:
                self._found.clear()
            self._found[topic] = found
        return found

    def _forget(self, pattern: str) -> None:
        if is_pattern(pattern):
            self._found.clear()
        else:
            self._found.pop(pattern, None)


def any_fits(patterns: Iterable[str], topic: str) -> bool:
    """Whether a topic fits one of the patterns."""
    return any(pattern == topic or fits(pattern, topic) for pattern in patterns)


def _escape(user: str) -> str:
    return "".join(
        chr(byte) if _PLAIN.fullmatch(bytes([byte])) else f"~{byte:02x}" for byte in user.encode("utf-8", "replace")
    )


def _unescape(text: str) -> str:
    parts = text.split("~")
    raw = parts[0].encode() + b"".join(bytes.fromhex(part[:2]) + part[2:].encode() for part in parts[1:])
    return raw.decode()
