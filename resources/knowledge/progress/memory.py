"""Progress in a dictionary."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from resources.knowledge.progress.model import ConceptProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from resources.knowledge.progress.model import ProgressChange


class MemoryProgress:
    """Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, str, str], ConceptProgress] = {}

    def change(
        self,
        concept: str,
        change: ProgressChange,
        *,
        user: str,
        tenant: str,
        now: datetime,
        unless: Callable[[ConceptProgress | None], None] | None = None,
    ) -> ConceptProgress:
        key = tenant, user, concept
        with self._lock:
            if unless is not None:
                unless(self._kept.get(key))
            former = self._kept.get(key) or ConceptProgress(concept=concept, updated_at=now)
            self._kept[key] = former.changed(change, now=now)
            return self._kept[key]

    def of(self, user: str, *, tenant: str) -> Sequence[ConceptProgress]:
        with self._lock:
            found = [kept for key, kept in self._kept.items() if key[:2] == (tenant, user)]
        return sorted(sorted(found, key=lambda one: one.concept), key=lambda one: one.updated_at, reverse=True)

    def forget(
        self,
        concept: str,
        *,
        user: str,
        tenant: str,
        unless: Callable[[ConceptProgress | None], None] | None = None,
    ) -> bool:
        with self._lock:
            if unless is not None:
                unless(self._kept.get((tenant, user, concept)))
            return self._kept.pop((tenant, user, concept), None) is not None
