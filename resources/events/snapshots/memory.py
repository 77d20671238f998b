"""Snapshots in this process's memory."""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from resources.events.model import StreamId
    from resources.events.snapshots.model import Snapshot


class MemorySnapshots:
    """All promises of the port; ends with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, StreamId], dict[int, Snapshot]] = defaultdict(dict)

    def save(self, snapshot: Snapshot, *, keep: int) -> None:
        with self._lock:
            kept = self._kept[snapshot.tenant, snapshot.stream]
            kept[snapshot.version] = snapshot
            for version in sorted(kept)[:-keep]:
                del kept[version]

    def newest(
        self,
        stream: StreamId,
        *,
        up_to_version: int | None = None,
        up_to_position: int | None = None,
        up_to_time: datetime | None = None,
        tenant: str,
    ) -> Sequence[Snapshot]:
        with self._lock:
            kept = sorted(self._kept[tenant, stream].items(), reverse=True)
        return [
            snapshot
            for _, snapshot in kept
            if (up_to_version is None or snapshot.version <= up_to_version)
            and (up_to_position is None or snapshot.position <= up_to_position)
            and (up_to_time is None or snapshot.recorded_at <= up_to_time)
        ]

    def remove(self, stream: StreamId, version: int, *, tenant: str) -> None:
        with self._lock:
            self._kept[tenant, stream].pop(version, None)
