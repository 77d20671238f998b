"""Run a body for each item of a list, several at a time."""

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from assets.nodes.base import is_expression, node
from resources.errors import LimitExceededError, Problem
from resources.workflows.node_type import NodeConfig, NodeContext
from resources.workflows.spec import NODE_ID, NodeSpec

MAX_ITEMS = 10_000
_TAKEN = frozenset({"inputs", "nodes", "metadata", "env", "state", "index", "now"})


class Config(NodeConfig):
    """Over what, and how many at a time."""

    items: list[Any] = Field(description="Expression that gives the list")
    as_: str = Field(
        default="item", alias="as", pattern=NODE_ID, max_length=100, description="What the body calls an item"
    )
    max_items: int = Field(default=1000, ge=1, le=MAX_ITEMS, description="A longer list is refused before any work")
    max_concurrency: int = Field(default=8, ge=1, le=64, description="Items at a time, within one run")


def check_items(spec: NodeSpec) -> Sequence[Problem]:
    """The list is a list as far as it can be seen, and the item's name is free."""
    problems = []
    items = spec.config.get("items")
    if items is not None and not isinstance(items, list | tuple) and not is_expression(items):
        problems.append(Problem("config.items", f"{items!r} is no list", "write a list, or {{ nodes.a.output.items }}"))
    if spec.config.get("as") in _TAKEN:
        problems.append(Problem("config.as", f"{spec.config['as']!r} means something else in expressions"))
    return problems


@node(
    "map",
    kind="map",
    output={"type": "array"},
    summary="Run the body for each item of a list, several at a time; the output lists what each gave, in order",
    check=check_items,
    examples=[
        {
            "id": "shout",
            "type": "map",
            "config": {"items": ["a", "b", "c"], "as": "letter"},
            "nodes": {"one": {"type": "template", "config": {"template": "{{ letter | upper }}!"}}},
        }
    ],
)
def map_(config: Config, context: NodeContext) -> list[Any]:
    """The items, of which each gets a run of the body. Raises LimitExceededError when there are too many."""
    if len(config.items) > config.max_items:
        raise LimitExceededError(
            f"The map {context.node_id!r} got {len(config.items):,} items; {config.max_items:,} are allowed. "
            "Raise `max_items`, or map over parts of the list.",
            code="map_too_large",
        )
    return config.items
