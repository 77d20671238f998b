"""Replays' progress in this process's memory."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from resources.events.replays.model import ReplayRequest, ReplayState, ReplayStatus, unknown_replay

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID


class MemoryReplays:
    """All promises of the port but durability."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._replays: dict[UUID, ReplayStatus] = {}
        self._held: set[UUID] = set()

    def begin(self, request: ReplayRequest, *, up_to: int) -> ReplayStatus:
        with self._lock:
            now = datetime.now(UTC)
            start = request.selection.after_position
            fresh = ReplayStatus(request, "running", start, up_to, 0, None, now, now)
            return self._replays.setdefault(request.id, fresh)

    def get(self, replay_id: UUID, *, tenant: str | None = None) -> ReplayStatus:
        with self._lock:
            status = self._get(replay_id)
        if tenant not in {None, status.request.selection.tenant}:
            raise unknown_replay(replay_id)
        return status

    def list(
        self, *, state: ReplayState | None = None, tenant: str | None = None, limit: int = 100
    ) -> Sequence[ReplayStatus]:
        with self._lock:
            newest = list(self._replays.values())[::-1]
        return [
            status
            for status in newest
            if state in {None, status.state} and tenant in {None, status.request.selection.tenant}
        ][:limit]

    def advance(self, replay_id: UUID, *, position: int, events: int) -> ReplayState:
        with self._lock:
            status = self._get(replay_id)
            self._replays[replay_id] = msgspec.structs.replace(
                status, position=position, events=status.events + events, updated_at=datetime.now(UTC)
            )
            return status.state

    @contextmanager
    def hold(self, replay_id: UUID) -> Iterator[bool]:
        with self._lock:
            mine = replay_id not in self._held
            self._held.add(replay_id)
        try:
            yield mine
        finally:
            if mine:
                with self._lock:
                    self._held.discard(replay_id)

    def finish(self, replay_id: UUID, state: ReplayState, *, error: str | None = None) -> None:
        with self._lock:
            status = self._get(replay_id)
            if status.state == "running":
                self._replays[replay_id] = msgspec.structs.replace(status, state=state, error=error)

    def _get(self, replay_id: UUID) -> ReplayStatus:
        if replay_id not in self._replays:
            raise unknown_replay(replay_id)
        return self._replays[replay_id]
