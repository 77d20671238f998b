"""Price overrides in memory."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.ai.prices.model import PriceOverride


class MemoryPrices:
    """Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._overrides: list[PriceOverride] = []

    def add(self, override: PriceOverride) -> PriceOverride:
        with self._lock:
            kept = replace(override, version=len(self._overrides) + 1)
            self._overrides.append(kept)
        return kept

    def list(self, *, tenant: str | None) -> Sequence[PriceOverride]:
        with self._lock:
            return [override for override in self._overrides if override.tenant in {None, tenant}]
