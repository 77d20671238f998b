"""What a projection is: a pure function from events to rows; and where its rows stand."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from resources.events.model import RecordedEvent

    Row = dict[str, Any]
    RowKey = tuple[str, str]

ProjectionState = Literal["building", "active", "rebuilding", "failed", "stopped"]


_LONGEST_KEY = 500


def storable_key(key: str) -> str:
    """The key as a column and its index can hold it: ids come from events, and an event may say anything."""
    if len(key) <= _LONGEST_KEY and "\x00" not in key:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{key[: _LONGEST_KEY - len(digest) - 1]}~{digest}".replace("\x00", "\N{REPLACEMENT CHARACTER}")


class Rows:
    """The rows that a batch of events touches. Change what `row` gives; it is saved with the checkpoint."""

    def __init__(self, load: Callable[[Iterable[RowKey]], Mapping[RowKey, Row]]) -> None:
        self._load = load
        self._rows: dict[RowKey, Row] = {}
        self._removed: set[RowKey] = set()

    def prefetch(self, keys: Iterable[RowKey]) -> None:
        """Load many rows at once."""
        missing = {(tenant, storable_key(key)) for tenant, key in keys} - self._rows.keys()
        if missing:
            found = self._load(missing)
            self._rows.update({key: found.get(key, {}) for key in missing})

    def row(self, tenant: str, key: str) -> Row:
        """The row, to be changed in place; empty when it is new."""
        key = storable_key(key)
        if (tenant, key) not in self._rows:
            self.prefetch([(tenant, key)])
        self._removed.discard((tenant, key))
        return self._rows[tenant, key]

    def remove(self, tenant: str, key: str) -> None:
        """Delete the row."""
        self._rows[tenant, storable_key(key)] = {}
        self._removed.add((tenant, storable_key(key)))

    def changed(self) -> Iterator[tuple[RowKey, Row]]:
        """What is to be saved, in a fixed order, so that two transactions cannot deadlock."""
        return ((key, self._rows[key]) for key in sorted(self._rows) if self._rows[key])

    @property
    def removed(self) -> list[RowKey]:
        return sorted(self._removed)


class Projection:
    """Base of projections. Raise `version` whenever `apply` changes: the rows are then built anew.

    `apply` depends on the event and the rows alone; it sees each event exactly once, in order of position.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    types: ClassVar[frozenset[str]]

    def keys(self, event: RecordedEvent) -> tuple[str, ...]:
        """The rows that `apply` will surely ask for, so that they can be loaded together."""
        raise NotImplementedError

    def apply(self, event: RecordedEvent, rows: Rows) -> None:
        """Change the rows."""
        raise NotImplementedError


class ProjectionStatus(msgspec.Struct, frozen=True):
    """Where a projection stands. `version` is that of its rows, which may be older than the code's."""

    name: str
    version: int
    state: ProjectionState
    position: int
    events: int
    error: str | None
    rebuilding: RebuildStatus | None
    updated_at: datetime


class RebuildStatus(msgspec.Struct, frozen=True):
    """How far the rows beside the active ones are."""

    generation: int
    version: int
    position: int
    events: int
    started_at: datetime


class Progress(msgspec.Struct, frozen=True):
    """Told after each batch of a long piece of work."""

    position: int
    head: int
    events: int
    seconds: float

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return 1.0 if self.head <= 0 else min(1.0, self.position / self.head)
