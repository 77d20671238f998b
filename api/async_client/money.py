"""What calls of models cost, and may cost."""

from __future__ import annotations

from typing import Any

from api.async_client.base import HttpClient
from api.client.answers import V1


class MoneyClient(HttpClient):
    """What calls of models cost, and may cost."""

    async def budgets(self) -> list[dict[str, Any]]:
        return list(await self._plain("GET", f"{V1}/budgets"))

    async def usage_summary(self, **parameters: Any) -> dict[str, Any]:
        return dict(await self._plain("GET", f"{V1}/usage/summary", **parameters))
