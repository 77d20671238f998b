"""The port of snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from resources.events.model import StreamId
    from resources.events.snapshots.model import Snapshot


class SnapshotStore(Protocol):
    """Keeps some snapshots of each stream. Every verb raises UnavailableError."""

    def save(self, snapshot: Snapshot, *, keep: int) -> None:
        """Insert or replace the one of this version, then remove all but the newest `keep`."""

    def newest(
        self,
        stream: StreamId,
        *,
        up_to_version: int | None = None,
        up_to_position: int | None = None,
        up_to_time: datetime | None = None,
        tenant: str,
    ) -> Sequence[Snapshot]:
        """The stream's snapshots within the bounds, newest first."""

    def remove(self, stream: StreamId, version: int, *, tenant: str) -> None:
        """Forget one that proved corrupt."""
