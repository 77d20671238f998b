"""The port of replays' progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from resources.events.replays.model import ReplayRequest, ReplayState, ReplayStatus


class ReplayStore(Protocol):
    """Survives the process that replays. Every verb raises UnavailableError; those with an id NotFoundError."""

    def begin(self, request: ReplayRequest, *, up_to: int) -> ReplayStatus:
        """Note the replay; the stored one, when it was begun before."""

    def get(self, replay_id: UUID) -> ReplayStatus:
        """How far it is."""

    def list(self, *, state: ReplayState | None = None, limit: int = 100) -> Sequence[ReplayStatus]:
        """Replays, newest first."""

    def advance(self, replay_id: UUID, *, position: int, events: int) -> ReplayState:
        """Note that `events` more are delivered, up to `position`; returns the state, which may be `cancelled` by now."""

    def finish(self, replay_id: UUID, state: ReplayState, *, error: str | None = None) -> None:
        """Note how it ended; only a running one can end."""
