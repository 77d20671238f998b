"""Loads aggregates from their events (and from snapshots, where there are any), and saves what they recorded."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from resources.errors import ConflictError
from resources.events.envelope import canonical
from resources.events.model import DEFAULT_TENANT, Expected
from resources.events.snapshots.model import Snapshot, SnapshotPolicy, pack
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from resources.events.aggregate import Aggregate
    from resources.events.model import Appended, RecordedEvent
    from resources.events.snapshots.store import SnapshotStore
    from resources.events.store import EventStore

log = get_logger(__name__)

A = TypeVar("A", bound="Aggregate[Any]")
_PAGE = 1000


class AggregateRepository:
    """Aggregates of any class. Without `snapshots` every load begins at the first event."""

    def __init__(
        self, store: EventStore, *, snapshots: SnapshotStore | None = None, policy: SnapshotPolicy | None = None
    ) -> None:
        self._store = store
        self._snapshots = snapshots
        self._policy = policy or SnapshotPolicy()

    def load(
        self,
        kind: type[A],
        id: str,
        *,
        up_to_version: int | None = None,
        up_to_position: int | None = None,
        up_to_time: datetime | None = None,
        tenant: str = DEFAULT_TENANT,
    ) -> A | None:
        """The aggregate as it is, or as it was at a version, a global position or a time; None when it was not there.

        Takes a snapshot when one is due. One that is corrupt, or of an older form of the state, is skipped and replaced.
        """
        bounds: dict[str, Any] = {
            "up_to_version": up_to_version,
            "up_to_position": up_to_position,
            "up_to_time": up_to_time,
        }
        aggregate, base, damaged = self._from_snapshot(kind, id, bounds, tenant)
        events, event_bytes, last = 0, 0, None
        while True:
            page = self._store.read_stream(
                aggregate.stream, after_version=aggregate.version, limit=_PAGE, tenant=tenant, **bounds
            )
            for event in page:
                aggregate.replay(event)
                events, last = events + 1, event
            event_bytes += sum(len(canonical(event.data)) for event in page) if self._snapshots else 0
            if len(page) < _PAGE:
                break
        if aggregate.version == 0:
            return None
        age = None if base is None else datetime.now(UTC) - base.taken_at
        is_newest = not any(bounds.values())
        due = damaged or self._policy.is_due(events=events, age=age, event_bytes=event_bytes)
        if is_newest and due and last is not None:
            self._snap(aggregate, last, tenant)
        return aggregate

    def save(self, aggregate: Aggregate[Any], *, tenant: str = DEFAULT_TENANT) -> Appended | None:
        """Append what the aggregate recorded; None when that is nothing.

        Raises ConcurrencyError when somebody else wrote since it was loaded: load it again and repeat the command.
        """
        if not aggregate.pending:
            return None
        before = aggregate.version - len(aggregate.pending)
        expected = before or Expected.NO_STREAM
        appended = self._store.append(aggregate.stream, aggregate.pending, expected_version=expected, tenant=tenant)
        aggregate.pending.clear()
        if aggregate.version // self._policy.events > before // self._policy.events:
            self._snap(aggregate, appended.events[-1], tenant)
        return appended

    def snapshot(self, kind: type[A], id: str, *, tenant: str = DEFAULT_TENANT) -> bool:
        """Take a snapshot now. False when there is no such aggregate, or no store for snapshots."""
        aggregate = self.load(kind, id, tenant=tenant)
        if aggregate is None or self._snapshots is None:
            return False
        last = self._store.read_stream(aggregate.stream, after_version=aggregate.version - 1, limit=1, tenant=tenant)
        self._snap(aggregate, last[0], tenant)
        return True

    def _from_snapshot(
        self, kind: type[A], id: str, bounds: dict[str, Any], tenant: str
    ) -> tuple[A, Snapshot | None, bool]:
        """An aggregate to begin with, the snapshot it comes from, and whether a newer one was of no use."""
        new = kind(id)
        damaged = False
        for snapshot in self._snapshots.newest(new.stream, tenant=tenant, **bounds) if self._snapshots else ():
            if snapshot.state_version != kind.state_version:
                damaged = True
                continue
            try:
                state = kind.state_type.model_validate_json(snapshot.open())
            except (ConflictError, ValidationError) as error:
                log.warning(
                    "events.snapshot_skipped", stream=str(new.stream), version=snapshot.version, error=str(error)
                )
                assert self._snapshots is not None
                self._snapshots.remove(new.stream, snapshot.version, tenant=tenant)
                damaged = True
                continue
            return kind(id, state, version=snapshot.version), snapshot, damaged
        return new, None, damaged

    def _snap(self, aggregate: Aggregate[Any], last: RecordedEvent, tenant: str) -> None:
        if self._snapshots is None:
            return
        encoding, content, checksum = pack(aggregate.state.model_dump_json().encode())
        snapshot = Snapshot(
            tenant=tenant,
            stream=aggregate.stream,
            version=last.version,
            position=last.position,
            recorded_at=last.recorded_at,
            state_version=aggregate.state_version,
            encoding=encoding,
            checksum=checksum,
            state=content,
            taken_at=datetime.now(UTC),
        )
        self._snapshots.save(snapshot, keep=self._policy.keep)
