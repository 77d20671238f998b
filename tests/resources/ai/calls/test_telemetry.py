from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from resources.ai import telemetry
from resources.ai.model import CallContext
from resources.ai.provider import ProviderRefusedError
from resources.ai.providers.scripted import ScriptedProvider
from tests.resources.ai.calls.parts import answer, memory_calls, request

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

CONTEXT = CallContext(tenant="t", run_id="r")


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return exporter


def told(span: ReadableSpan) -> dict[str, object]:
    return dict(span.attributes or {})


async def test_a_call_is_a_span_after_the_conventions(spans: InMemorySpanExporter) -> None:
    result = await memory_calls(ScriptedProvider([answer("the answer")])).complete(request("the question"), CONTEXT)
    (span,) = spans.get_finished_spans()
    facts = told(span)
    assert (span.name, span.kind.name) == ("chat m", "CLIENT")
    assert facts["gen_ai.operation.name"] == "chat"
    assert facts["gen_ai.request.model"] == facts["gen_ai.response.model"] == "m"
    assert (facts["gen_ai.usage.input_tokens"], facts["gen_ai.usage.output_tokens"]) == (10, 5)
    assert facts["gen_ai.response.finish_reasons"] == ("stop",)
    assert (facts["app.tenant"], facts["app.run_id"], facts["app.call_id"]) == ("t", "r", str(result.call_id))
    assert not any("question" in str(fact) or "answer" in str(fact) for fact in facts.values())


async def test_a_failed_call_says_why(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ProviderRefusedError):
        await memory_calls(ScriptedProvider([ProviderRefusedError("no")])).complete(request(), CONTEXT)
    (span,) = spans.get_finished_spans()
    assert told(span)["error.type"] == "provider_refused"
    assert span.status.status_code.name == "ERROR"


async def test_tools_are_spans_of_their_own(spans: InMemorySpanExporter) -> None:
    await memory_calls().call_tool("look", {}, lambda: "seen", CONTEXT)
    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind.name, told(span)["gen_ai.tool.name"]) == ("execute_tool look", "INTERNAL", "look")


async def test_tokens_and_durations_are_measured_but_not_those_of_recorded_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(metrics, "get_meter", provider.get_meter)
    telemetry._instruments.cache_clear()
    try:
        calls = memory_calls(ScriptedProvider([answer()]))
        for _ in range(2):
            await calls.complete(request(), CONTEXT)
        data = reader.get_metrics_data()
    finally:
        telemetry._instruments.cache_clear()
        provider.shutdown()
    assert data is not None
    found = {metric.name: metric for metric in data.resource_metrics[0].scope_metrics[0].metrics}
    tokens = {
        (point.attributes or {})["gen_ai.token.type"]: point.sum  # type: ignore[union-attr]  # points of histograms
        for point in found["gen_ai.client.token.usage"].data.data_points
    }
    assert tokens == {"input": 10, "output": 5}
    (duration,) = found["gen_ai.client.operation.duration"].data.data_points
    assert duration.count == 2  # type: ignore[union-attr]  # of a histogram
