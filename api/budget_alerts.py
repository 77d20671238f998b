"""What becomes of a budget's alert besides its event: a line in the log, and one call of the budget's webhook.

A call carries the alert's id and is signed with the tenant's secret `budget-alerts`, if there is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from api.webhook_teller import WebhookTeller
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from resources.ai.budgets.store import BudgetStore
    from resources.ai.directory import OwnKeys
    from resources.events.model import RecordedEvent
    from resources.events.store import EventStore
    from resources.events.subscriptions.store import SubscriptionStore
    from resources.workflows.web import WebClient

log = get_logger(__name__)

SECRET: Final = "budget-alerts"  # noqa: S105  # the name that it is kept under


class BudgetAlerts(WebhookTeller):
    """Tells of alerts. `keys` are the tenants' secrets."""

    name = "ai.budget_alerts"
    types = ("ai.budget_threshold_reached",)

    def __init__(
        self,
        events: EventStore,
        subscriptions: SubscriptionStore,
        *,
        budgets: BudgetStore,
        keys: OwnKeys,
        web: WebClient,
    ) -> None:
        super().__init__(events, subscriptions, web=web)
        self._budgets = budgets
        self._keys = keys

    def deliver(self, event: RecordedEvent) -> None:
        alert, tenant = event.data, event.tenant
        log.warning("ai.budget_alert", tenant=tenant, **{name: str(value) for name, value in alert.items()})
        budget = next(
            (one for one in self._budgets.list(tenant=tenant) if str(one.budget_id) == alert["budget_id"]), None
        )
        if budget is None or budget.webhook_url is None:
            return
        secret, _ = self._keys(tenant).get(SECRET, (None, None))
        data = {"tenant": tenant, **alert}
        self._call(budget.webhook_url, event, data, delivery=str(event.event_id), secret=secret)
