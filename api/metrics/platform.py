"""The figures of the whole platform as series: what the database knows of its state, and what the events add up to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from api.metrics.series import Series, labelled
from resources.events.projections.totals import PLATFORM, PlatformTotals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from resources.database.figures.postgres import Figures
    from resources.events.projections.store import ProjectionStore

_MOST_ROWS: Final = 1000


def totals(projections: ProjectionStore) -> Series:
    """What happened since the first event. Raises UnavailableError."""
    series = Series()
    for key, row in projections.rows(PlatformTotals.name, tenant=PLATFORM, limit=_MOST_ROWS):
        area, _, name = key.partition("/")
        match area:
            case "workflows":
                for status in ("created", "started", "completed", "failed", "cancelled"):
                    _add(series, "aiw_workflow_runs_total", (status,), row.get(status, 0))
                _add_durations(series, "aiw_workflow_run_duration_seconds", (), row)
            case "node":
                for outcome in ("completed", "failed", "retried", "skipped"):
                    if outcome in row:
                        _add(series, "aiw_workflow_nodes_total", (name, outcome), row[outcome])
                _add_durations(series, "aiw_workflow_node_duration_seconds", (name,), row)
            case "tools":
                for outcome in ("completed", "failed"):
                    _add(series, "aiw_tool_calls_total", (outcome,), row.get(outcome, 0))
                _add_durations(series, "aiw_tool_call_duration_seconds", (), row)
            case "budget":
                scope, _, _ = name.partition("/")
                for reached in ("nearly", "exceeded"):
                    _add(series, "aiw_ai_budget_alerts_total", (scope, reached), row.get(reached, 0))
            case "ai":
                provider, _, model = name.partition("/")
                _add_model(series, provider, model or provider, row)
            case _:
                pass
    return series


def state(figures: Figures) -> Series:
    """How it is now."""
    return Series(
        counters={"aiw_events_appended_total": {(): figures.head}},
        gauges={
            "aiw_projection_lag_events": labelled(figures.lags),
            "aiw_dead_letters": labelled(figures.letters),
            "aiw_workflow_runs_active": labelled(figures.runs),
            "aiw_ai_budget_used_ratio": labelled(figures.budgets),
            "aiw_registered_agents": labelled(figures.agents),
        },
    )


def _add_model(series: Series, provider: str, model: str, row: Mapping[str, Any]) -> None:
    asked = (provider, model)
    for outcome, number in row["outcomes"].items():
        _add(series, "aiw_ai_requests_total", (*asked, outcome), number)
    for kind in ("prompt", "completion"):
        _add(series, "aiw_ai_tokens_total", (*asked, kind), row.get(kind, 0))
    _add(series, "aiw_ai_cost_usd_total", asked, float(row.get("cost_usd", 0)))
    _add(series, "aiw_ai_unpriced_requests_total", asked, row.get("unpriced", 0))
    _add_durations(series, "aiw_ai_request_duration_seconds", (provider,), row)


def _add(series: Series, name: str, labels: tuple[str, ...], number: float) -> None:
    values = series.counters.setdefault(name, {})
    values[labels] = values.get(labels, 0) + number


def _add_durations(series: Series, name: str, labels: tuple[str, ...], row: Mapping[str, Any]) -> None:
    if "seconds" in row:
        series.add(Series(histograms={name: {labels: row["seconds"]}}))
