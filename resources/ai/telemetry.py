"""Spans and metrics of calls, after the GenAI conventions of OpenTelemetry. Without a configured SDK they cost nothing.

The conventions are in development; their names are here and nowhere else. What was asked and answered is no part of a span.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from opentelemetry import metrics, trace

from resources.ai.prices.book import VENDORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from opentelemetry.metrics import Histogram
    from opentelemetry.trace import Span, Tracer

    from resources.ai.ledger.model import CallRecord
    from resources.ai.model import CallContext, Usage

SCOPE: Final = "aiw.ai"
OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
RESPONSE_ID: Final = "gen_ai.response.id"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHE_READ: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITTEN: Final = "gen_ai.usage.cache_creation.input_tokens"
AGENT_NAME: Final = "gen_ai.agent.name"
CONVERSATION: Final = "gen_ai.conversation.id"
TOOL_NAME: Final = "gen_ai.tool.name"
TOKEN_TYPE: Final = "gen_ai.token.type"  # noqa: S105  # tokens of a model
ERROR_TYPE: Final = "error.type"

_NAMES: Final[dict[str, str]] = VENDORS | {
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "azure": "azure.ai.openai",
}
_OPERATIONS: Final[Mapping[str, str]] = {"chat": "chat", "embed": "embeddings", "tool": "execute_tool"}


def start_span(kind: str, provider: str, model: str, context: CallContext) -> Span:
    """A span of one attempt. `finish_span` ends it."""
    operation = _OPERATIONS[kind]
    attributes = {
        OPERATION: operation,
        PROVIDER: _NAMES.get(provider, provider),
        (TOOL_NAME if kind == "tool" else REQUEST_MODEL): model,
        **_places(context),
    }
    span_kind = trace.SpanKind.INTERNAL if kind == "tool" else trace.SpanKind.CLIENT
    return _tracer().start_span(f"{operation} {model}", kind=span_kind, attributes=attributes)


@contextmanager
def agent_span(
    agent: str, provider: str, model: str, context: CallContext, *, session: str | None
) -> Iterator[Callable[[Usage], None]]:
    """A span around the work of an agent: those of its calls are below it. What is given tells the tokens at the end."""
    attributes = {
        OPERATION: "invoke_agent",
        AGENT_NAME: agent,
        PROVIDER: _NAMES.get(provider, provider),
        REQUEST_MODEL: model,
        **_places(context),
        **({} if session is None else {CONVERSATION: session}),
    }
    with _tracer().start_as_current_span(
        f"invoke_agent {agent}", attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as span:

        def tell(usage: Usage) -> None:
            span.set_attributes({INPUT_TOKENS: usage.input, OUTPUT_TOKENS: usage.output})

        try:
            yield tell
        except BaseException as error:
            span.set_attribute(ERROR_TYPE, getattr(error, "code", type(error).__name__))
            span.set_status(trace.StatusCode.ERROR)
            raise


def finish_span(span: Span, record: CallRecord, *, finish: str | None) -> None:
    """Tell how the attempt went, and end its span."""
    usage = record.usage
    facts: dict[str, str | int | float | bool | None] = {
        RESPONSE_MODEL: record.answered_by,
        RESPONSE_ID: record.provider_request_id,
        INPUT_TOKENS: usage.input if usage else None,
        OUTPUT_TOKENS: usage.output if usage else None,
        CACHE_READ: usage.cache_read if usage else None,
        CACHE_WRITTEN: usage.cache_write if usage else None,
        ERROR_TYPE: record.error_code,
        "app.call_id": str(record.call_id),
        "app.cost_usd": None if record.cost is None else float(record.cost),
        "app.memo": record.memo,
        "app.simulated": record.simulated,
    }
    if span.is_recording():
        span.set_attributes({name: value for name, value in facts.items() if value is not None})
        if finish is not None:
            span.set_attribute(FINISH_REASONS, (finish,))
        if record.error_code is not None:
            span.set_status(trace.StatusCode.ERROR, record.error_code)
    span.end()
    labels = {
        OPERATION: _OPERATIONS[record.kind],
        PROVIDER: _NAMES.get(record.provider, record.provider),
        REQUEST_MODEL: record.model,
    }
    tokens, duration = _instruments()
    if usage is not None and record.memo != "hit":
        tokens.record(usage.input, labels | {TOKEN_TYPE: "input"})
        tokens.record(usage.output, labels | {TOKEN_TYPE: "output"})
    if record.latency_ms is not None:
        errors = {} if record.error_code is None else {ERROR_TYPE: record.error_code}
        duration.record(record.latency_ms / 1000, labels | errors)


def _places(context: CallContext) -> dict[str, str]:
    places = {
        "app.tenant": context.tenant,
        "app.run_id": context.run_id,
        "app.workflow": context.workflow,
        "app.node_id": context.node_id,
    }
    return {name: value for name, value in places.items() if value is not None}


def _tracer() -> Tracer:
    return trace.get_tracer(SCOPE)


@lru_cache(maxsize=1)
def _instruments() -> tuple[Histogram, Histogram]:
    meter = metrics.get_meter(SCOPE)
    return (
        meter.create_histogram("gen_ai.client.token.usage", unit="{token}"),
        meter.create_histogram("gen_ai.client.operation.duration", unit="s"),
    )
