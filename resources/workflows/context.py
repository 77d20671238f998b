"""What nodes see of the run: its inputs and the results of nodes before them. Results never change once they are there.

Behind the names of the original (`event_id`, `workflow_type`, `event_data`, `nodes`, `metadata`): the id of the run, the name of
the workflow, the inputs, the outputs by node id, and what nodes noted about the run.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime  # noqa: TC003
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from resources.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NodeResult:
    """What a node gave: the value that travels along the edges of the graph, and is stored for re-execution."""

    node: str
    output: Any


@dataclass(frozen=True, slots=True)
class TaskContext:
    """Read by expressions as `inputs`, `nodes.<id>.output`, `metadata`, and inside a map or a loop `item`, `index`, `state`."""

    event_id: str
    workflow_type: str
    event_data: Mapping[str, Any]
    created_at: datetime
    updated_at: datetime
    nodes: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    scope: Mapping[str, Any] = field(default_factory=dict)
    tenant: str | None = None

    def merge(self, results: Iterable[NodeResult], *, at: datetime) -> TaskContext:
        """This and the results, in their order: of two for one node the later counts."""
        return replace(self, nodes={**self.nodes, **{result.node: result.output for result in results}}, updated_at=at)

    def within(self, **scope: Any) -> TaskContext:
        """This, and names that hold inside a body (`item`, `index`, `state`)."""
        return replace(self, scope={**self.scope, **scope})

    def get_node_data(self, node: str, kind: type[T]) -> T | None:
        """The node's output as `kind`; None when it has none. Raises InvalidInputError when it has another shape."""
        if node not in self.nodes:
            return None
        return _as(self.nodes[node], kind, f"nodes.{node}.output")

    def get_event_data(self, kind: type[T]) -> T:
        """The inputs as `kind`. Raises InvalidInputError when they have another shape."""
        return _as(self.event_data, kind, "inputs")


def _as(value: Any, kind: type[T], path: str) -> T:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise InvalidInputError(
            f"{path} is not a {kind.__name__}: {error.errors()[0]['msg']}", code="data_shape"
        ) from error
