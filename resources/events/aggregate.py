"""Aggregates: objects whose state is the sum of one stream's events, and whose commands add to it.

    class Basket(Aggregate[BasketState]):
        stream_type = "basket"
        state_type = BasketState

        def add(self, item: str) -> None:               # a command: check, then record
            if self.state.closed:
                raise ConflictError(...)
            self.record(ItemAdded(item=item))

        @on(ItemAdded)
        def _added(self, data: ItemAdded, at: datetime) -> None:   # a change: no checks, no clock, no I/O
            self.state.items.append(item)

A change may depend on the event alone (`at` is when it occurred), so that the same events always give the same state. Each
event raises the version by one, also one whose type is no longer in the catalog or that no method listens to.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel

from resources.events.catalog import CATALOG
from resources.events.model import StreamId
from resources.events.schema import Catalog, EventData

if TYPE_CHECKING:
    from collections.abc import Callable

    from resources.events.model import EventMetadata, NewEvent, RecordedEvent

State = TypeVar("State", bound=BaseModel)
Payload = TypeVar("Payload", bound=EventData)
Self_ = TypeVar("Self_")


def on(
    payload: type[Payload],
) -> Callable[[Callable[[Self_, Payload, datetime], None]], Callable[[Self_, Payload, datetime], None]]:
    """Mark the method that changes the state when an event of this type has happened."""

    def mark(method: Callable[[Self_, Payload, datetime], None]) -> Callable[[Self_, Payload, datetime], None]:
        method.listens_to = payload.event_type  # type: ignore[attr-defined]  # read below, when the class is made
        return method

    return mark


class Aggregate(Generic[State]):
    """Base of aggregates. `state_version` changes when old snapshots no longer fit `state_type`."""

    stream_type: ClassVar[str]
    state_type: ClassVar[type[BaseModel]]
    state_version: ClassVar[int] = 1
    catalog: ClassVar[Catalog] = CATALOG
    _changes: ClassVar[dict[str, Callable[[Any, Any, datetime], None]]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = {member.listens_to: member for member in vars(cls).values() if hasattr(member, "listens_to")}
        cls._changes = {**cls._changes, **own}

    def __init__(self, id: str, state: State | None = None, *, version: int = 0) -> None:
        self.id = id
        self.version = version
        self.state: State = state if state is not None else self.state_type()  # type: ignore[assignment]  # the class's own
        self.pending: list[NewEvent] = []

    @property
    def stream(self) -> StreamId:
        return StreamId(self.stream_type, self.id)

    def record(self, payload: EventData, *, now: datetime | None = None, metadata: EventMetadata | None = None) -> None:
        """Note a new fact: the state changes at once, the event waits in `pending` until the aggregate is saved."""
        event = payload.new(occurred_at=now or datetime.now(UTC), metadata=metadata)
        self._apply(payload, event.occurred_at)
        self.pending.append(event)

    def replay(self, event: RecordedEvent) -> None:
        """Take a stored fact in."""
        if event.type in self._changes:
            payload = self.catalog.parse(event)
            if payload is not None:
                self._apply(payload, event.occurred_at)
                return
        self.version += 1

    def _apply(self, payload: EventData, at: datetime) -> None:
        change = self._changes.get(payload.event_type)
        if change is not None:
            change(self, payload, at)
        self.version += 1
