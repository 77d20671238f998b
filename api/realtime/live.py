"""The platform's own facts as messages: which event is told on which topics. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from resources.errors import InvalidInputError
from resources.events.catalog import CATALOG
from resources.realtime import topics

if TYPE_CHECKING:
    from resources.events.model import RecordedEvent

_BUDGETS = ("ai.tokens_used", "ai.budget_")
_FIRST = ("document.", "run.", "workflow.", "ai.")


def types() -> list[str]:
    """The types of events that are told on any topic."""
    return sorted(name for name in CATALOG.types if name.startswith(_FIRST))


def topics_of(event: RecordedEvent) -> list[str]:
    """Where an event is told; the first is the topic that its readers see."""
    found = []
    if event.type.startswith("document."):
        found.append("documents")
    elif event.type.startswith("run."):
        found += _named("runs", event.data.get("run_id"))
    elif event.type.startswith("workflow."):
        found += _named("runs", event.data.get("workflow_id"))
        found += _named("workflows", event.data.get("workflow_type") or event.metadata.tags.get("workflow"))
    elif event.type.startswith("ai."):
        if event.type.startswith(_BUDGETS):
            found.append("budgets")
        found += _named("runs", event.metadata.tags.get("run_id"))
    return list(dict.fromkeys(found))


def content_of(event: RecordedEvent) -> dict[str, Any]:
    """An event as its readers get it."""
    return {
        "event": event.type,
        "event_id": str(event.event_id),
        "stream": str(event.stream),
        "version": event.version,
        "correlation_id": event.metadata.correlation_id,
        "data": event.data,
    }


def _named(first: str, name: Any) -> list[str]:
    """The topic of one thing, if its name can be part of a topic."""
    topic = f"{first}.{name}"
    try:
        return [topics.check_topic(topic)] if isinstance(name, str) and "." not in name else []
    except InvalidInputError:
        return []
