"""What calls of models cost, and may cost."""

from __future__ import annotations

from typing import Any

from api.client.answers import V1
from api.client.base import HttpClient


class MoneyClient(HttpClient):
    """What calls of models cost, and may cost."""

    def budgets(self) -> list[dict[str, Any]]:
        return list(self._plain("GET", f"{V1}/budgets"))

    def usage_summary(self, **parameters: Any) -> dict[str, Any]:
        return dict(self._plain("GET", f"{V1}/usage/summary", **parameters))
