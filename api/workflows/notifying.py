"""Whom a workflow wants told about the end of its runs, is told: one call of its webhook for each end.

A subscription of the event store delivers the ends, so none is lost and one that cannot be delivered is tried again, then kept as
a dead letter of `workflow.notifications`. A call carries the id of its delivery, which is the same when it has to be repeated.
"""

from __future__ import annotations

import threading
import time
import uuid
from typing import TYPE_CHECKING, Any, Final

import orjson

from assets.nodes.notify import signed
from resources.errors import NotFoundError, UnavailableError, UpstreamError
from resources.events.subscriptions.consumer import Consumer
from resources.events.subscriptions.model import Subscription
from resources.telemetry.logging import get_logger
from resources.workflows.triggers import ENDS
from resources.workflows.web import WebRequest

if TYPE_CHECKING:
    from resources.events.model import RecordedEvent
    from resources.events.store import EventStore
    from resources.events.subscriptions.store import SubscriptionStore
    from resources.workflows.catalogue import Catalogue
    from resources.workflows.executions import Executions
    from resources.workflows.web import WebClient

log = get_logger(__name__)

NAME: Final = "workflow.notifications"
TIMEOUT: Final = 10.0
_ANSWER_BYTES = 64 * 1024
_NAMESPACE = uuid.UUID("5b0e8b2a-6a6e-4f2e-9f0c-6f0e5c2f7a10")
_FIRST_FAILURE = 300


class Notifications:
    """Calls the webhooks of `config.notifications`."""

    def __init__(
        self,
        events: EventStore,
        subscriptions: SubscriptionStore,
        *,
        workflows: Catalogue,
        executions: Executions,
        web: WebClient,
    ) -> None:
        self._events = events
        self._subscriptions = subscriptions
        self._workflows = workflows
        self._executions = executions
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
                log.warning("workflow.notifications_wait", reason=error.message)
                stop.wait(1.0)
        Consumer(NAME, events=self._events, subscriptions=self._subscriptions, deliver=self.deliver).run(stop)

    def define(self) -> None:
        """Begin with what happens from now on, if this is the first time."""
        try:
            self._subscriptions.status(NAME)
        except NotFoundError:
            start = self._events.head(tenant=None)
            self._subscriptions.define(Subscription(NAME, types=tuple(ENDS), partitions=2, start_position=start))

    def deliver(self, event: RecordedEvent) -> None:
        """Tell whoever wants to be told about this end. Raises UpstreamError, and what calls raise."""
        status = ENDS[event.type]
        try:
            found = self._executions.get(event.stream.id, event.tenant)
            spec = self._workflows.find(found.workflow, tenant=event.tenant, revision=found.revision).spec
        except NotFoundError:
            return  # a run of something that is gone
        wanted = spec.config.notifications
        if wanted is None or wanted.webhook_url is None:
            return
        if not (wanted.on_completion if status == "completed" else wanted.on_failure):
            return
        delivery = str(uuid.uuid5(_NAMESPACE, str(event.event_id)))
        body: dict[str, Any] = {
            "type": event.type,
            "timestamp": event.occurred_at.isoformat(),
            "data": {
                "run_id": event.stream.id,
                "workflow": found.workflow,
                "revision": found.revision,
                "status": status,
                "outputs": event.data.get("output_data"),
                "error": event.data.get("error_message") or event.data.get("reason"),
                "failed_node": event.data.get("failed_node"),
                "duration_ms": event.data.get("duration_ms"),
            },
        }
        content = orjson.dumps(body)
        headers = {
            "content-type": "application/json",
            **signed(content, delivery=delivery, secret=None, now=int(time.time())),
        }
        request = WebRequest("POST", wanted.webhook_url, headers, content, timeout=TIMEOUT, max_bytes=_ANSWER_BYTES)
        reply = self._web.send(request, tenant=event.tenant, cancel=self._stop)
        if reply.status >= _FIRST_FAILURE:
            raise UpstreamError(f"The webhook of {found.workflow!r} answered {reply.status}.", code="webhook_refused")
        log.info("workflow.notified", run_id=event.stream.id, workflow=found.workflow, status=status)
