"""The memo in memory, for tests and for one process."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from resources.ai.ledger.model import Recalled
from resources.ai.memo.store import Kept

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.ai.ledger.model import CallKind, CallRecord, Keepsake


@dataclass(frozen=True, slots=True)
class _Entry:
    kept: Kept
    kind: CallKind
    recalled: Recalled
    created_at: datetime
    expires_at: datetime | None


class MemoryMemo:
    """Safe to share between threads. `keep` and `recall` are for the books of calls."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._entries: dict[tuple[str, bytes], _Entry] = {}

    def keep(self, record: CallRecord, keepsake: Keepsake) -> None:
        now = datetime.now(UTC)
        expires_at = None if keepsake.ttl is None else now + timedelta(seconds=keepsake.ttl)
        kept = Kept(keepsake.key, record.call_id, record.provider, record.model, keepsake.payload)
        recalled = Recalled(keepsake.payload, record.call_id, keepsake.tokens, record.cost)
        with self._lock:
            self._entries[record.context.tenant, keepsake.key] = _Entry(kept, record.kind, recalled, now, expires_at)

    def recall(self, tenant: str, key: bytes) -> Recalled | None:
        with self._lock:
            entry = self._entries.get((tenant, key))
            return entry.recalled if entry is not None and _is_live(entry) else None

    def newest(self, *, tenant: str, kind: CallKind, limit: int = 200) -> Sequence[Kept]:
        with self._lock:
            entries = [
                e for (owner, _), e in self._entries.items() if owner == tenant and e.kind == kind and _is_live(e)
            ]
        return [entry.kept for entry in sorted(entries, key=lambda e: e.created_at, reverse=True)[:limit]]

    def count(self, *, tenant: str) -> int:
        with self._lock:
            return sum(owner == tenant and _is_live(entry) for (owner, _), entry in self._entries.items())

    def purge(self, *, tenant: str, before: datetime | None = None) -> int:
        with self._lock:
            gone = [
                place
                for place, entry in self._entries.items()
                if place[0] == tenant and (before is None or entry.created_at < before or not _is_live(entry))
            ]
            for place in gone:
                del self._entries[place]
        return len(gone)

    def purge_expired(self, *, limit: int = 10_000) -> int:
        with self._lock:
            gone = [place for place, entry in self._entries.items() if not _is_live(entry)][:limit]
            for place in gone:
                del self._entries[place]
        return len(gone)


def _is_live(entry: _Entry) -> bool:
    return entry.expires_at is None or entry.expires_at > datetime.now(UTC)
