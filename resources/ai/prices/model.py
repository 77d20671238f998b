"""Prices per million tokens that a contract or a new model needs, with the day from which they count."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from resources.ai.model import Usage

MILLION = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class PriceOverride:
    """US dollars per million tokens. `tenant` None: for all tenants. What is read from or written to the provider's cache
    costs as other input when its price is None. `version` is given by the store.
    """

    provider: str
    model: str
    effective_from: datetime
    input_mtok: Decimal
    output_mtok: Decimal
    cache_read_mtok: Decimal | None = None
    cache_write_mtok: Decimal | None = None
    tenant: str | None = None
    note: str | None = None
    version: int | None = None

    def cost(self, usage: Usage) -> Decimal:
        """`usage.input` includes what was read from and written to the cache."""
        read = self.input_mtok if self.cache_read_mtok is None else self.cache_read_mtok
        written = self.input_mtok if self.cache_write_mtok is None else self.cache_write_mtok
        fresh = max(0, usage.input - usage.cache_read - usage.cache_write)
        total = (
            fresh * self.input_mtok
            + usage.cache_read * read
            + usage.cache_write * written
            + usage.output * self.output_mtok
        )
        return total / MILLION
