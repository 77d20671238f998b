"""The event that tells of a call: what was said only when content is captured."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from resources.ai.ledger.model import EVENT_NAMESPACE
from resources.events.model import EventMetadata, NewEvent, StreamId

if TYPE_CHECKING:
    from resources.ai.ledger.model import Alert, CallRecord, Captured

ALERT_STREAM = "ai_budget"


def event_of(record: CallRecord, captured: Captured | None = None) -> tuple[StreamId, NewEvent]:
    """The stream `ai_interaction/<call id>` (a tool's: `service_call/<call id>`) and its event. The same for the same call."""
    type_, data = _tool_fact(record) if record.kind == "tool" else _model_fact(record, captured)
    context = record.context
    tags = {
        "run_id": context.run_id,
        "node_id": context.node_id,
        "asset": context.asset,
        "partition": context.partition,
    }
    stream = StreamId("service_call" if record.kind == "tool" else "ai_interaction", str(record.call_id))
    return stream, NewEvent(
        type=type_,
        data=data,
        event_id=uuid.uuid5(EVENT_NAMESPACE, f"{record.call_id}/{type_}"),
        metadata=EventMetadata(
            correlation_id=context.correlation_id,
            user_id=context.user,
            source="ai",
            tags={name: value for name, value in tags.items() if value is not None},
        ),
        occurred_at=record.created_at,
    )


def event_of_alert(alert: Alert) -> tuple[StreamId, NewEvent]:
    """The stream of the budget, and the event that a threshold was reached. The same for the same alert."""
    return StreamId(ALERT_STREAM, str(alert.budget_id)), NewEvent(
        type="ai.budget_threshold_reached",
        data={
            "budget_id": str(alert.budget_id),
            "scope": alert.scope,
            "subject": alert.subject,
            "unit": alert.unit,
            "period": alert.period,
            "threshold": str(alert.threshold),
            "limit": str(alert.limit),
            "spent": str(alert.spent),
        },
        event_id=alert.alert_id,
        metadata=EventMetadata(source="ai"),
        occurred_at=alert.reached_at,
    )


def _model_fact(record: CallRecord, captured: Captured | None) -> tuple[str, dict[str, Any]]:
    usage, cost = record.usage, None if record.cost is None else str(record.cost)
    interaction: dict[str, Any] = {
        "request_id": str(record.call_id),
        "provider": record.provider,
        "model": record.model,
        "workflow_id": record.context.workflow,
        "node_id": record.context.node_id,
    }
    if record.error_code == "provider_rate_limited" and record.cost == 0:
        return "ai.rate_limit_hit", interaction | {"limit_type": "provider"}
    if record.outcome in {"failed", "cancelled", "lost"}:
        failure = {
            "outcome": record.outcome,
            "error_code": record.error_code,
            "cost_usd": cost,
            "attempt": record.attempt,
        }
        return "ai.call_failed", interaction | failure
    if record.kind == "embed":
        counted = usage.input if usage is not None else 0
        return "ai.tokens_used", interaction | {"prompt_tokens": counted, "cost_usd": cost}
    return "ai.response_received", interaction | {
        "prompt": captured.prompt if captured is not None else None,
        "response": captured.response if captured is not None else None,
        "prompt_tokens": usage.input if usage is not None else None,
        "completion_tokens": usage.output if usage is not None else None,
        "total_tokens": usage.total if usage is not None else None,
        "cost_usd": cost,
        "duration_ms": None if record.latency_ms is None else round(record.latency_ms),
        "detailed_usage": None
        if usage is None
        else {
            "input_tokens": usage.input,
            "output_tokens": usage.output,
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write,
            "reasoning_tokens": usage.reasoning,
        },
        "cost_breakdown": {"total_usd": cost, "price_source": record.price_source, "measured": record.measured},
        "quality_metrics": {
            "outcome": record.outcome,
            "memo": record.memo,
            "simulated": record.simulated,
            "prompt_version": record.prompt_version,
        },
        "performance_metrics": {"first_token_ms": record.first_token_ms},
    }


def _tool_fact(record: CallRecord) -> tuple[str, dict[str, Any]]:
    call = {"call_id": str(record.call_id), "service": record.provider, "tool": record.model}
    duration = None if record.latency_ms is None else round(record.latency_ms)
    if record.outcome == "answered":
        return "service.call_completed", call | {"duration_ms": duration}
    message = record.error_code or record.outcome
    return "service.call_failed", call | {"error_message": message, "duration_ms": duration}
