"""Whether the platform is well."""

from __future__ import annotations

from api.client.base import HttpClient
from api.schemas import (
    HealthDetailOut,
    HealthOut,
)


class HealthClient(HttpClient):
    """Whether the platform is well."""

    def health(self) -> HealthOut:
        return self._get("/health", HealthOut)

    def health_detailed(self) -> HealthDetailOut:
        """Also answered when something is down: the answer says what."""
        answer = self._send("GET", "/health/detailed", expected=(200, 503))
        return HealthDetailOut.model_validate_json(answer.content)
