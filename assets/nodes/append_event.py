"""Add an event to the event store: a fact that others can start from."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, Field

from assets.nodes.base import has_expressions, near, node, occasion
from resources.errors import InvalidInputError, Problem
from resources.events.catalog import CATALOG
from resources.events.model import EventMetadata, NewEvent, StreamId
from resources.workflows.node_type import NodeConfig, NodeContext
from resources.workflows.spec import NodeSpec

if TYPE_CHECKING:
    from resources.events.store import EventStore

_OWN: Final = frozenset({"run", "workflow"})
"""Families of events that the engine takes for the truth about its runs."""


class Config(NodeConfig):
    """Which event, and where it belongs."""

    event: str = Field(description="A type of the catalog, such as system.error_occurred (`aiw events catalog`)")
    data: dict[str, Any] = Field(description="The event's fields, as its type says")
    stream_type: str | None = Field(
        default=None, min_length=1, max_length=200, description="Unset: the first word of the event's type"
    )
    stream_id: str | None = Field(default=None, min_length=1, max_length=200, description="Unset: the id of the run")
    tags: dict[str, str] = Field(default_factory=dict, max_length=50, description="Labels to find the event by")


class Output(BaseModel):
    """Where the event stands."""

    event_id: str = Field(description="The event's id")
    position: int = Field(description="Its place in the order of all events")
    version: int = Field(description="Its place in its stream")
    stream: str = Field(description="type/id of the stream")


def _check(spec: NodeSpec) -> Sequence[Problem]:
    """The type is in the catalog, and data without expressions is as it says."""
    name, data = spec.config.get("event"), spec.config.get("data")
    if not isinstance(name, str) or has_expressions(name):
        return ()
    if problem := _refused(name):
        return (problem,)
    if not isinstance(data, dict) or has_expressions(data):
        return ()
    _, _, problems = CATALOG.validate(name, None, data)
    return [Problem(f"config.{problem.path}", problem.message, problem.hint) for problem in problems]


@node(
    "append_event",
    output=Output,
    summary="Add an event to the event store",
    resources={"events"},
    effects=True,
    check=_check,
    examples=[
        {
            "id": "tell",
            "type": "append_event",
            "config": {
                "event": "system.performance_measured",
                "data": {"name": "documents_checked", "value": 3},
            },
        }
    ],
)
def append_event(config: Config, context: NodeContext) -> Output:
    """Once for each execution of the node: a second try of the same run finds the event that the first one stored.

    Raises InvalidInputError with every problem of the data, and UnavailableError.
    """
    if problem := _refused(config.event):
        raise InvalidInputError(
            f"The event cannot be added: {problem}.", code="event_type_refused", problems=(problem,)
        )
    events: EventStore = context.resource("events")
    stream = StreamId(config.stream_type or config.event.split(".", 1)[0], config.stream_id or context.run_id)
    event = NewEvent(
        type=config.event,
        data=config.data,
        event_id=occasion(context, config.model_dump(mode="json")),
        metadata=EventMetadata(
            correlation_id=context.correlation_id,
            causation_id=context.run_id,
            source=f"workflow/{context.workflow}",
            tags=config.tags,
        ),
    )
    appended = events.append(stream, [event], tenant=context.tenant)
    recorded = appended.events[-1]
    return Output(
        event_id=str(recorded.event_id),
        position=recorded.position,
        version=recorded.version,
        stream=str(recorded.stream),
    )


def _refused(name: str) -> Problem | None:
    if name not in CATALOG:
        return Problem("config.event", f"unknown event type {name!r}", near(name, CATALOG.types))
    if name.split(".", 1)[0] in _OWN:
        return Problem("config.event", f"{name!r} tells of a run", "the platform writes these itself")
    return None
