"""What models were asked and what it cost: one row a day, provider and model."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from resources.events.projections import sketch
from resources.events.projections.model import Projection, Rows

if TYPE_CHECKING:
    from resources.events.model import RecordedEvent


class AiUsage(Projection):
    """The key is `<day>/<provider>/<model>`, the day in UTC. `unpriced` counts answers whose cost is unknown."""

    name = "ai_usage"
    types = frozenset({"ai.prompt_sent", "ai.response_received", "ai.tokens_used", "ai.rate_limit_hit"})

    def keys(self, event: RecordedEvent) -> tuple[str, ...]:
        return (f"{event.occurred_at.date().isoformat()}/{event.data['provider']}/{event.data['model']}",)

    def apply(self, event: RecordedEvent, rows: Rows) -> None:
        row, data = rows.row(event.tenant, self.keys(event)[0]), event.data
        for name in ("requests", "responses", "rate_limits", "prompt_tokens", "completion_tokens", "unpriced"):
            row.setdefault(name, 0)
        row.setdefault("cost_usd", "0")
        match event.type:
            case "ai.prompt_sent":
                row["requests"] += 1
                return
            case "ai.rate_limit_hit":
                row["rate_limits"] += 1
                return
            case "ai.response_received":
                row["responses"] += 1
                if data["duration_ms"] is not None:
                    sketch.add(row.setdefault("duration_ms", {}), data["duration_ms"])
                    row["p95_ms"] = sketch.quantile(row["duration_ms"], 0.95)
        row["prompt_tokens"] += data["prompt_tokens"] or 0
        row["completion_tokens"] += data["completion_tokens"] or 0
        if data["cost_usd"] is None:
            row["unpriced"] += 1
        else:
            row["cost_usd"] = str(Decimal(row["cost_usd"]) + Decimal(data["cost_usd"]))
