"""Read models in this process's memory."""

from __future__ import annotations

import copy
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from resources.errors import NotFoundError
from resources.events.projections.model import ProjectionState, ProjectionStatus, RebuildStatus, storable_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from resources.events.projections.model import Row, RowKey, Rows


class _Generation(msgspec.Struct):
    version: int
    started_at: datetime
    position: int = 0
    events: int = 0
    rows: dict[tuple[str, str], dict[str, object]] = {}


class _Projection(msgspec.Struct):
    version: int
    active: int
    generations: dict[int, _Generation]
    state: ProjectionState = "building"
    error: str | None = None
    rebuilding: int | None = None
    busy: set[int] = set()


class _Batch:
    def __init__(self, generation: _Generation) -> None:
        self._generation = generation
        self.saved: tuple[Rows, int, int] | None = None

    @property
    def position(self) -> int:
        return self._generation.position

    def load(self, keys: Iterable[RowKey]) -> Mapping[RowKey, Row]:
        return {key: copy.deepcopy(self._generation.rows[key]) for key in keys if key in self._generation.rows}

    def save(self, rows: Rows, *, position: int, events: int) -> None:
        self.saved = (rows, position, events)


class MemoryProjections:
    """All promises of the port but durability."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._projections: dict[str, _Projection] = {}

    def define(self, name: str, *, version: int) -> None:
        with self._lock:
            if name not in self._projections:
                first = _Generation(version, datetime.now(UTC))
                self._projections[name] = _Projection(version, 1, {1: first})

    def status(self, name: str) -> ProjectionStatus:
        with self._lock:
            found = self._get(name)
            active = found.generations[found.active]
            rebuilding = None
            if found.rebuilding is not None:
                new = found.generations[found.rebuilding]
                rebuilding = RebuildStatus(found.rebuilding, new.version, new.position, new.events, new.started_at)
            return ProjectionStatus(
                name,
                found.version,
                found.state,
                active.position,
                active.events,
                found.error,
                rebuilding,
                datetime.now(UTC),
            )

    def list(self) -> Sequence[ProjectionStatus]:
        with self._lock:
            return [self.status(name) for name in sorted(self._projections)]

    @contextmanager
    def batch(self, name: str, *, generation: int | None = None) -> Iterator[_Batch | None]:
        with self._lock:
            found = self._get(name)
            number = found.active if generation is None else generation
            stopped = generation is None and found.state == "stopped"
            if number in found.busy or number not in found.generations or stopped:
                free = None
            else:
                found.busy.add(number)
                free = _Batch(found.generations[number])
        if free is None:
            yield None
            return
        try:
            yield free
            with self._lock:
                self._store(found, number, free)
        finally:
            with self._lock:
                found.busy.discard(number)

    def advance(self, names: Collection[str], *, after: int, to: int) -> None:
        with self._lock:
            for name in names:
                found = self._get(name)
                if found.active in found.busy or found.state == "stopped":
                    continue
                if found.generations[found.active].position == after:
                    found.generations[found.active].position = to
                    if found.state in {"building", "failed"}:
                        found.state, found.error = "active", None

    def begin_rebuild(self, name: str, *, version: int) -> int:
        with self._lock:
            found = self._get(name)
            if found.rebuilding is not None and found.generations[found.rebuilding].version == version:
                return found.rebuilding
            found.rebuilding = max(found.generations) + 1
            found.generations[found.rebuilding] = _Generation(version, datetime.now(UTC))
            found.state = "rebuilding"
            return found.rebuilding

    def finish_rebuild(self, name: str, generation: int) -> bool:
        with self._lock:
            found = self._get(name)
            new, old = found.generations[generation], found.generations[found.active]
            if new.position < old.position:
                return False
            del found.generations[found.active]
            found.active, found.rebuilding, found.version = generation, None, new.version
            found.state, found.error = "active", None
            return True

    def cancel_rebuild(self, name: str) -> None:
        with self._lock:
            found = self._get(name)
            if found.rebuilding is not None:
                del found.generations[found.rebuilding]
                found.rebuilding, found.state = None, "active"

    def is_cancelled(self, name: str, generation: int) -> bool:
        with self._lock:
            return self._get(name).rebuilding != generation

    def note_failure(self, name: str, error: str) -> None:
        with self._lock:
            found = self._get(name)
            found.state, found.error = "failed", error

    def stop(self, name: str) -> None:
        with self._lock:
            self._get(name).state = "stopped"

    def start(self, name: str) -> None:
        with self._lock:
            found = self._get(name)
            found.state, found.error = "building", None

    def size(self, name: str) -> int:
        with self._lock:
            found = self._get(name)
            return len(found.generations[found.active].rows)

    def get(self, name: str, key: str, *, tenant: str) -> Row | None:
        with self._lock:
            found = self._get(name)
            return copy.deepcopy(found.generations[found.active].rows.get((tenant, storable_key(key))))

    def get_many(self, name: str, keys: Collection[str], *, tenant: str) -> Mapping[str, Row]:
        found = ((key, self.get(name, key, tenant=tenant)) for key in keys)
        return {key: row for key, row in found if row is not None}

    def rows(
        self, name: str, *, tenant: str, prefix: str = "", after: str = "", limit: int = 100
    ) -> Sequence[tuple[str, Row]]:
        with self._lock:
            found = self._get(name)
            rows = sorted(found.generations[found.active].rows.items())
            wanted = [
                (key, copy.deepcopy(row))
                for (owner, key), row in rows
                if owner == tenant and key.startswith(prefix) and key > after
            ]
            return wanted[:limit]

    def _store(self, found: _Projection, number: int, batch: _Batch) -> None:
        if batch.saved is None:
            return
        rows, position, events = batch.saved
        generation = found.generations.get(number)
        if generation is None:
            return
        generation.rows.update({key: copy.deepcopy(row) for key, row in rows.changed()})
        for key in rows.removed:
            generation.rows.pop(key, None)
        generation.position, generation.events = position, generation.events + events
        if number == found.active and found.state in {"building", "failed"}:
            found.state, found.error = "active", None

    def _get(self, name: str) -> _Projection:
        if name not in self._projections:
            raise NotFoundError(f"There is no projection {name!r}.")
        return self._projections[name]
