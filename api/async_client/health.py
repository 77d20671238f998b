"""Whether the platform is well."""

from __future__ import annotations

from api.async_client.base import HttpClient
from api.client.answers import model_of
from api.schemas import (
    HealthDetailOut,
    HealthOut,
    MetricsSummaryOut,
)


class HealthClient(HttpClient):
    """Whether the platform is well."""

    async def health(self) -> HealthOut:
        return await self._get("/health", HealthOut)

    async def health_detailed(self) -> HealthDetailOut:
        """Also answered when something is down: the answer says what."""
        answer = await self._send("GET", "/health/detailed", expected=(200, 503))
        return model_of(HealthDetailOut, answer)

    async def metrics(self) -> str:
        """All metrics of the platform, as Prometheus reads them."""
        return (await self._send("GET", "/api/v1/metrics")).text

    async def metrics_summary(self) -> MetricsSummaryOut:
        """The most important of them, for people."""
        return await self._get("/api/v1/metrics/summary", MetricsSummaryOut)
