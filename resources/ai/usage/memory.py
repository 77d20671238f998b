"""Usage of calls that are held in memory."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from resources.ai.usage.model import Bucket

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from resources.ai.ledger.model import CallRecord
    from resources.ai.usage.model import Granularity

SHORT_TOKENS = 100
_FAILED = frozenset({"failed", "cancelled", "lost"})


@dataclass
class MemoryUsage:
    """Over a list of calls that others may add to."""

    calls: list[CallRecord] = field(default_factory=list)

    def buckets(self, granularity: Granularity, *, tenant: str, since: datetime, until: datetime) -> Sequence[Bucket]:
        sums: dict[tuple[Any, ...], dict[str, Any]] = defaultdict(lambda: defaultdict(int))
        for call in self.records(tenant=tenant, since=since, until=until):
            if call.kind == "tool":
                continue
            at = _start(call.created_at, granularity)
            row = sums[at, call.provider, call.model, call.context.user, call.context.workflow]
            tokens = (call.usage.input, call.usage.output) if call.usage else (0, 0)
            made = call.memo != "hit"
            row["calls"] += 1
            row["hits"] += not made
            row["failed"] += call.outcome in _FAILED
            row["short"] += made and sum(tokens) < SHORT_TOKENS
            row["unpriced"] += call.cost is None
            row["input_tokens"] += tokens[0]
            row["output_tokens"] += tokens[1]
            row["cost"] += call.cost or Decimal(0)
            row["saved_cost"] += call.saved_cost or Decimal(0)
            if made and call.latency_ms is not None:
                row["timed"] += 1
                row["latency_ms"] += call.latency_ms
                row["timed_tokens"] += tokens[1]
        ordered = sorted(sums, key=lambda key: tuple((part is None, part if part is not None else "") for part in key))
        names = ("at", "provider", "model", "user", "workflow")
        return [Bucket.model_validate({**dict(zip(names, key, strict=True)), **sums[key]}) for key in ordered]

    def records(self, *, tenant: str, since: datetime, until: datetime) -> Iterator[CallRecord]:
        found = (call for call in self.calls if call.context.tenant == tenant and since <= call.created_at < until)
        return iter(sorted(found, key=lambda call: (call.created_at, call.call_id)))


def _start(at: datetime, granularity: Granularity) -> datetime:
    hour = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    match granularity:
        case "hour":
            return hour
        case "day":
            return hour.replace(hour=0)
        case "week":
            return hour.replace(hour=0) - timedelta(days=hour.weekday())
        case "month":
            return hour.replace(day=1, hour=0)
