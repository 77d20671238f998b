"""Whether the platform is well."""

from __future__ import annotations

from api.async_client.base import HttpClient
from api.schemas import (
    HealthDetailOut,
    HealthOut,
)


class HealthClient(HttpClient):
    """Whether the platform is well."""

    async def health(self) -> HealthOut:
        return await self._get("/health", HealthOut)

    async def health_detailed(self) -> HealthDetailOut:
        """Also answered when something is down: the answer says what."""
        answer = await self._send("GET", "/health/detailed", expected=(200, 503))
        return HealthDetailOut.model_validate_json(answer.content)
