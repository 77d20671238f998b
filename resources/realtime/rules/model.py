"""Rules of routing, and the pure decision what becomes of a message.

A rule applies when all conditions that it sets hold. Rules are tried by priority, the highest first, each on what the former made
of the message; a terminal one ends it. Rules marked `default` apply when no other did.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Self

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from resources.errors import LimitExceededError
from resources.realtime import topics
from resources.realtime.limits import TokenBucket
from resources.realtime.model import MAX_TARGETS, MessageType, NewMessage, Priority
from resources.realtime.rules.expressions import check_expression, matches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from resources.realtime.store import RuleStore

_CACHE_SECONDS = 300.0
_CACHE_SIZE = 10_000
_REFRESH = 5.0


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Conditions(_Frozen):
    """What is not set holds. `content` names fields by dotted paths and what they must be."""

    routing_key: str | None = Field(default=None, max_length=200, description="Regular expression")
    topic: str | None = Field(default=None, max_length=200, description="Regular expression")
    sender: str | None = Field(default=None, max_length=200, description="Regular expression")
    types: tuple[MessageType, ...] = ()
    senders: tuple[str, ...] = Field(default=(), max_length=1000)
    headers: dict[str, str] = Field(default_factory=dict, max_length=50)
    content: dict[str, Any] = Field(default_factory=dict, max_length=50)

    @field_validator("routing_key", "topic", "sender")
    @classmethod
    def _is_expression(cls, expression: str | None) -> str | None:
        return None if expression is None else check_expression(expression)

    def hold_for_route(self, message: NewMessage) -> bool:
        """The conditions on routing key, topic, sender and type: their answer is the same for all messages of one route."""
        return (
            _matches(self.routing_key, message.routing_key)
            and _matches(self.topic, message.topic)
            and _matches(self.sender, message.sender)
            and (not self.types or message.type in self.types)
            and (not self.senders or message.sender in self.senders)
        )

    def hold_for_content(self, message: NewMessage) -> bool:
        """The conditions on headers and content."""
        return all(message.headers.get(name) == value for name, value in self.headers.items()) and all(
            _at(message.content, path) == value for path, value in self.content.items()
        )


class Transform(_Frozen):
    """What is changed of the message."""

    routing_key: str | None = Field(default=None, max_length=200)
    topic: str | None = Field(default=None, max_length=200)
    add_headers: dict[str, str] = Field(default_factory=dict, max_length=50)
    priority: Priority | None = None

    @field_validator("topic")
    @classmethod
    def _is_topic(cls, topic: str | None) -> str | None:
        return None if topic is None else topics.check_publishable(topic)


class Targets(_Frozen):
    """Who gets the message."""

    user_ids: tuple[str, ...] = Field(default=(), max_length=MAX_TARGETS)
    required_subscriptions: tuple[str, ...] = Field(default=(), max_length=20)
    max_targets: int | None = Field(default=None, ge=1, le=MAX_TARGETS)


class RateLimit(_Frozen):
    """So many messages a second pass, for each process that publishes."""

    per_second: float = Field(gt=0, le=1_000_000)
    burst: float = Field(default=1, ge=1, le=1_000_000)


class Actions(_Frozen):
    """What is done with the message."""

    targets: Targets | None = None
    transform: Transform | None = None
    persist: bool | None = None
    priority: Priority | None = None
    rate_limit: RateLimit | None = None

    def applied(self, message: NewMessage) -> NewMessage:
        """The message after these actions."""
        changes: dict[str, Any] = {}
        if self.targets is not None:
            changes["targets"] = self.targets.user_ids or message.targets
            changes["required_subscriptions"] = self.targets.required_subscriptions or message.required_subscriptions
            changes["max_targets"] = self.targets.max_targets or message.max_targets
        if self.transform is not None:
            changes["routing_key"] = self.transform.routing_key or message.routing_key
            changes["topic"] = self.transform.topic or message.topic
            changes["headers"] = {**message.headers, **self.transform.add_headers}
            if self.transform.priority is not None:
                changes["priority"] = self.transform.priority
        if self.persist is not None:
            changes["persist"] = self.persist
        if self.priority is not None:
            changes["priority"] = self.priority
        return msgspec.structs.replace(message, **changes) if changes else message


class Rule(_Frozen):
    """Messages for which `when` holds get `then`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,99}$")
    enabled: bool = True
    priority: int = Field(default=0, ge=-1_000_000, le=1_000_000, description="The highest is tried first")
    terminal: bool = Field(default=False, description="No further rule is tried")
    default: bool = Field(default=False, description="Applies only when no other rule did")
    when: Conditions = Conditions()
    then: Actions = Actions()

    @model_validator(mode="after")
    def _can_be_stored(self) -> Self:
        if "\\u0000" in self.model_dump_json():
            raise ValueError("a rule cannot hold the character NUL")
        return self


