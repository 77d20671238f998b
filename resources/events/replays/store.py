"""The port of replays' progress."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from uuid import UUID

    from resources.events.replays.model import ReplayRequest, ReplayState, ReplayStatus


class ReplayStore(Protocol):
    """Survives the process that replays. Every verb raises UnavailableError; those with an id NotFoundError."""

    def begin(self, request: ReplayRequest, *, up_to: int) -> ReplayStatus:
        """Note the replay; the stored one, when it was begun before."""

    def get(self, replay_id: UUID, *, tenant: str | None = None) -> ReplayStatus:
        """How far it is. With `tenant` only if it is that tenant's."""

    def list(
        self, *, state: ReplayState | None = None, tenant: str | None = None, limit: int = 100
    ) -> Sequence[ReplayStatus]:
        """Replays, newest first; with `tenant` that tenant's alone."""

    def advance(self, replay_id: UUID, *, position: int, events: int) -> ReplayState:
        """Note that `events` more are delivered, up to `position`; returns the state, which may be `cancelled` by now."""

    def hold(self, replay_id: UUID) -> AbstractContextManager[bool]:
        """The right to work on it, for as long as the block and this process last; False when another process has it."""

    def finish(self, replay_id: UUID, state: ReplayState, *, error: str | None = None) -> None:
        """Note how it ended; only a running one can end."""
