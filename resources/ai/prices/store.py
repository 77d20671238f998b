"""The port of price overrides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.ai.prices.model import PriceOverride


class PriceStore(Protocol):
    """Overrides are added, never changed: of those in effect, the latest counts, and of these the newest version."""

    def add(self, override: PriceOverride) -> PriceOverride:
        """Returns it with its version."""

    def list(self, *, tenant: str | None) -> Sequence[PriceOverride]:
        """The tenant's own and those for all tenants (None: only these), in the order of their versions."""
