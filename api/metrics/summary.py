"""The most important of the metrics, added up for people."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from api.metrics import http
from api.schemas import (
    AiTotalsOut,
    EventTotalsOut,
    HttpTotalsOut,
    MetricsSummaryOut,
    OutgoingTotalsOut,
    WorkflowTotalsOut,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from api.metrics.series import Series


def summary(series: Series, *, now: datetime) -> MetricsSummaryOut:
    """Sums over all labels."""
    durations = _sum(series.histograms.get("aiw_http_request_duration_seconds", {}).values(), len(http.BOUNDS))
    requests = series.counters.get("aiw_http_requests_total", {})
    outgoing = series.counters.get("aiw_outgoing_calls_total", {})
    breakers = series.gauges.get("aiw_circuit_breakers", {})
    started = series.gauges.get("aiw_process_start_time_seconds", {}).values()
    ratios = series.gauges.get("aiw_ai_budget_used_ratio", {}).values()
    lags = series.gauges.get("aiw_projection_lag_events", {}).values()
    counted = sum(durations[:-1])

    def workflows(status: str) -> int:
        return int(series.total("aiw_workflow_runs_total", status))

    return MetricsSummaryOut(
        timestamp=now,
        uptime_seconds=round(now.timestamp() - min(started), 1) if started else None,
        sources={source: up == 1 for (source,), up in series.gauges.get("aiw_source_up", {}).items()},
        http=HttpTotalsOut(
            requests=int(sum(requests.values())),
            errors=int(sum(number for (*_, status), number in requests.items() if status.startswith("5"))),
            in_flight=int(series.total("aiw_http_requests_in_flight")),
            mean_ms=round(1000 * durations[-1] / counted, 3) if counted else None,
            p95_ms=quantile(durations, http.BOUNDS, 0.95),
        ),
        sockets=int(series.total("aiw_websocket_connections")),
        workflows=WorkflowTotalsOut(
            started=workflows("started"),
            completed=workflows("completed"),
            failed=workflows("failed"),
            cancelled=workflows("cancelled"),
            waiting=int(series.total("aiw_workflow_runs_active", "waiting")),
            running=int(series.total("aiw_workflow_runs_active", "running")),
            nodes=int(series.total("aiw_workflow_nodes_total", None, "completed")),
            nodes_failed=int(series.total("aiw_workflow_nodes_total", None, "failed")),
            retries=int(series.total("aiw_workflow_nodes_total", None, "retried")),
        ),
        ai=AiTotalsOut(
            requests=int(series.total("aiw_ai_requests_total")),
            failed=int(
                sum(
                    series.total("aiw_ai_requests_total", None, None, outcome)
                    for outcome in ("failed", "cancelled", "lost", "rate_limited")
                )
            ),
            remembered=int(series.total("aiw_ai_requests_total", None, None, "remembered")),
            prompt_tokens=int(series.total("aiw_ai_tokens_total", None, None, "prompt")),
            completion_tokens=int(series.total("aiw_ai_tokens_total", None, None, "completion")),
            cost_usd=round(series.total("aiw_ai_cost_usd_total"), 6),
            unpriced=int(series.total("aiw_ai_unpriced_requests_total")),
            budget_used=max(ratios, default=None),
        ),
        events=EventTotalsOut(
            appended=int(series.total("aiw_events_appended_total")),
            dead_letters=int(series.total("aiw_dead_letters")),
            largest_lag=int(max(lags, default=0)),
        ),
        outgoing=OutgoingTotalsOut(
            calls=int(sum(outgoing.values())),
            failed=int(sum(number for (_, outcome), number in outgoing.items() if outcome == "failed")),
            refused=int(sum(number for (_, outcome), number in outgoing.items() if outcome == "refused")),
            open_circuits=int(sum(number for (_, state), number in breakers.items() if state == "open")),
        ),
    )


def quantile(buckets: Sequence[float], bounds: Sequence[float], share: float) -> float | None:
    """In milliseconds, from the middle of the bucket's range as Prometheus does it; the last bound for what lies beyond."""
    counts = buckets[:-1]
    total = sum(counts)
    if not total:
        return None
    rank = share * total
    for place, (count, reached) in enumerate(zip(counts, accumulate(counts), strict=True)):
        if reached >= rank and count:
            if place == len(bounds):
                break
            low = bounds[place - 1] if place else 0.0
            return round(1000 * (low + (bounds[place] - low) * (rank - reached + count) / count), 3)
    return round(1000 * bounds[-1], 3)


def _sum(all_buckets: Iterable[Sequence[float]], bounds: int) -> list[float]:
    total = [0.0] * (bounds + 2)
    for buckets in all_buckets:
        total = [ours + theirs for ours, theirs in zip(total, buckets, strict=True)]
    return total
