"""What calls of models cost, and may cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from api.client.answers import V1, Answer, Seen
from api.client.base import HttpClient

if TYPE_CHECKING:
    from decimal import Decimal
    from uuid import UUID


class MoneyClient(HttpClient):
    """What calls of models cost, and may cost."""

    def budgets(self) -> list[dict[str, Any]]:
        return list(self._plain("GET", f"{V1}/budgets"))

    def budget(self, budget_id: UUID) -> Answer:
        return self._mapping("GET", f"{V1}/budgets/{budget_id}")

    def usage_summary(self, **parameters: Any) -> Answer:
        return self._mapping("GET", f"{V1}/usage/summary", **parameters)

    def budget_statuses(self) -> list[dict[str, Any]]:
        """What is spent, reserved and left, by budget."""
        return list(self._plain("GET", f"{V1}/budgets/status"))

    def put_budget(self, limit: Decimal, *, if_match: Seen | None = None, **fields: Any) -> Answer:
        """Set a budget; `fields` are further members of the request (`unit`, `scope`, `subject`, `period`, `hard`, ...)."""
        return self._mapping("PUT", f"{V1}/budgets", json={"limit": str(limit), **fields}, if_match=if_match)

    def remove_budget(self, budget_id: UUID, *, if_match: Seen | None = None) -> None:
        self._send("DELETE", f"{V1}/budgets/{budget_id}", if_match=if_match)

    def prices(self) -> list[dict[str, Any]]:
        """Those that differ from the tables."""
        return list(self._plain("GET", f"{V1}/prices"))

    def add_price(self, provider: str, model: str, **fields: Any) -> Answer:
        """A price from a day on; `fields` are further members of the request (`input_mtok`, `output_mtok`, ...)."""
        return self._mapping("POST", f"{V1}/prices", json={"provider": provider, "model": model, **fields})

    def quote_price(self, provider: str, model: str, **tokens: int) -> Answer:
        """What so many tokens cost now: `input`, `output`, `cache_read`, `cache_write`."""
        parameters: dict[str, Any] = {"provider": provider, "model": model, **tokens}
        return self._mapping("GET", f"{V1}/prices/quote", **parameters)

    def usage_series(self, **parameters: Any) -> list[dict[str, Any]]:
        return list(self._plain("GET", f"{V1}/usage/series", **parameters))

    def usage_totals(self, **parameters: Any) -> list[dict[str, Any]]:
        return list(self._plain("GET", f"{V1}/usage/totals", **parameters))

    def usage_calls(self, **parameters: Any) -> list[dict[str, Any]]:
        return list(self._plain("GET", f"{V1}/usage/calls", **parameters))

    def usage_forecast(self, *, days: int | None = None) -> Any:
        return self._plain("GET", f"{V1}/usage/forecast", days=days)

    def usage_estimate(self, units: int, **parameters: Any) -> dict[str, Any] | None:
        """What so many more of an `asset` or a `workflow` will cost; None where nothing of the like has cost anything yet."""
        found = self._plain("GET", f"{V1}/usage/estimate", units=units, **parameters)
        return None if found is None else dict(found)

    def usage_recommendations(self, **parameters: Any) -> list[dict[str, Any]]:
        return list(self._plain("GET", f"{V1}/usage/recommendations", **parameters))

    def usage_month(self, month: str) -> Answer:
        """The report of a month, such as 2026-11."""
        return self._mapping("GET", f"{V1}/usage/months/{quote(month, safe='')}")
