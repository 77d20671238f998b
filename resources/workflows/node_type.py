"""What a type of node is: a name, a typed config, typed results, and a function.

The types themselves are in `assets/nodes/`; they are plain functions that know nothing of Dagster. What they need comes in a
`NodeContext`; what they return is JSON.

    class Config(NodeConfig):
        template: str = Field(description="The text, with expressions")

    class Output(BaseModel):
        text: str

    @node("template", output=Output, summary="Fill in a text")
    def template(config: Config, context: NodeContext) -> Output: ...
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping  # part of the models below
from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

from resources.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from resources.errors import Problem
    from resources.workflows.context import TaskContext
    from resources.workflows.spec import NodeSpec

# step: one call. router: one call that chooses branches. The others have a body of nodes of their own.
NodeKind = Literal["step", "router", "map", "loop", "parallel", "sub_workflow"]


class NodeConfig(BaseModel):
    """Base of config models. Strings arrive with their expressions already filled in."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NodeLog(Protocol):
    """Where a node tells what it does; the lines stand on the run's page."""

    def debug(self, message: str) -> None: ...
    def info(self, message: str) -> None: ...
    def warning(self, message: str) -> None: ...


@dataclass(frozen=True, slots=True)
class NodeContext:
    """What a node may know and use while it runs.

    `resource(name)` gives what the type named in `resources`. `deadline` is of `time.monotonic`, None when there is no timeout.
    `render(value, *, task=None, **scope)` fills in the expressions of any JSON value, over this node's `task` or another (a
    body's results); `scope` adds names such as `item`. `body(task)` runs the nodes in this node's body once, one after another,
    and gives the context with their results (for loops). `report` adds metadata to the node's page in the UI; `emit` tells a
    listener about output in progress (text as it comes). `root_run_id` is the first of the runs that this one executes again
    (None: it is the first). `cancel` is set when the run is to end before the node has; whoever waits, waits for it.
    """

    tenant: str
    workflow: str
    version: int
    run_id: str
    node_id: str
    attempt: int
    task: TaskContext
    resource: Callable[[str], Any]
    render: Callable[..., Any]
    body: Callable[[TaskContext], TaskContext]
    log: NodeLog
    report: Callable[[Mapping[str, Any]], None]
    emit: Callable[[Mapping[str, Any]], None] = lambda _: None
    deadline: float | None = None
    correlation_id: str | None = None
    memo: str = "off"
    root_run_id: str | None = None
    cancel: Event = field(default_factory=Event)


@dataclass(frozen=True, slots=True)
class Routed:
    """What a router returns: the branches that are taken, and its output."""

    branches: tuple[str, ...]
    output: Any


@dataclass(frozen=True, slots=True)
class NodeType:
    """A row of the table of node types.

    `lazy` names fields of the config that stay as they are written (conditions, bodies): the type renders them itself, with
    `context.render`. `effects`: it changes something outside the platform, so what came before is made durable first.
    `branches` tells a router's branch names from its config, and `exclusive` whether it never takes two of them at once (which
    is so when it is not given); `check` finds problems that a schema cannot (with paths within
    the node, such as `config.items`). A type of the kind `sub_workflow` has the fields
    `workflow`, `revision` and `inputs` in its config.
    """

    name: str
    summary: str
    config: type[NodeConfig]
    run: Callable[[Any, NodeContext], Any] | None
    output: type[BaseModel] | Mapping[str, Any] | None = None
    kind: NodeKind = "step"
    resources: frozenset[str] = frozenset()
    lazy: frozenset[str] = frozenset()
    effects: bool = False
    pool: str | None = None
    compute_kind: str | None = None
    branches: Callable[[NodeSpec], Sequence[str]] | None = None
    exclusive: Callable[[NodeSpec], bool] | None = None
    check: Callable[[NodeSpec], Sequence[Problem]] | None = None
    examples: tuple[Mapping[str, Any], ...] = field(default=())

    def output_schema(self) -> Mapping[str, Any] | None:
        """JSON Schema of the output; None when it can be anything."""
        if self.output is None or isinstance(self.output, dict):
            return self.output
        return self.output.model_json_schema()  # type: ignore[union-attr]  # a class of pydantic's


class NodeTypes(Mapping[str, NodeType]):
    """The table: name → type. An unknown name raises NotFoundError with the ones that there are."""

    def __init__(self, types: Sequence[NodeType]) -> None:
        self._types = {found.name: found for found in types}

    def __getitem__(self, name: str) -> NodeType:
        try:
            return self._types[name]
        except KeyError:
            known = ", ".join(sorted(self._types))
            raise NotFoundError(
                f"There is no node type {name!r}, only: {known}.", code="node_type_not_found", name=name
            ) from None

    def find(self, name: str) -> NodeType | None:
        """The type, or None."""
        return self._types.get(name)

    def __contains__(self, name: object) -> bool:
        return name in self._types

    def __iter__(self) -> Iterator[str]:
        return iter(self._types)

    def __len__(self) -> int:
        return len(self._types)
