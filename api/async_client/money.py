"""What calls of models cost, and may cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from api.async_client.base import HttpClient
from api.client.answers import V1, Answer, Seen

if TYPE_CHECKING:
    from decimal import Decimal
    from uuid import UUID


class MoneyClient(HttpClient):
    """What calls of models cost, and may cost."""

    async def budgets(self) -> list[dict[str, Any]]:
        return list(await self._plain("GET", f"{V1}/budgets"))

    async def budget(self, budget_id: UUID) -> Answer:
        return await self._mapping("GET", f"{V1}/budgets/{budget_id}")

    async def usage_summary(self, **parameters: Any) -> Answer:
        return await self._mapping("GET", f"{V1}/usage/summary", **parameters)

    async def budget_statuses(self) -> list[dict[str, Any]]:
        """What is spent, reserved and left, by budget."""
        return list(await self._plain("GET", f"{V1}/budgets/status"))

    async def put_budget(self, limit: Decimal, *, if_match: Seen | None = None, **fields: Any) -> Answer:
        """Set a budget; `fields` are further members of the request (`unit`, `scope`, `subject`, `period`, `hard`, ...)."""
        return await self._mapping("PUT", f"{V1}/budgets", json={"limit": str(limit), **fields}, if_match=if_match)

    async def remove_budget(self, budget_id: UUID, *, if_match: Seen | None = None) -> None:
        await self._send("DELETE", f"{V1}/budgets/{budget_id}", if_match=if_match)

    async def prices(self) -> list[dict[str, Any]]:
        """Those that differ from the tables."""
        return list(await self._plain("GET", f"{V1}/prices"))

    async def add_price(self, provider: str, model: str, **fields: Any) -> Answer:
        """A price from a day on; `fields` are further members of the request (`input_mtok`, `output_mtok`, ...)."""
        return await self._mapping("POST", f"{V1}/prices", json={"provider": provider, "model": model, **fields})

    async def quote_price(self, provider: str, model: str, **tokens: int) -> Answer:
        """What so many tokens cost now: `input`, `output`, `cache_read`, `cache_write`."""
        parameters: dict[str, Any] = {"provider": provider, "model": model, **tokens}
        return await self._mapping("GET", f"{V1}/prices/quote", **parameters)

    async def usage_series(self, **parameters: Any) -> list[dict[str, Any]]:
        return list(await self._plain("GET", f"{V1}/usage/series", **parameters))

    async def usage_totals(self, **parameters: Any) -> list[dict[str, Any]]:
        return list(await self._plain("GET", f"{V1}/usage/totals", **parameters))

    async def usage_calls(self, **parameters: Any) -> list[dict[str, Any]]:
        return list(await self._plain("GET", f"{V1}/usage/calls", **parameters))

    async def usage_forecast(self, *, days: int | None = None) -> Any:
        return await self._plain("GET", f"{V1}/usage/forecast", days=days)

    async def usage_estimate(self, units: int, **parameters: Any) -> dict[str, Any] | None:
        """What so many more of an `asset` or a `workflow` will cost; None where nothing of the like has cost anything yet."""
        found = await self._plain("GET", f"{V1}/usage/estimate", units=units, **parameters)
        return None if found is None else dict(found)

    async def usage_recommendations(self, **parameters: Any) -> list[dict[str, Any]]:
        return list(await self._plain("GET", f"{V1}/usage/recommendations", **parameters))

    async def usage_month(self, month: str) -> Answer:
        """The report of a month, such as 2026-11."""
        return await self._mapping("GET", f"{V1}/usage/months/{quote(month, safe='')}")
