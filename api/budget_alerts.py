"""What becomes of a budget's alert besides its event: a line in the log, and one call of the budget's webhook.

A subscription of the event store delivers them, so none is lost; one that cannot be delivered is tried again, then kept as a dead
letter of `ai.budget_alerts`. A call carries the alert's id, which is the same when it has to be repeated, and is signed with the
tenant's secret `budget-alerts`, if there is one.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import orjson

from assets.nodes.notify import signed
from resources.errors import NotFoundError, UnavailableError, UpstreamError
from resources.events.subscriptions.consumer import Consumer
from resources.events.subscriptions.model import Subscription
from resources.telemetry.logging import get_logger
from resources.workflows.web import WebRequest

if TYPE_CHECKING:
    from resources.ai.budgets.store import BudgetStore
    from resources.ai.directory import OwnKeys
    from resources.events.model import RecordedEvent
    from resources.events.store import EventStore
    from resources.events.subscriptions.store import SubscriptionStore
    from resources.workflows.web import WebClient

log = get_logger(__name__)

NAME: Final = "ai.budget_alerts"
SECRET: Final = "budget-alerts"  # noqa: S105  # the name that it is kept under
TYPE: Final = "ai.budget_threshold_reached"
TIMEOUT: Final = 10.0
_ANSWER_BYTES: Final = 64 * 1024
_FIRST_FAILURE: Final = 300


class BudgetAlerts:
    """Tells of alerts. `keys` are the tenants' secrets."""

    def __init__(
        self,
        events: EventStore,
        subscriptions: SubscriptionStore,
        *,
        budgets: BudgetStore,
        keys: OwnKeys,
        web: WebClient,
    ) -> None:
        self._events = events
        self._subscriptions = subscriptions
        self._budgets = budgets
        self._keys = keys
        self._web = web
        self._stop = threading.Event()

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        self._stop = stop
        while not stop.is_set():
            try:
                self.define()
                break
            except UnavailableError as error:
                log.warning("ai.budget_alerts_wait", reason=error.message)
                stop.wait(1.0)
        Consumer(NAME, events=self._events, subscriptions=self._subscriptions, deliver=self.deliver).run(stop)

    def define(self) -> None:
        """Begin with what happens from now on, if this is the first time."""
        try:
            self._subscriptions.status(NAME)
        except NotFoundError:
            start = self._events.head(tenant=None)
            self._subscriptions.define(Subscription(NAME, types=(TYPE,), start_position=start))

    def deliver(self, event: RecordedEvent) -> None:
        """Tell of one alert. Raises UpstreamError, and what calls and the secrets' store raise."""
        alert, tenant = event.data, event.tenant
        log.warning("ai.budget_alert", tenant=tenant, **{name: str(value) for name, value in alert.items()})
        budget = next(
            (one for one in self._budgets.list(tenant=tenant) if str(one.budget_id) == alert["budget_id"]), None
        )
        if budget is None or budget.webhook_url is None:
            return
        body = {"type": event.type, "timestamp": event.occurred_at.isoformat(), "data": {"tenant": tenant, **alert}}
        content = orjson.dumps(body)
        secret, _ = self._keys(tenant).get(SECRET, (None, None))
        delivery = signed(content, delivery=str(event.event_id), secret=secret, now=int(time.time()))
        headers = {"content-type": "application/json", **delivery}
        request = WebRequest("POST", budget.webhook_url, headers, content, timeout=TIMEOUT, max_bytes=_ANSWER_BYTES)
        reply = self._web.send(request, tenant=tenant, cancel=self._stop)
        if reply.status >= _FIRST_FAILURE:
            raise UpstreamError(
                f"The webhook of the budget {budget.budget_id} answered {reply.status}.", code="webhook_refused"
            )
