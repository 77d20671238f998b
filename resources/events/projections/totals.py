"""What the whole platform has done: the counters of its metrics that no process alone can tell.

They stand under the name of no tenant, so that no tenant can read them and erasing one takes nothing away: they never go down.
They are as true as the events: whoever may append events to a tenant is believed here as well.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from resources.events.projections.model import Projection, Rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from resources.events.model import RecordedEvent
    from resources.events.projections.model import Row

PLATFORM: Final = "*"
"""Instead of a tenant; none can be called so."""

WORKFLOW_BOUNDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
NODE_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
AI_BOUNDS: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Upper bounds of the buckets of durations, in seconds."""

MOST_NAMES: Final = 200
OTHER: Final = "other"
"""What stands for names that are too many, or that are none: they come from events, and each makes a series of its own."""

_MOST: Final = 10**9
"""What one event can add: sums have to stay numbers that can be stored, whatever an event says."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+/-]{0,99}")
_RUNS: Final = ("created", "started", "completed", "failed", "cancelled")
_NODES: Final = ("completed", "failed", "retried", "skipped")
_SCOPES: Final = ("global", "tenant", "provider", "project", "user", "workflow", "run")


class PlatformTotals(Projection):
    """Totals over all tenants, for `/metrics`: of workflows and their nodes, calls of models and tools, and alerts of budgets.

    Keys are `workflows`, `node/<type>`, `ai/<provider>/<model>`, `tools` and `budget/<scope>/<unit>`; durations are counts of
    buckets, then their sum in seconds. `names` is for its own use.
    """

    name = "platform_totals"
    types = frozenset(
        {
            *(f"workflow.{status}" for status in _RUNS),
            *(f"workflow.node_{status}" for status in _NODES),
            "ai.response_received",
            "ai.tokens_used",
            "ai.call_failed",
            "ai.rate_limit_hit",
            "ai.budget_threshold_reached",
            "service.call_completed",
            "service.call_failed",
        }
    )

    def keys(self, event: RecordedEvent) -> tuple[str, ...]:
        """None that are sure; they are few."""
        del event
        return ()

    def apply(self, event: RecordedEvent, rows: Rows) -> None:
        area, _, what = event.type.partition(".")
        data = event.data
        match area:
            case "workflow" if what in _RUNS:
                row = rows.row(PLATFORM, "workflows")
                _count(row, what)
                _time(row, data.get("duration_ms"), WORKFLOW_BOUNDS)
            case "workflow":
                row = rows.row(PLATFORM, f"node/{_known(rows, 'node', data['node_type'])}")
                _count(row, what.removeprefix("node_"))
                _time(row, data.get("duration_ms"), NODE_BOUNDS)
            case "service":
                row = rows.row(PLATFORM, "tools")
                _count(row, what.removeprefix("call_"))
                _time(row, data.get("duration_ms"), AI_BOUNDS)
            case "ai" if what == "budget_threshold_reached":
                scope = data["scope"] if data["scope"] in _SCOPES else OTHER
                row = rows.row(PLATFORM, f"budget/{scope}/{data['unit']}")
                _count(row, "exceeded" if Decimal(data["threshold"]) >= 1 else "nearly")
            case _:
                asked = _known(rows, "ai", f"{data['provider'].replace('/', '-')}/{data['model']}")
                _add_call(rows.row(PLATFORM, f"ai/{asked}"), what, data)


def _add_call(row: Row, what: str, data: Mapping[str, Any]) -> None:
    memo = (data.get("quality_metrics") or {}).get("memo") == "hit"
    match what:
        case "rate_limit_hit":
            outcome = "rate_limited"
        case "call_failed":
            outcome = data["outcome"]
        case _:
            outcome = "remembered" if memo else "answered"
    _count(row.setdefault("outcomes", {}), outcome)
    if not memo:
        _time(row, data.get("duration_ms"), AI_BOUNDS)
    for kind in ("prompt", "completion"):
        row[kind] = row.get(kind, 0) + min(data.get(f"{kind}_tokens") or 0, _MOST)
    if what == "rate_limit_hit":
        return
    if data["cost_usd"] is None or Decimal(data["cost_usd"]) > _MOST:
        _count(row, "unpriced")
    else:
        row["cost_usd"] = str(Decimal(row.get("cost_usd", "0")) + Decimal(data["cost_usd"]))


def _known(rows: Rows, family: str, name: str | None) -> str:
    """The name, if it is one and there are not too many already."""
    if name is None or not _NAME.fullmatch(name):
        return OTHER
    names = rows.row(PLATFORM, "names").setdefault(family, [])
    if name not in names:
        if len(names) >= MOST_NAMES:
            return OTHER
        names.append(name)
    return name


def _count(row: Row, name: str) -> None:
    row[name] = row.get(name, 0) + 1


def _time(row: Row, milliseconds: float | None, bounds: Sequence[float]) -> None:
    if milliseconds is None:
        return
    buckets = row.setdefault("seconds", [0] * (len(bounds) + 2))
    seconds = min(milliseconds, _MOST) / 1000
    buckets[bisect_left(bounds, seconds)] += 1
    buckets[-1] += seconds
