"""How the services are: one row a service."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.events.projections import sketch
from resources.events.projections.model import Projection, Rows

if TYPE_CHECKING:
    from resources.events.model import RecordedEvent

_LATEST_ERRORS = 10


class ServiceHealth(Projection):
    """Availability, durations and errors; the key is the service's name."""

    name = "service_health"
    types = frozenset(
        {
            "service.call_started",
            "service.call_completed",
            "service.call_failed",
            "service.registered",
            "service.unregistered",
            "service.health_check_failed",
        }
    )

    def keys(self, event: RecordedEvent) -> tuple[str, ...]:
        return (event.data["service"],)

    def apply(self, event: RecordedEvent, rows: Rows) -> None:
        row, data, at = rows.row(event.tenant, event.data["service"]), event.data, event.occurred_at.isoformat()
        for name in ("calls", "completed", "failed", "consecutive_failures"):
            row.setdefault(name, 0)
        match event.type:
            case "service.registered":
                row |= {"registered": True, "endpoint": data["endpoint"], "capabilities": data["capabilities"]}
            case "service.unregistered":
                row |= {"registered": False, "reason": data["reason"]}
            case "service.health_check_failed":
                row |= {"consecutive_failures": data["consecutive_failures"], "failed_at": at}
            case "service.call_started":
                row["calls"] += 1
            case "service.call_completed":
                row |= {"completed": row["completed"] + 1, "consecutive_failures": 0, "succeeded_at": at}
            case "service.call_failed":
                row |= {"failed": row["failed"] + 1, "failed_at": at}
                row["consecutive_failures"] += 1
                error = {"at": at, "tool": data["tool"], "error": data["error_message"][:500]}
                row["errors"] = [*row.get("errors", []), error][-_LATEST_ERRORS:]
        if data.get("duration_ms") is not None:
            durations = row.setdefault("duration_ms", {})
            sketch.add(durations, data["duration_ms"])
            row["p95_ms"] = sketch.quantile(durations, 0.95)
        ended = row["completed"] + row["failed"]
        row["availability"] = row["completed"] / ended if ended else None
