"""Every change of a right or a secret becomes an event of the tenant that it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resources.events.model import EventMetadata, NewEvent, StreamId
from resources.telemetry import correlation
from resources.telemetry.logging import get_logger

if TYPE_CHECKING:
    from resources.events.schema import EventData
    from resources.events.store import EventStore
    from resources.tenants.model import Principal

log = get_logger(__name__)


class Audit:
    """Writes to the event store; `log` has a line too, for those who watch logs rather than events."""

    def __init__(self, events: EventStore) -> None:
        self._events = events

    def record(self, stream: StreamId, fact: EventData, *, tenant: str, actor: Principal | None = None) -> None:
        """Store what happened. `actor` None = somebody with access to the database, or who is not known yet."""
        metadata = EventMetadata(
            correlation_id=correlation.current(),
            user_id=None if actor is None else actor.subject,
            session_id=None if actor is None or actor.session_id is None else str(actor.session_id),
            source="identity",
        )
        event = NewEvent(type(fact).event_type, fact.model_dump(mode="json"), metadata=metadata)
        self._events.append(stream, [event], tenant=tenant)
        log.info("audit.recorded", type=event.type, stream=str(stream), tenant=tenant, actor=metadata.user_id)
