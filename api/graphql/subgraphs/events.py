"""The record of all that happened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

import strawberry
from strawberry.scalars import JSON

from api.graphql import following, paging
from api.graphql.context import GraphContext
from api.graphql.module import Module
from api.graphql.paging import After, Connection, First
from resources.events.model import RecordedEvent


@strawberry.type
class Event:
    """A stored event. `position` is the cursor of every reader."""

    position: int
    id: strawberry.ID
    type: str
    stream: str
    version: int
    data: JSON
    correlation_id: str | None
    causation_id: str | None
    user_id: str | None
    occurred_at: datetime
    recorded_at: datetime

    @classmethod
    def of(cls, found: RecordedEvent) -> Event:
        metadata = found.metadata
        return cls(
            position=found.position,
            id=strawberry.ID(str(found.event_id)),
            type=found.type,
            stream=str(found.stream),
            version=found.version,
            data=JSON(dict(found.data)),
            correlation_id=metadata.correlation_id,
            causation_id=None if metadata.causation_id is None else str(metadata.causation_id),
            user_id=metadata.user_id,
            occurred_at=found.occurred_at,
            recorded_at=found.recorded_at,
        )


@strawberry.type
class Query:
    """What can be asked of events."""

    @strawberry.field
    async def events(
        self,
        info: strawberry.Info[GraphContext],
        first: First = 10,
        after: After = None,
        types: list[str] | None = None,
        stream_type: str | None = None,
    ) -> Connection[Event] | None:
        """Events in their order, from the first on."""
        behind = paging.decode("events", after)
        found = await info.context.run(
            info.context.services.events.read_all,
            after_position=int(behind) if behind is not None and behind.isdigit() else 0,
            types=types,
            stream_type=stream_type,
            limit=paging.checked(first) + 1,
            tenant=info.context.tenant,
        )
        listed = [Event.of(one) for one in found]
        return paging.page("events", listed, lambda one: str(one.position), first=first, after=after)


@strawberry.type
class Subscription:
    """What can be followed of events."""

    @strawberry.subscription
    async def events(
        self,
        info: strawberry.Info[GraphContext],
        after: int | None = None,
        types: list[str] | None = None,
        stream_type: str | None = None,
    ) -> AsyncIterator[Event]:
        """Events as they happen, behind the position `after`; unset = from now on. Nothing is lost between two subscriptions."""
        async for event in following.events(info.context, after, types=types, stream_type=stream_type):
            yield Event.of(event)


MODULE = Module(
    name="events",
    query=Query,
    subscription=Subscription,
    access={"Query.events": "read:events", "Subscription.events": "subscribe:events"},
)
