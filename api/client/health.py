"""Whether the platform is well."""

from __future__ import annotations

from api.client.answers import model_of
from api.client.base import HttpClient
from api.schemas import (
    HealthDetailOut,
    HealthOut,
    MetricsSummaryOut,
)


class HealthClient(HttpClient):
    """Whether the platform is well."""

    def health(self) -> HealthOut:
        return self._get("/health", HealthOut)

    def health_detailed(self) -> HealthDetailOut:
        """Also answered when something is down: the answer says what."""
        answer = self._send("GET", "/health/detailed", expected=(200, 503))
        return model_of(HealthDetailOut, answer)

    def metrics(self) -> str:
        """All metrics of the platform, as Prometheus reads them."""
        return self._send("GET", "/api/v1/metrics").text

    def metrics_summary(self) -> MetricsSummaryOut:
        """The most important of them, for people."""
        return self._get("/api/v1/metrics/summary", MetricsSummaryOut)
