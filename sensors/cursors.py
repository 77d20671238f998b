"""Pure arithmetic of sensors: which runs follow from which events, and where to go on."""

from collections.abc import Sequence
from dataclasses import dataclass

from resources.events.model import RecordedEvent


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run that one event asks for. `run_key` makes it at most one run an event, for ever."""

    run_key: str
    partition: str
    tenant: str
    correlation_id: str | None
    position: int


def parse_cursor(cursor: str | None) -> int:
    """The global position up to which events were handled; 0 at the beginning."""
    return int(cursor) if cursor else 0


def plan_document_runs(events: Sequence[RecordedEvent]) -> list[PlannedRun]:
    """One run for each `document.received`, in order of position."""
    return [
        PlannedRun(
            run_key=str(event.event_id),
            partition=str(event.data["document_id"]),
            tenant=event.tenant,
            correlation_id=event.metadata.correlation_id,
            position=event.position,
        )
        for event in events
    ]


def next_cursor(cursor: int, events: Sequence[RecordedEvent]) -> str:
    """The cursor after `events`, which may be empty."""
    return str(events[-1].position if events else cursor)
