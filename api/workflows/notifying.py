"""Whom a workflow wants told about the end of its runs, is told: one call of its webhook for each end."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from api.webhook_teller import WebhookTeller
from resources.errors import NotFoundError
from resources.telemetry.logging import get_logger
from resources.workflows.triggers import ENDS

if TYPE_CHECKING:
    from resources.events.model import RecordedEvent
    from resources.events.store import EventStore
    from resources.events.subscriptions.store import SubscriptionStore
    from resources.workflows.catalogue import Catalogue
    from resources.workflows.executions import Executions
    from resources.workflows.web import WebClient

log = get_logger(__name__)

_NAMESPACE = uuid.UUID("5b0e8b2a-6a6e-4f2e-9f0c-6f0e5c2f7a10")


class Notifications(WebhookTeller):
    """Calls the webhooks of `config.notifications`."""

    name = "workflow.notifications"
    types = tuple(ENDS)
    partitions = 2

    def __init__(
        self,
        events: EventStore,
        subscriptions: SubscriptionStore,
        *,
        workflows: Catalogue,
        executions: Executions,
        web: WebClient,
    ) -> None:
        super().__init__(events, subscriptions, web=web)
        self._workflows = workflows
        self._executions = executions

    def deliver(self, event: RecordedEvent) -> None:
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
        data = {
            "run_id": event.stream.id,
            "workflow": found.workflow,
            "revision": found.revision,
            "status": status,
            "outputs": event.data.get("output_data"),
            "error": event.data.get("error_message") or event.data.get("reason"),
            "failed_node": event.data.get("failed_node"),
            "duration_ms": event.data.get("duration_ms"),
        }
        self._call(
            wanted.webhook_url, event, data, delivery=str(uuid.uuid5(_NAMESPACE, str(event.event_id))), secret=None
        )
        log.info("workflow.notified", run_id=event.stream.id, workflow=found.workflow, status=status)
