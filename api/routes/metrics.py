"""The platform in numbers: as Prometheus reads them, and in short for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import PlainTextResponse, Response

from api import problems
from api.metrics.collector import Collector
from api.metrics.summary import summary
from api.metrics.text import written
from api.schemas import MetricsSummaryOut

router = APIRouter(prefix="/metrics", tags=["metrics"])


@router.get(
    "",
    summary="All metrics, for Prometheus",
    response_class=PlainTextResponse,
    response_description="The text format of Prometheus, or OpenMetrics",
    responses=problems.responses(422, 503),
)
def read_metrics(
    request: Request, accept: Annotated[str, Header(max_length=1000, description="Which of the formats")] = ""
) -> Response:
    """Of all processes that serve the API and of all tenants together. What is read from the database is some seconds old."""
    text, media_type = written(_collector(request).collect(), accept)
    return Response(text, headers={"Content-Type": media_type})


@router.get("/summary", summary="The most important metrics, for people", responses=problems.responses(503))
def read_metrics_summary(request: Request) -> MetricsSummaryOut:
    """Of all processes that serve the API and of all tenants together, since the counters began."""
    return summary(_collector(request).collect(), now=datetime.now(UTC))


def _collector(request: Request) -> Collector:
    collector: Collector = request.app.state.metrics
    return collector
