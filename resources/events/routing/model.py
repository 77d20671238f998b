"""Rules, and the pure decision where an event goes.

A pattern is a dotted type whose parts may be `*` (one part) or, at the end, `**` (all that is left): `document.*`, `ai.**`. A
condition looks at one value of the data by its path: `size_bytes > 1000`, `tags contains "urgent"`. All conditions must hold; a
path that leads nowhere makes every condition false but `exists: false`. `like` knows `*`, `?` and `[...]` and takes linear time,
which regular expressions of strangers do not.
"""

from __future__ import annotations

import re
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field, field_validator

from resources.errors import InvalidInputError, Problem
from resources.events.model import RecordedEvent

if TYPE_CHECKING:
    from collections.abc import Iterable

_PATTERN = re.compile(r"(\*|[a-z][a-z0-9_]*)(\.(\*|[a-z][a-z0-9_]*))*(\.\*\*)?|\*\*")
ROUTING = "dagster.event_routes"
"""The subscription under which the sensor that applies the rules notes how far it is."""

_PLACE = re.compile(r"\$\{([^{}]+)\}")
_MISSING = object()

Operator = Literal["==", "!=", ">", ">=", "<", "<=", "in", "contains", "like", "exists"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Condition(_Frozen):
    """`path` is dotted (`order.lines.0.price`); `value` is compared by `operator`."""

    path: str = Field(min_length=1, max_length=500)
    operator: Operator
    value: Any = None

    def holds(self, data: Any) -> bool:
        """Whether the condition is true. A comparison that makes no sense (a text with a number) is false."""
        found = _at(data, self.path)
        if self.operator == "exists":
            return (found is not _MISSING) == (self.value is not False)
        if found is _MISSING:
            return False
        try:
            return self._compare(found)
        except TypeError:
            return False

    def _compare(self, found: Any) -> bool:
        match self.operator:
            case "==":
                return bool(found == self.value)
            case "!=":
                return bool(found != self.value)
            case ">":
                return bool(found > self.value)
            case ">=":
                return bool(found >= self.value)
            case "<":
                return bool(found < self.value)
            case "<=":
                return bool(found <= self.value)
            case "in":
                return found in self.value
            case "contains":
                return self.value in found
            case _:
                return isinstance(found, str) and fnmatchcase(found, str(self.value))


class StartWorkflow(_Frozen):
    """Start a run of the workflow.

    A text of `run_config` that is `${path}` and nothing else is replaced by what stands there in the event: `${data.topic}`,
    `${stream.id}`, `${event_id}`, `${position}`. `partition` is such a text, too, for workflows that are partitioned.

    `inputs` and `when` are a published workflow's: expressions over `event` (and `run`, for the end of one), which whoever
    starts the run fills in.
    """

    kind: Literal["workflow"] = "workflow"
    workflow: str = Field(pattern=r"^[A-Za-z0-9_]{1,200}$")
    run_config: dict[str, Any] = Field(default_factory=dict)
    partition: str | None = Field(default=None, min_length=1, max_length=500)
    inputs: dict[str, Any] = Field(default_factory=dict)
    when: str | None = Field(default=None, min_length=1, max_length=2000)

    def filled_in(self, event: RecordedEvent) -> tuple[dict[str, Any], str | None]:
        """Run config and partition for the event. Raises InvalidInputError when it lacks what they ask for."""
        facts = {
            "data": event.data,
            "tenant": event.tenant,
            "type": event.type,
            "event_id": str(event.event_id),
            "position": event.position,
            "version": event.version,
            "stream": {"type": event.stream.type, "id": event.stream.id},
            "occurred_at": event.occurred_at.isoformat(),
            "correlation_id": event.metadata.correlation_id,
        }
        partition = None if self.partition is None else str(_fill_in(self.partition, facts))
        return _fill_in(self.run_config, facts), partition


class Forward(_Frozen):
    """Hand the event to a subscription."""

    kind: Literal["subscription"] = "subscription"
    subscription: str = Field(min_length=1, max_length=200)


class Publish(_Frozen):
    """Publish the event to a realtime topic, as a message whose content is the event."""

    kind: Literal["topic"] = "topic"
    topic: str = Field(min_length=1, max_length=200)


class Rule(_Frozen):
    """Events that fit one of `types`, one of `stream_types` (if any) and all `conditions` go to `action`."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,99}$")
    types: tuple[str, ...] = Field(min_length=1, max_length=100)
    stream_types: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = Field(default=(), max_length=50)
    action: StartWorkflow | Forward | Publish = Field(discriminator="kind")

    @field_validator("types")
    @classmethod
    def _patterns(cls, types: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in types:
            if _PATTERN.fullmatch(pattern) is None:
                raise ValueError(f"{pattern!r} is not a pattern like 'document.*' or 'ai.**'")
        return types

    def why_not(self, event: RecordedEvent) -> str | None:
        """None when the event fits, else the first thing that does not."""
        if not any(fits(pattern, event.type) for pattern in self.types):
            return f"type {event.type} fits none of {', '.join(self.types)}"
        if self.stream_types and event.stream.type not in self.stream_types:
            return f"stream type {event.stream.type} is none of {', '.join(self.stream_types)}"
        for condition in self.conditions:
            if not condition.holds(event.data):
                return f"{condition.path} {condition.operator} {condition.value!r} does not hold"
        return None


class StoredRule(msgspec.Struct, frozen=True):
    """One version of a rule of a tenant."""

    tenant: str
    version: int
    enabled: bool
    rule: Rule
    changed_by: str | None
    changed_at: datetime


class Routed(msgspec.Struct, frozen=True):
    """One event meeting one rule. `run_key` names what the rule starts: the same event starts it once."""

    event: RecordedEvent
    rule: StoredRule
    reason: str | None

    @property
    def matched(self) -> bool:
        return self.reason is None

    @property
    def run_key(self) -> str:
        return f"{self.event.event_id}:{self.rule.rule.name}"


def route(events: Iterable[RecordedEvent], rules: Iterable[StoredRule]) -> list[Routed]:
    """Every enabled rule of the event's tenant against every event, in order; also what did not match, and why."""
    in_force = [rule for rule in rules if rule.enabled]
    return [
        Routed(event, rule, rule.rule.why_not(event))
        for event in events
        for rule in in_force
        if rule.tenant == event.tenant
    ]


def in_force(history: Iterable[StoredRule], event: RecordedEvent) -> list[StoredRule]:
    """The rules of the event's tenant as they stood when it was recorded, enabled ones alone, by name.

    So a rule never acts on what happened before it was made, however late the event is looked at.
    """
    newest: dict[str, StoredRule] = {}
    for stored in history:
        if stored.tenant == event.tenant and stored.changed_at <= event.recorded_at:
            known = newest.get(stored.rule.name)
            if known is None or known.version < stored.version:
                newest[stored.rule.name] = stored
    return [newest[name] for name in sorted(newest) if newest[name].enabled]


def expand(patterns: Iterable[str], known: Iterable[str]) -> set[str]:
    """The types that fit one of the patterns. A name without stars stands for itself, known or not.

    Raises InvalidInputError for what is neither a name nor a pattern, and for a pattern that fits no known type.
    """
    types = tuple(known)
    found: set[str] = set()
    problems = []
    for pattern in patterns:
        fitting = {name for name in types if fits(pattern, name)} if "*" in pattern else {pattern}
        if _PATTERN.fullmatch(pattern) is None:
            problems.append(Problem("types", f"{pattern!r} is not a type or pattern", "like 'document.*' or 'ai.**'"))
        elif not fitting:
            problems.append(Problem("types", f"{pattern!r} fits no type of event"))
        found |= fitting
    if problems:
        message = f"Cannot choose types of events: {'; '.join(map(str, problems))}."
        raise InvalidInputError(message, code="query_invalid", problems=tuple(problems))
    return found


def fits(pattern: str, type: str) -> bool:
    """Whether an event type fits a pattern."""
    wanted, parts = pattern.split("."), type.split(".")
    if wanted[-1] == "**":
        wanted.pop()
        if len(parts) <= len(wanted) - (not wanted):
            return False
        parts = parts[: len(wanted)]
    return len(wanted) == len(parts) and all(one in {"*", part} for one, part in zip(wanted, parts, strict=True))


def _fill_in(value: Any, facts: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _fill_in(item, facts) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill_in(item, facts) for item in value]
    if not isinstance(value, str) or (named := _PLACE.fullmatch(value)) is None:
        return value
    found = _at(facts, named[1])
    if found is _MISSING:
        raise InvalidInputError(f"The event has nothing at {named[1]!r}, which the rule wants to hand on.")
    return found


def _at(data: Any, path: str) -> Any:
    for part in path.split("."):
        if isinstance(data, dict):
            data = data.get(part, _MISSING)
        elif isinstance(data, list) and part.isdecimal() and int(part) < len(data):
            data = data[int(part)]
        else:
            return _MISSING
    return data
