"""Whoever wants to know of events is called: one signed request of a webhook for each event that concerns it.

A subscription of the event store delivers the events, so none is lost; one that cannot be delivered is tried again, then kept
as a dead letter of that subscription. A call carries an id that is the same when it has to be repeated.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final

import orjson

from assets.nodes.notify import signed
from resources.errors import NotFoundError, UnavailableError, UpstreamError
from resources.events.subscriptions.consumer import Consumer
from resources.events.subscriptions.model import Subscription
from resources.telemetry.logging import get_logger
from resources.workflows.web import WebRequest

if TYPE_CHECKING:
    from pydantic import SecretStr

    from resources.events.model import RecordedEvent
    from resources.events.store import EventStore
    from resources.events.subscriptions.store import SubscriptionStore
    from resources.workflows.web import WebClient

log = get_logger(__name__)

TIMEOUT: Final = 10.0
_ANSWER_BYTES: Final = 64 * 1024
_FIRST_FAILURE: Final = 300


class WebhookTeller(ABC):
    """Follows the events of `types`, from when it was first there, as the subscription `name`."""

    name: ClassVar[str]
    types: ClassVar[tuple[str, ...]]
    partitions: ClassVar[int] = 1

    def __init__(self, events: EventStore, subscriptions: SubscriptionStore, *, web: WebClient) -> None:
        self._events = events
        self._subscriptions = subscriptions
        self._web = web
        self._stop = threading.Event()

    @abstractmethod
    def deliver(self, event: RecordedEvent) -> None:
        """Tell of one event, if anybody wants to know. Raises UpstreamError, and what calls raise."""

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set."""
        self._stop = stop
        while not stop.is_set():
            try:
                self._define()
                break
            except UnavailableError as error:
                log.warning("webhooks.wait", subscription=self.name, reason=error.message)
                stop.wait(1.0)
        Consumer(self.name, events=self._events, subscriptions=self._subscriptions, deliver=self.deliver).run(stop)

    def _define(self) -> None:
        try:
            self._subscriptions.status(self.name)
        except NotFoundError:
            start = self._events.head(tenant=None)
            self._subscriptions.define(
                Subscription(self.name, types=self.types, partitions=self.partitions, start_position=start)
            )

    def _call(
        self, url: str, event: RecordedEvent, data: dict[str, Any], *, delivery: str, secret: SecretStr | None
    ) -> None:
        """Raises UpstreamError when the webhook does not take it, and what calls raise."""
        content = orjson.dumps({"type": event.type, "timestamp": event.occurred_at.isoformat(), "data": data})
        headers = {"content-type": "application/json"}
        headers |= signed(content, delivery=delivery, secret=secret, now=int(time.time()))
        request = WebRequest("POST", url, headers, content, timeout=TIMEOUT, max_bytes=_ANSWER_BYTES)
        reply = self._web.send(request, tenant=event.tenant, cancel=self._stop)
        if reply.status >= _FIRST_FAILURE:
            raise UpstreamError(f"A webhook of {self.name!r} answered {reply.status}.", code="webhook_refused")
