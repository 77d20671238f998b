"""Replays' progress in this process's memory."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from resources.errors import NotFoundError
from resources.events.replays.model import ReplayRequest, ReplayState, ReplayStatus

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID


class MemoryReplays:
    """All promises of the port but durability."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._replays: dict[UUID, ReplayStatus] = {}

    def begin(self, request: ReplayRequest, *, up_to: int) -> ReplayStatus:
        with self._lock:
            now = datetime.now(UTC)
            start = request.selection.after_position
            fresh = ReplayStatus(request, "running", start, up_to, 0, None, now, now)
            return self._replays.setdefault(request.id, fresh)

    def get(self, replay_id: UUID) -> ReplayStatus:
        with self._lock:
            return self._get(replay_id)

    def list(self, *, state: ReplayState | None = None, limit: int = 100) -> Sequence[ReplayStatus]:
        with self._lock:
            newest = list(self._replays.values())[::-1]
        return [status for status in newest if state in {None, status.state}][:limit]

    def advance(self, replay_id: UUID, *, position: int, events: int) -> ReplayState:
        with self._lock:
            status = self._get(replay_id)
            self._replays[replay_id] = msgspec.structs.replace(
                status, position=position, events=status.events + events, updated_at=datetime.now(UTC)
            )
            return status.state

    def finish(self, replay_id: UUID, state: ReplayState, *, error: str | None = None) -> None:
        with self._lock:
            status = self._get(replay_id)
            if status.state == "running":
                self._replays[replay_id] = msgspec.structs.replace(status, state=state, error=error)

    def _get(self, replay_id: UUID) -> ReplayStatus:
        if replay_id not in self._replays:
            raise NotFoundError(f"There is no replay {str(replay_id)!r}.")
        return self._replays[replay_id]
