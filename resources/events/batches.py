"""Who of a batch may write, and at which versions: the pure part of the group commit.

A *unit* is one caller's append: to one stream or, all or nothing, to several. Units are looked at in the order of their
arrival; each sees the streams as the earlier ones leave them, just as if it had come alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from resources.errors import PlatformError
from resources.events import envelope

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from resources.events.envelope import PreparedAppend
    from resources.events.model import Appended, RecordedEvent, StreamId

    StreamKey = tuple[str, StreamId]
    Known = Mapping[tuple[str, UUID], RecordedEvent]


class Unit(NamedTuple):
    """What must be stored together."""

    tenant: str
    appends: tuple[PreparedAppend, ...]

    @property
    def streams(self) -> list[StreamKey]:
        return [(self.tenant, append.stream) for append in self.appends]

    @property
    def event_ids(self) -> set[UUID]:
        return {event.event_id for append in self.appends for event in append.events}

    @property
    def size(self) -> int:
        """How many events."""
        return sum(len(append.events) for append in self.appends)


class Accepted(NamedTuple):
    """A unit that will be written, behind version `heads[i]` of its i-th stream."""

    number: int
    unit: Unit
    heads: tuple[int, ...]


class Plan(NamedTuple):
    """What becomes of each unit, by its number in the batch. `later` must wait for what this batch stores."""

    accepted: list[Accepted]
    answered: dict[int, tuple[Appended, ...]]
    refused: dict[int, PlatformError]
    later: list[int]


def plan(units: Sequence[Unit], heads: Mapping[StreamKey, int], known: Known | None = None) -> Plan:
    """Decide. `known` holds the events of the batch that are stored already; None = not looked up."""
    now = dict(heads)
    result = Plan([], {}, {}, [])
    taken: set[tuple[str, UUID]] = set()
    for number, unit in enumerate(units):
        if known is not None:
            ids = {(unit.tenant, event_id) for event_id in unit.event_ids}
            if not taken.isdisjoint(ids):
                result.later.append(number)
                continue
            try:
                stored = {event_id: known[key] for key in ids if key in known for event_id in [key[1]]}
                answer = envelope.already_stored(unit.appends, stored)
            except PlatformError as error:
                result.refused[number] = error
                continue
            if answer is not None:
                result.answered[number] = answer
                continue
            taken |= ids
        found = tuple(now[key] for key in unit.streams)
        wrong = _unexpected(unit, found)
        if wrong is not None:
            result.refused[number] = wrong
            continue
        result.accepted.append(Accepted(number, unit, found))
        for append, head in zip(unit.appends, found, strict=True):
            now[unit.tenant, append.stream] = head + len(append.events)
    return result


def _unexpected(unit: Unit, heads: Sequence[int]) -> PlatformError | None:
    for append, head in zip(unit.appends, heads, strict=True):
        if not envelope.is_expected(append.expected_version, head):
            return envelope.conflict(append.stream, append.expected_version, head)
    return None
