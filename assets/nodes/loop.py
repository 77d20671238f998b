"""Run a body again and again: for each item of a list, or while a condition holds. Always bounded.

The passes are one after the other, within one step of the run. What carries over from pass to pass is the `state`.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field

from assets.nodes.base import check_condition, check_deadline, is_expression, node
from assets.nodes.map import check_items
from resources.errors import InvalidInputError, LimitExceededError, Problem
from resources.workflows.context import TaskContext
from resources.workflows.node_type import NodeConfig, NodeContext
from resources.workflows.spec import NODE_ID, NodeSpec

MAX_ITERATIONS = 1000


class Config(NodeConfig):
    """What keeps the loop going, and what it keeps."""

    items: list[Any] | None = Field(default=None, description="Expression that gives a list: one pass for each item")
    as_: str = Field(
        default="item", alias="as", pattern=NODE_ID, max_length=100, description="What the body calls an item"
    )
    while_: bool | str | None = Field(
        default=None, alias="while", description="Expression over `state` and `index`, looked at before each pass"
    )
    until: bool | str | None = Field(
        default=None, description="Expression over the body's outputs, looked at after each pass: ends the loop"
    )
    state: Any = Field(default=None, description="What the first pass sees as `state`")
    next: Any = Field(
        default=None, description="The state of the next pass: a value with expressions over the body's outputs"
    )
    collect: Any = Field(
        default=None,
        description="What to keep of a pass: a value with expressions; unset: the outputs of the body by node id",
    )
    max_iterations: int = Field(
        default=100,
        ge=1,
        le=MAX_ITERATIONS,
        description="A loop that wants more passes fails; it never goes on for ever",
    )


class Output(BaseModel):
    """What the passes gave."""

    results: list[Any] = Field(description="What was kept of each pass, in order")
    state: Any = Field(description="The state after the last pass")
    iterations: int = Field(description="How many passes there were")
    ended_by: Literal["items", "while", "until"] = Field(description="What ended the loop")


def _check(spec: NodeSpec) -> Sequence[Problem]:
    problems = [*check_items(spec)]
    config = spec.config
    if (config.get("items") is None) == (config.get("while") is None):
        problems.append(Problem("config", "needs either `items` or `while`", "and not both"))
    for name in ("while", "until"):
        if config.get(name) is not None:
            problems += check_condition(config[name], f"config.{name}")
    if config.get("while") is True and config.get("until") is None:
        problems.append(Problem("config.while", "is always true", "give `until`, or a condition over `state`"))
    items, limit = config.get("items"), config.get("max_iterations", 100)
    if isinstance(items, list | tuple) and isinstance(limit, int) and not is_expression(limit) and len(items) > limit:
        problems.append(Problem("config.items", f"there are {len(items)}, and {limit} passes", "raise max_iterations"))
    return problems


@node(
    "loop",
    kind="loop",
    output=Output,
    summary="Run the body for each item in turn, or while a condition holds",
    lazy={"while", "until", "next", "collect"},
    check=_check,
    examples=[
        {
            "id": "double",
            "type": "loop",
            "config": {"while": "{{ state < 100 }}", "state": 1, "next": "{{ nodes.twice.output }}"},
            "nodes": {"twice": {"type": "transform", "config": {"value": "{{ state * 2 }}"}}},
        },
        {
            "id": "total",
            "type": "loop",
            "config": {
                "items": [3, 4, 5],
                "state": 0,
                "next": "{{ nodes.add.output }}",
                "collect": "{{ nodes.add.output }}",
                "until": "{{ nodes.add.output > 6 }}",
            },
            "nodes": {"add": {"type": "transform", "config": {"value": "{{ state + item }}"}}},
        },
    ],
)
def loop(config: Config, context: NodeContext) -> Output:
    """Raises LimitExceededError (`loop_limit`) when it would take more passes than it may."""
    state, results = config.state, list[Any]()
    ended_by: Literal["items", "while", "until"] = "items" if config.items is not None else "while"
    outer = tuple(context.task.scope.get("iteration", ()))
    for index, scope in _passes(config, context):
        task = context.task.within(**scope, index=index, state=state, iteration=(*outer, index))
        if config.while_ is not None and not context.render(config.while_, task=task):
            break
        _refuse_more(index, config, context)
        check_deadline(context)
        after = context.body(task)
        results.append(_kept(config, context, after))
        if config.next is not None:
            state = context.render(config.next, task=after)
        if config.until is not None and context.render(config.until, task=after):
            ended_by = "until"
            break
    return Output(results=results, state=state, iterations=len(results), ended_by=ended_by)


def _passes(config: Config, context: NodeContext) -> Iterator[tuple[int, dict[str, Any]]]:
    if (config.items is None) == (config.while_ is None):
        raise InvalidInputError(
            f"The loop {context.node_id!r} needs either `items` or `while`.", code="node_config_invalid"
        )
    if config.items is None:
        for index in range(config.max_iterations + 1):
            yield index, {}
        return
    if len(config.items) > config.max_iterations:
        _refuse_more(len(config.items), config, context)
    for index, item in enumerate(config.items):
        yield index, {config.as_: item}


def _refuse_more(index: int, config: Config, context: NodeContext) -> None:
    if index >= config.max_iterations:
        raise LimitExceededError(
            f"The loop {context.node_id!r} wants more than {config.max_iterations:,} passes. "
            "Mend its condition, or raise `max_iterations`.",
            code="loop_limit",
            max_iterations=config.max_iterations,
        )


def _kept(config: Config, context: NodeContext, after: TaskContext) -> Any:
    if config.collect is not None:
        return context.render(config.collect, task=after)
    before = context.task.nodes
    return {name: output for name, output in after.nodes.items() if name not in before}