class Table:
    """The rules of one tenant at one time. Which rules a route meets is remembered for five minutes.

    Who is subscribed is no part of it, so a new subscriber is never overlooked for what was remembered.
    """

    def __init__(self, rules: Iterable[Rule], *, clock: Callable[[], float] = time.monotonic) -> None:
        in_order = sorted((rule for rule in rules if rule.enabled), key=lambda rule: (-rule.priority, rule.name))
        self.rules = tuple(in_order)
        self._clock = clock
        self._found: OrderedDict[tuple[Any, ...], tuple[float, tuple[Rule, ...]]] = OrderedDict()
        self._buckets: dict[str, TokenBucket] = {}

    def route(self, message: NewMessage) -> tuple[NewMessage, tuple[str, ...]]:
        """What becomes of the message, and the names of the rules that applied.

        Raises LimitExceededError when a rule lets no more pass now.
        """
        if not self.rules:
            return message, ()
        met = [rule for rule in self._of_route(message) if rule.when.hold_for_content(message)]
        chosen = [rule for rule in met if not rule.default] or [rule for rule in met if rule.default]
        applied = []
        for rule in chosen:
            self._check_rate(rule)
            message = rule.then.applied(message)
            applied.append(rule.name)
            if rule.terminal:
                break
        return message, tuple(applied)

    def _of_route(self, message: NewMessage) -> tuple[Rule, ...]:
        key = (message.routing_key, message.topic, message.sender, message.type)
        now = self._clock()
        known = self._found.get(key)
        if known is not None and now - known[0] < _CACHE_SECONDS:
            return known[1]
        found = tuple(rule for rule in self.rules if rule.when.hold_for_route(message))
        self._found[key] = now, found
        self._found.move_to_end(key)
        if len(self._found) > _CACHE_SIZE:
            self._found.popitem(last=False)
        return found

    def _check_rate(self, rule: Rule) -> None:
        limit = rule.then.rate_limit
        if limit is None:
            return
        now = self._clock()
        bucket = self._buckets.get(rule.name)
        if bucket is None:
            bucket = self._buckets[rule.name] = TokenBucket(limit.per_second, limit.burst, now=now)
        if wait := bucket.wait(now):
            raise LimitExceededError(
                f"The rule {rule.name!r} lets no more messages pass now.", code="rule_rate_limited", retry_after=wait
            )
        bucket.take()


class Router:
    """Applies the stored rules. What it read of them is at most five seconds old, or as new as the last `forget`."""

    def __init__(self, rules: RuleStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rules = rules
        self._clock = clock
        self._tables: dict[str, tuple[float, Sequence[Rule], Table]] = {}

    def route(self, message: NewMessage, *, tenant: str) -> NewMessage:
        """What becomes of the message. Raises LimitExceededError, UnavailableError."""
        return self._table(tenant).route(message)[0]

    def forget(self, tenant: str | None = None) -> None:
        """Read the rules anew before they are needed next; those of every tenant, if none is named."""
        for known in [tenant] if tenant is not None else list(self._tables):
            if (entry := self._tables.get(known)) is not None:
                self._tables[known] = (float("-inf"), entry[1], entry[2])

    def _table(self, tenant: str) -> Table:
        now = self._clock()
        known = self._tables.get(tenant)
        if known is not None and now - known[0] < _REFRESH:
            return known[2]
        rules = self._rules.list(tenant=tenant)
        # The same rules keep what their table remembers: how much of a rate is used up, above all.
        table = known[2] if known is not None and list(known[1]) == list(rules) else Table(rules, clock=self._clock)
        self._tables[tenant] = now, rules, table
        return table


def _matches(expression: str | None, text: str | None) -> bool:
    return expression is None or (text is not None and matches(expression, text))


def _at(content: Any, path: str) -> Any:
    for part in path.split("."):
        if not isinstance(content, dict):
            return None
        content = content.get(part)
    return content
