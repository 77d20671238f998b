"""The port of usage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from resources.ai.ledger.model import CallRecord
    from resources.ai.usage.model import Bucket, Granularity


class UsageStore(Protocol):
    """Reads the books of calls. Every verb raises UnavailableError."""

    def buckets(self, granularity: Granularity, *, tenant: str, since: datetime, until: datetime) -> Sequence[Bucket]:
        """Sums in the order of time; weeks begin on Monday, all in UTC. `since` is inclusive, `until` is not."""

    def records(self, *, tenant: str, since: datetime, until: datetime) -> Iterator[CallRecord]:
        """Every call, the oldest first, without holding them all in memory."""
