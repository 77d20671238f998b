from __future__ import annotations

import time
from decimal import Decimal
from typing import TYPE_CHECKING

import orjson
import pytest
from pydantic import SecretStr

from api.budget_alerts import SECRET, BudgetAlerts
from resources.ai.budgets.model import Budget
from resources.ai.egress import EgressPolicy
from resources.ai.ledger.memory import MemoryCallBooks
from resources.errors import UpstreamError
from resources.events.memory import MemoryEventStore
from resources.events.subscriptions.memory import MemorySubscriptions
from resources.workflows.web import WebClient
from resources.workflows.webhooks import verify
from tests.assets.nodes.web import Answer, WebServer, serving
from tests.contracts.call_books import opening_of, record_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resources.events.model import RecordedEvent

KEY = "whsec_c2VjcmV0IG9mIHRoZSBhbGVydHM="


@pytest.fixture
def server() -> Iterator[WebServer]:
    with serving() as server:
        yield server


def alerted(server: WebServer, *, webhook: bool = True) -> tuple[BudgetAlerts, RecordedEvent]:
    """A budget that is spent, and who tells of it."""
    events = MemoryEventStore()
    books = MemoryCallBooks(events=events)
    url = f"{server.url}/alerts" if webhook else None
    books.budgets.put(Budget("tenant", "day", Decimal("0.01"), tenant="t", webhook_url=url))
    record = record_of("t")
    books.open(opening_of(record))
    books.settle(record)
    (event,) = events.read_all(types=["ai.budget_threshold_reached"], tenant="t")
    alerts = BudgetAlerts(
        events,
        MemorySubscriptions(events),
        budgets=books.budgets,
        keys=lambda _: {SECRET: (SecretStr(KEY), None)},
        web=WebClient(EgressPolicy.model_validate({"allowed": ["127.0.0.0/8"]})),
    )
    return alerts, event


def test_the_webhook_of_a_budget_is_told_signed_and_with_the_same_id_each_time(server: WebServer) -> None:
    alerts, event = alerted(server)
    alerts.deliver(event)
    alerts.deliver(event)
    first, again = server.asked
    assert verify(first.body, first.headers, secret=KEY, now=time.time()) == str(event.event_id)
    assert again.headers["webhook-id"] == first.headers["webhook-id"]
    told = orjson.loads(first.body)["data"]
    assert (told["tenant"], told["threshold"], told["spent"]) == ("t", "0.95", "0.01")


def test_a_webhook_that_fails_is_told_again(server: WebServer) -> None:
    alerts, event = alerted(server)
    server.will(Answer(status=500))
    with pytest.raises(UpstreamError):
        alerts.deliver(event)


def test_without_a_webhook_an_alert_is_only_logged(server: WebServer) -> None:
    alerts, event = alerted(server, webhook=False)
    alerts.deliver(event)
    assert server.asked == []
