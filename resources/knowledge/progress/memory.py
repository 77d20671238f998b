"""Progress in a dictionary."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from resources.knowledge.progress.model import changed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from resources.knowledge.progress.model import Change, ConceptProgress


class MemoryProgress:
    """A ProgressStore. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str, str], ConceptProgress] = {}

    def tell(self, user: str, change: Change, *, tenant: str, now: datetime) -> ConceptProgress:
        key = tenant, user, change.concept
        with self._lock:
            self._known[key] = changed(self._known.get(key), change, user=user, now=now)
            return self._known[key]

    def of(self, users: Collection[str], *, tenant: str) -> Mapping[str, Sequence[ConceptProgress]]:
        with self._lock:
            known = sorted(self._known.items())
        return {
            user: [found for (owner, who, _), found in known if (owner, who) == (tenant, user)] for user in set(users)
        }
