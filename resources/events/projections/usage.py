"""What models were asked and what it cost: one row a day, provider and model."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from resources.events.projections import sketch
from resources.events.projections.model import Projection, Rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resources.events.model import RecordedEvent

_COUNTS = (
    "requests",
    "responses",
    "hits",
    "failures",
    "lost",
    "rate_limits",
    "prompt_tokens",
    "completion_tokens",
    "unpriced",
)


class AiUsage(Projection):
    """The key is `<day>/<provider>/<model>`, the day in UTC. The sums are those of the books of calls.

    `requests` counts attempts, however they ended; `hits` are answers that were recorded before; `lost` are those of the
    `failures` whose process died. What a failed attempt is charged with is part of the cost. `unpriced` counts those whose cost
    is unknown.
    """

    name = "ai_usage"
    version = 2
    types = frozenset({"ai.response_received", "ai.tokens_used", "ai.call_failed", "ai.rate_limit_hit"})

    def keys(self, event: RecordedEvent) -> tuple[str, ...]:
        day = event.occurred_at.astimezone(UTC).date().isoformat()
        return (f"{day}/{event.data['provider']}/{event.data['model']}",)

    def apply(self, event: RecordedEvent, rows: Rows) -> None:
        row, data = rows.row(event.tenant, self.keys(event)[0]), event.data
        for name in _COUNTS:
            row.setdefault(name, 0)
        row.setdefault("cost_usd", "0")
        row["requests"] += 1
        match event.type:
            case "ai.rate_limit_hit":
                row["rate_limits"] += 1
                return
            case "ai.call_failed":
                row["failures"] += 1
                row["lost"] += data["outcome"] == "lost"
            case "ai.response_received":
                self._answered(row, data)
        row["prompt_tokens"] += data.get("prompt_tokens") or 0
        row["completion_tokens"] += data.get("completion_tokens") or 0
        if data["cost_usd"] is None:
            row["unpriced"] += 1
        else:
            row["cost_usd"] = str(Decimal(row["cost_usd"]) + Decimal(data["cost_usd"]))

    def _answered(self, row: dict[str, Any], data: Mapping[str, Any]) -> None:
        row["responses"] += 1
        if (data["quality_metrics"] or {}).get("memo") == "hit":
            row["hits"] += 1
        elif data["duration_ms"] is not None:
            sketch.add(row.setdefault("duration_ms", {}), data["duration_ms"])
            row["p95_ms"] = sketch.quantile(row["duration_ms"], 0.95)
